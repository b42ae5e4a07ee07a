/**
 * Fits the costs of plans (src/runtime/costs.ts) to this machine: every form is run on layers of a small
 * grid, through plans of one layer that can only choose it, and its factors are the ones >= 0 whose
 * sum of squared relative errors is least. Runs are interleaved, and a time is the least of them.
 *
 * The unit is free, as plans only compare: here that in which the shipped table comes nearest.
 * Cost: about `seconds`.
 */

import { expect } from '../errors';
import { sequential } from '../nn/graph';
import { createModel, freeModel, type Model } from '../nn/model';
import { compilePlan, type Plan } from '../plan/plan';
import { compileSparsePlan } from '../plan/sparse-plan';
import { productOf } from '../plan/steps';
import { type CostForm, type Costs, costOf, SHIPPED } from '../runtime/costs';
import type { Engine } from '../runtime/engine';
import { fillingOf } from '../sparse/blocks';
import { copyCall, viewOfImages, viewOfPlanes } from '../sparse/calls';
import { lanesOf, sparseWork } from '../sparse/choice';
import { planesOf } from '../sparse/tables';
import { placesOf } from '../sparse/weight';
import { type AlgorithmName, algorithms } from '../tensor/algorithms';
import { type Shape, sizeOf } from '../tensor/shape';
import { stopwatch } from './stopwatch';

export interface Fit {
  readonly costs: Costs;
  /** Seconds of a unit. */
  readonly unit: number;
  readonly forms: readonly FormFit[];
}

export interface FormFit {
  readonly form: CostForm;
  /** Layers it was measured on. */
  readonly samples: number;
  /** Relative errors of the predicted times: in the middle, and the largest. */
  readonly shipped: Residuals;
  readonly fitted: Residuals;
}

export interface Residuals {
  readonly median: number;
  readonly worst: number;
}

type Amounts = Readonly<Record<string, number>>;

/** Amounts of work and the seconds they took. */
export interface Sample {
  readonly form: CostForm;
  readonly work: Amounts;
  readonly seconds: number;
}

interface Case extends Omit<Sample, 'seconds'> {
  run(): void;
}

interface Layer {
  readonly input: Shape;
  readonly layer: readonly [kind: string, options: Readonly<Record<string, unknown>>];
  readonly batches: readonly number[];
}

const conv = (c: number, side: number, channels: number, kernel: number, stride = 1): Layer => ({
  input: [c, side, side],
  layer: ['conv2d', { channels, kernel, stride, padding: 1 }],
  batches: [1, 16],
});
const dense = (inputs: number, units: number): Layer => ({
  input: [inputs],
  layer: ['dense', { units }],
  batches: [1, 4, 16, 64],
});

const GRID: Readonly<Record<'full' | 'tiny', readonly Layer[]>> = {
  full: [
    ...[conv(1, 28, 32, 3), conv(3, 32, 64, 3), conv(16, 14, 32, 4, 2), conv(32, 28, 32, 4, 2)],
    ...[conv(32, 14, 64, 3), conv(64, 32, 64, 3), conv(128, 8, 128, 3), conv(64, 8, 128, 1)],
    ...[dense(784, 100), dense(1568, 100), dense(512, 512), dense(3136, 512)],
  ],
  tiny: [conv(2, 6, 5, 3), conv(3, 6, 4, 4, 2), dense(40, 20), dense(30, 50)],
};

/** Dense algorithms; a grouped convolution has no other to compare with. */
const DENSE = (Object.keys(algorithms) as AlgorithmName[]).filter((name) => name !== 'grouped');
const SPARSE = ['csr', '4x1', 'single'] as const;
/** Shares of zeros of the sparse forms. */
const SPARSITIES = [0.8, 0.95];
/** Microseconds that the calls of a sample fill. */
const SAMPLE = 500;
const LEAST_ROUNDS = 4;

export function fitCosts(
  engine: Engine,
  { seconds, size = 'full' }: { readonly seconds: number; readonly size?: 'full' | 'tiny' },
): Fit {
  const ends: (() => void)[] = [];
  try {
    const cases = GRID[size].flatMap((layer) => [...casesOf(engine, layer, ends)]);
    return fitSamples(measure(cases, seconds));
  } finally {
    for (const end of ends) end();
  }
}

/** Costs by which nothing but one form is chosen, wherever it applies. */
function only(form: CostForm): Costs {
  const never = ([name, factors]: [string, Amounts]) => [
    name,
    name === form ? factors : Object.fromEntries(Object.keys(factors).map((key) => [key, 1e30])),
  ];
  return Object.fromEntries(Object.entries(SHIPPED).map(never)) as Costs;
}

/** All that is run on a layer; `ends` gets what frees it. */
function* casesOf(
  engine: Engine,
  { input, layer, batches }: Layer,
  ends: (() => void)[],
): Generator<Case> {
  const modelOf = (): Model => {
    const model = createModel(engine, sequential('fit', input, [layer]));
    ends.push(() => freeModel(model));
    return model;
  };
  const caseOf = (form: CostForm, work: Amounts, plan: Plan): Case => {
    ends.push(plan.free);
    plan.run(new Float32Array(plan.batch * sizeOf(input)).fill(0.5));
    return { form, work, run: plan.steps[0]!.run };
  };
  const model = modelOf();
  const conv = productOf(model.graph.nodes[0]!)!;
  const { outChannels: oc, outHeight: oh, outWidth: ow } = conv;
  for (const batch of batches)
    for (const form of DENSE) {
      const work = algorithms[form].work(conv, batch);
      if (work)
        yield caseOf(
          form,
          work,
          compilePlan(model, { batch, costs: only(form), allowWinograd: true }),
        );
    }
  for (const sparsity of SPARSITIES)
    for (const form of SPARSE) {
      const thin = modelOf();
      const weight = thin.params.values().next().value!;
      weight.write(thinned(weight.read(), oc, sparsity, form === '4x1'));
      const filling = fillingOf(placesOf(weight), oc, weight.size);
      for (const batch of batches.filter((size) => size === lanesOf(size))) {
        const work = sparseWork(filling, oc, oh * ow * batch)[form];
        const costs = only(form);
        if (work) yield caseOf(form, work, compileSparsePlan(thin, { batch, costs }));
      }
    }
  yield copyCase(engine, input, ends);
}

/** Sets a share of the weights to 0, in blocks of four rows if asked; the same every time. */
function thinned(
  weight: Float32Array,
  rows: number,
  sparsity: number,
  blocks: boolean,
): Float32Array {
  const columns = weight.length / rows;
  return weight.map((w, i) => {
    const at = blocks ? Math.floor(i / columns / 4) * columns + (i % columns) : i;
    const mixed = Math.imul(at ^ (at >>> 7), 0x9e3779b1);
    const drawn = (Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) >>> 0) / 2 ** 32;
    return drawn < sparsity ? 0 : w;
  });
}

/** Copies 16 images into planes. */
function copyCase(engine: Engine, input: Shape, ends: (() => void)[]): Case {
  const [c, h = 1, w = 1] = input as readonly [number, number?, number?];
  const planes = planesOf([c, h, w], 16, [1, 1, 1, 1]);
  const [from, to] = [
    engine.memory.alloc(64 * sizeOf(input)),
    engine.memory.alloc(4 * planes.size),
  ];
  const views = [viewOfImages(from, planes.shape), viewOfPlanes(to, planes)] as const;
  const call = copyCall(engine, 16, planes.shape, ...views);
  ends.push(() => {
    for (const ptr of [from, to]) engine.memory.free(ptr);
  });
  return { form: 'copy', work: { element: 16 * sizeOf(input) }, run: () => engine.start(call) };
}

/** Rounds over all cases until the time is up: the least seconds a call of each. */
function measure(cases: readonly Case[], seconds: number): Sample[] {
  const timed = stopwatch();
  const lanes = cases.map(({ run }) => {
    run();
    return { run, calls: Math.ceil(SAMPLE / Math.max(1, timed(run))), least: Infinity };
  });
  const end = performance.now() + 1000 * seconds;
  for (let round = 0; round < LEAST_ROUNDS || performance.now() < end; round++)
    for (const lane of lanes) {
      const all = timed(() => {
        for (let call = 0; call < lane.calls; call++) lane.run();
      });
      lane.least = Math.min(lane.least, all / lane.calls / 1e6);
    }
  return cases.map(({ form, work }, i) => ({ form, work, seconds: lanes[i]!.least }));
}

/** The factors of every form for the samples of it. */
export function fitSamples(samples: readonly Sample[]): Fit {
  const of = (form: CostForm): Sample[] => samples.filter((sample) => sample.form === form);
  const names = Object.keys(SHIPPED) as CostForm[];
  const inSeconds = names.map((form) => [form, leastSquares(Object.keys(SHIPPED[form]), of(form))]);
  const raw = Object.fromEntries(inSeconds) as Costs;
  for (const form of names) {
    const given = Object.values(raw[form]).some((factor) => factor > 0);
    expect(given, `bench --fit: ${form}`, 'times that give it a cost', 'none', 'Try again.');
  }
  const logs = samples.map(({ form, work, seconds }) => Math.log(seconds / costOf(form, work)));
  const unit = Math.exp(logs.reduce((a, b) => a + b, 0) / logs.length);
  const costs = Object.fromEntries(
    names.map((form) => [
      form,
      Object.fromEntries(Object.entries(raw[form]).map(([key, f]) => [key, f / unit])),
    ]),
  ) as unknown as Costs;
  return {
    costs,
    unit,
    forms: names.map((form) => ({
      form,
      samples: of(form).length,
      shipped: residuals(of(form), unit, SHIPPED),
      fitted: residuals(of(form), unit, costs),
    })),
  };
}

function residuals(samples: readonly Sample[], unit: number, costs: Costs): Residuals {
  const errors = samples
    .map(({ form, work, seconds }) => Math.abs((unit * costOf(form, work, costs)) / seconds - 1))
    .sort((a, b) => a - b);
  return { median: errors[Math.floor((errors.length - 1) / 2)]!, worst: errors.at(-1)! };
}

/**
 * The factors f >= 0 with the least sum of (work f / seconds - 1)^2: of all subsets of the keys (at most
 * 2^4) the best whose solution is not negative.
 */
export function leastSquares(keys: readonly string[], samples: readonly Sample[]): Amounts {
  const lines = samples.map(({ work, seconds }) => keys.map((key) => work[key]! / seconds));
  let best = { error: Infinity, factors: keys.map(() => 0) };
  for (let subset = 1; subset < 2 ** keys.length; subset++) {
    const taken = [...keys.keys()].filter((i) => subset & (1 << i));
    const solved = solve(lines.map((line) => taken.map((i) => line[i]!)));
    if (!solved?.every((f) => f >= 0)) continue;
    const factors = keys.map((_, i) => solved[taken.indexOf(i)] ?? 0);
    const misses = lines.map((line) => line.reduce((sum, a, i) => sum + a * factors[i]!, -1));
    const error = misses.reduce((sum, miss) => sum + miss * miss, 0);
    if (error < best.error) best = { error, factors };
  }
  return Object.fromEntries(keys.map((key, i) => [key, best.factors[i]!]));
}

/** x with the least |A x - 1|^2 by the normal equations, or none where columns depend on each other. */
function solve(lines: readonly (readonly number[])[]): number[] | undefined {
  const n = lines[0]?.length ?? 0;
  const scale = range(n).map((i) => Math.sqrt(lines.reduce((sum, a) => sum + a[i]! ** 2, 0)));
  const m = range(n).map((i) => [
    ...range(n).map((j) =>
      lines.reduce((s, a) => s + (a[i]! / scale[i]!) * (a[j]! / scale[j]!), 0),
    ),
    lines.reduce((s, a) => s + a[i]! / scale[i]!, 0),
  ]);
  for (let i = 0; i < n; i++) {
    // Positive definite, hence without pivots.
    if (!(m[i]![i]! > 1e-9)) return undefined;
    for (let r = 0; r < n; r++) {
      if (r === i) continue;
      const share = m[r]![i]! / m[i]![i]!;
      for (let j = i; j <= n; j++) m[r]![j]! -= share * m[i]![j]!;
    }
  }
  return m.map((line, i) => line[n]! / line[i]! / scale[i]!);
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
