/**
 * The plans of a model, dense and over its non-zeros, as they are and as they run: form, bytes,
 * multiply-adds and measured time of every layer, side by side. The two are checked to compute the same
 * and then run in turns, every step where it stands in its plan, so that it meets the caches as it
 * would. A time is the least of all runs after a warm-up, and totals are sums of them, so that what else
 * the machine does counts little.
 *
 * Cost: about `seconds`, and both plans in memory.
 */

import { expect } from '../errors';
import { lower } from '../nn/lower';
import { freeModel, type Model } from '../nn/model';
import { compilePlan, type Plan, type PlanOptions } from '../plan/plan';
import { compileSparsePlan, sparsePlanPays } from '../plan/sparse-plan';
import type { PlanStep } from '../plan/steps';
import { sizeOf } from '../tensor/shape';
import { inspect } from './inspect';
import { stopwatch } from './stopwatch';

export interface PlanSide {
  readonly form: string;
  /** Bytes of prepared weights. */
  readonly bytes: number;
  /** Time of the whole batch. */
  readonly microseconds: number;
}

/** Sums over all layers, and of the copies before and after them. */
export interface PlanTotal {
  /** With all buffers. */
  readonly bytes: number;
  readonly copies: number;
  readonly microseconds: number;
}

export interface PlanLayer {
  readonly name: string;
  /** Form in the plan that is chosen. */
  readonly form: string;
  /** Multiply-adds of one image. */
  readonly macs: number;
  readonly macsNonzero: number;
  readonly dense: PlanSide;
  readonly sparse: PlanSide;
}

export interface PlanView {
  readonly batch: number;
  readonly threads: number;
  /** Runs of each plan. */
  readonly runs: number;
  /** By the costs. */
  readonly chosen: 'dense' | 'sparse';
  /** By the clock. */
  readonly faster: 'dense' | 'sparse';
  readonly layers: readonly PlanLayer[];
  readonly dense: PlanTotal;
  readonly sparse: PlanTotal;
  /** Largest difference between the outputs, relative to the largest output. */
  readonly difference: number;
}

const TOLERANCE = 1e-4;
const LEAST_RUNS = 5;

export interface PlanViewOptions extends Pick<PlanOptions, 'costs'> {
  readonly batch: number;
  readonly seconds: number;
}

export function viewPlans(model: Model, { batch, seconds, costs }: PlanViewOptions): PlanView {
  const canonical = lower(model);
  const plans: Plan[] = [];
  try {
    plans.push(compilePlan(canonical, { batch, costs }));
    plans.push(compileSparsePlan(canonical, { batch, costs }));
    const [dense, sparse] = plans.map(racer) as [Racer, Racer];
    const size = batch * sizeOf(canonical.graph.network.input);
    const images = Float32Array.from({ length: size }, (_, i) => ((37 * i) % 256) / 255);
    const difference = differenceOf(sparse.plan.run(images), dense.plan.run(images));
    const who = 'inspect --plan';
    expect(difference <= TOLERANCE, who, `plans that differ by at most ${TOLERANCE}`, difference);
    const end = performance.now() + 1000 * seconds;
    const timed = stopwatch();
    let runs = 0;
    for (; runs < LEAST_RUNS || performance.now() < end; runs++) {
      // The first run warms up.
      for (const one of [dense, sparse]) turn(one, images, timed, runs > 0);
    }
    const chosen = sparsePlanPays(canonical, { batch, costs }) ? 'sparse' : 'dense';
    return {
      batch,
      threads: model.engine.threads,
      runs: runs - 1,
      chosen,
      faster: total(sparse).microseconds < total(dense).microseconds ? 'sparse' : 'dense',
      layers: layersOf(canonical, dense, sparse, chosen),
      dense: total(dense),
      sparse: total(sparse),
      difference,
    };
  } finally {
    for (const plan of plans) plan.free();
    freeModel(canonical);
  }
}

/** A plan with the least times so far of its steps and copies, in microseconds. */
interface Racer {
  readonly plan: Plan;
  readonly parts: readonly PlanStep[];
  readonly least: Float64Array;
}

function racer(plan: Plan): Racer {
  const parts = [...plan.steps, ...plan.copies];
  return { plan, parts, least: new Float64Array(parts.length).fill(Infinity) };
}

/** All parts one by one, after a run that fills their buffers. */
function turn(
  { plan, parts, least }: Racer,
  images: Float32Array,
  timed: ReturnType<typeof stopwatch>,
  counts: boolean,
): void {
  plan.run(images);
  const times = new Float64Array(parts.length);
  for (let pass = 0; pass < plan.passes; pass++)
    parts.forEach(({ run }, i) => {
      times[i]! += timed(run);
    });
  if (!counts) return;
  times.forEach((time, i) => {
    least[i] = Math.min(least[i]!, time);
  });
}

function total({ plan, least }: Racer): PlanTotal {
  const sum = (times: Float64Array): number => times.reduce((a, b) => a + b, 0);
  const copies = sum(least.slice(plan.steps.length));
  return { bytes: plan.bytes, copies, microseconds: sum(least) };
}

function layersOf(
  model: Model,
  dense: Racer,
  sparse: Racer,
  chosen: PlanView['chosen'],
): PlanLayer[] {
  const known = new Map(
    inspect(model).layers.map((layer) => [layer.name.replace(/\.weight$/, ''), layer]),
  );
  const side = ({ plan, least }: Racer, i: number): PlanSide => ({
    form: plan.steps[i]!.form,
    bytes: plan.steps[i]!.bytes,
    microseconds: least[i]!,
  });
  // Both have a step for every value that is computed, in the order of the graph.
  return dense.plan.steps.map(({ node }, i) => {
    const sides = { dense: side(dense, i), sparse: side(sparse, i) };
    const { macs = 0, macsNonzero = 0 } = known.get(node) ?? {};
    return { name: node, form: sides[chosen].form, macs, macsNonzero, ...sides };
  });
}

function differenceOf(got: Float32Array, want: Float32Array): number {
  const size = want.reduce((most, x) => Math.max(most, Math.abs(x)), Number.MIN_VALUE);
  return got.reduce((most, x, i) => Math.max(most, Math.abs(x - want[i]!)), 0) / size;
}
