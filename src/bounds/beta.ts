/**
 * beta-CROWN (Wang et al. 2021): linear bounds under split constraints, with a multiplier beta >= 0 for every
 * phase of a row and lower slopes alpha of its own. An active neuron (x >= 0) lowers the row's coefficient there
 * by beta, an inactive one (x <= 0) raises it: what is below the row under the constraints stays below it. Any
 * number that is not negative will do, so every iterate is a bound and the best of them counts (docs/numerics.md,
 * "Split constraints").
 *
 * Relaxations are those of the whole region, but for split neurons, which are linear in their phase. Both kinds
 * of multipliers climb by projected Adam; the gradient is read off the bound's minimiser, the point x* at which
 * the linear bound is attained, sent forward through the chosen lines (minimiser.ts): d bound / d beta = -x* of an
 * active neuron, d bound / d alpha = A x* where A > 0.
 *
 * Rows that reach their goal leave. Cost of a step: one backward and one forward pass of the rows left.
 */
import { type Parts, stepInParts } from '../tensor/parts';
import { empty, input, step, type Tensor } from '../tensor/tensor';
import { backwardPass } from './backward';
import type { Phase } from './context';
import type { BoundedNetwork } from './linear';
import { forwardMinimiser, minimiserOf } from './minimiser';
import {
  rowOf,
  rowTables,
  type Split,
  type UnstableNeurons,
  unstableNeurons,
  writeSlopes,
} from './row-tables';

/** A row of one node's values for the context's one sample, under split constraints. */
export interface SplitRow {
  /** Coefficients [values of the node]. */
  readonly values: Float32Array;
  readonly phases: readonly Phase[];
  /** Multipliers that the optimiser begins with; phases beyond its betas begin with 0. */
  readonly start?: Multipliers | undefined;
  /** The optimiser is done with the row when its bound is above this. */
  readonly goal: number;
}

/** Multipliers of one row: alpha by `unstableNeurons`, beta by phase. */
export interface Multipliers {
  readonly alpha: Float32Array;
  readonly beta: Float32Array;
}

/** The best bound of a row. */
export interface SplitBound {
  /** Lower bound, -Infinity where none was found. */
  readonly lower: number;
  readonly multipliers: Multipliers;
  /** Input at which the linear bound is attained, [inputs]. */
  readonly minimiser: Float32Array;
  /** The row's coefficients of values behind activations, by `unstableNeurons`. */
  readonly coefficients: Float32Array;
}

export interface BetaOptions {
  readonly steps: number;
  /** First lengths of Adam's steps: of slopes, and of betas as a share of the row's largest coefficient there. */
  readonly rate: number;
  readonly betaRate: number;
  readonly decay: number;
  /**
   * Take Polyak's steps in place of Adam's, as long as the goal is away: for rows without an unstable neuron left,
   * whose bound is concave and piecewise linear in beta, with the least value over the part as its maximum.
   */
  readonly polyak: boolean;
}

export const BETA: BetaOptions = { steps: 8, rate: 0.1, betaRate: 0.1, decay: 0.95, polyak: false };
/** How far beyond the goal Polyak's steps aim: a share of the first distance to it or of its size, which falls step by step. */
const BEYOND = { distance: 0.5, size: 1e-3, decay: 0.97 };

/** Steps of a round, after which rows that are done leave. */
const ROUND = 4;

/**
 * Optimised lower bounds of rows of `target` (default: the output); the context is of one sample. Runs inside
 * `step()`; yields after each step.
 */
export function* splitBoundsInParts(
  context: BoundedNetwork,
  rows: readonly SplitRow[],
  options: BetaOptions = BETA,
  target = context.graph.nodes.length - 1,
): Parts<SplitBound[]> {
  const layers = unstableNeurons(context, target);
  const climbs = rows.map((row) => new Climb(context, layers, row));
  let open = climbs;
  for (let t = 1; t <= options.steps && open.length > 0; t += ROUND) {
    const last = Math.min(t + ROUND - 1, options.steps);
    yield* stepInParts(context.engine, () =>
      round(context, { target, layers }, open, [t, last, options]),
    );
    open = open.filter((climb) => !climb.isDone);
  }
  return climbs;
}

/** Steps t to `last` of some rows. */
function* round(
  context: BoundedNetwork,
  { target, layers }: { target: number; layers: readonly UnstableNeurons[] },
  climbs: readonly Climb[],
  [from, last, options]: readonly [number, number, BetaOptions],
): Parts<void> {
  const { engine, graph } = context;
  const tables = rowTables(context, layers, climbs);
  const sample = new Int32Array(climbs.length);
  const outputs = new Float32Array(climbs.length * climbs[0]!.row.values.length);
  climbs.forEach(({ row }, r) => void outputs.set(row.values, r * row.values.length));
  const values = input(engine, outputs, [climbs.length, ...graph.nodes[target]!.shape]);
  for (let t = from; t <= last; t++) {
    writeSlopes(layers, tables, climbs);
    step(engine, () => {
      const seen = new Map<number, Tensor>();
      const visit = (v: number, a: Tensor): Tensor => {
        seen.set(v, a);
        return withBetas(climbs, v, a);
      };
      const bounds = backwardPass(
        context,
        target,
        { sample, values },
        { relaxations: tables, visit },
      );
      const x = minimiserOf(context.set, seen.get(-1)!);
      keepBest(layers, climbs, { bounds, x, seen });
      if (t === options.steps) return;
      const at = forwardMinimiser(context, target, x, { seen, relaxations: tables });
      const now = bounds.read();
      climbs.forEach((climb, r) => {
        if (options.polyak) climb.approach(at, { r, now: now[r]!, t });
        else climb.ascend(layers, { seen, at, r, t }, options);
      });
    });
    yield;
    if (climbs.every((climb) => climb.isDone)) return;
  }
}

/** One row on its way up: its multipliers with Adam's moments, and the best bound so far. */
class Climb implements SplitBound, Split {
  readonly row: SplitRow;
  readonly alpha: Float32Array;
  readonly beta: Float32Array;
  /** Phases with their position, by node in front of the activation. */
  readonly phasesAt = new Map<number, (readonly [phase: Phase, index: number])[]>();
  lower = Number.NEGATIVE_INFINITY;
  multipliers: Multipliers;
  minimiser = new Float32Array();
  readonly coefficients: Float32Array;
  readonly #alphaMoments: Moments;
  readonly #betaMoments: Moments;
  /** Largest coefficient of the row at each phase's node, in its first pass. */
  #scale: Float32Array | undefined;
  /** Distance to the goal of the first pass. */
  #first: number | undefined;

  constructor(context: BoundedNetwork, layers: readonly UnstableNeurons[], row: SplitRow) {
    this.row = row;
    const count = layers.reduce((sum, { neurons }) => sum + neurons.length, 0);
    this.alpha = row.start?.alpha.slice() ?? startingSlopes(context, layers, count);
    this.beta = new Float32Array(row.phases.length);
    this.beta.set(row.start?.beta ?? []);
    this.multipliers = { alpha: this.alpha, beta: this.beta };
    this.coefficients = new Float32Array(count);
    this.#alphaMoments = moments(count);
    this.#betaMoments = moments(row.phases.length);
    row.phases.forEach((phase, k) => {
      const same = this.phasesAt.get(phase.node);
      if (same) same.push([phase, k]);
      else this.phasesAt.set(phase.node, [[phase, k]]);
    });
  }

  get isDone(): boolean {
    return this.lower > this.row.goal;
  }

  /** Moves the multipliers up the gradient; `r` is the row's place in the batch. */
  ascend(
    layers: readonly UnstableNeurons[],
    { seen, at, r, t }: { seen: Seen; at: ReadonlyMap<number, Tensor>; r: number; t: number },
    { rate, betaRate, decay }: BetaOptions,
  ): void {
    const length = decay ** (t - 1);
    this.#scale ??= this.#scales(layers);
    for (const { at: node, from, neurons, offset, range } of layers) {
      const [a, x] = [rowOf(seen.get(node), r), rowOf(at.get(from), r)];
      if (!a || !x) continue;
      for (let k = 0; k < neurons.length; k++) {
        const [slope, i] = [a[neurons[k]!]!, offset + k];
        const move =
          rate * length * adam(this.#alphaMoments, i, slope > 0 ? slope * x[neurons[k]!]! : 0, t);
        this.alpha[i] = Math.min(Math.max(this.alpha[i]! + move, range[0]), range[1]);
      }
    }
    for (const [from, phases] of this.phasesAt) {
      const x = rowOf(at.get(from), r);
      if (!x) continue;
      for (const [{ neuron, active }, k] of phases) {
        const g = active ? -x[neuron]! : x[neuron]!;
        const move = betaRate * length * this.#scale[k]! * adam(this.#betaMoments, k, g, t);
        this.beta[k] = Math.max(this.beta[k]! + move, 0);
      }
    }
  }

  /** Polyak's step of the betas towards the goal, from a bound of `now`. */
  approach(
    at: ReadonlyMap<number, Tensor>,
    { r, now, t }: { readonly r: number; readonly now: number; readonly t: number },
  ): void {
    const { goal } = this.row;
    this.#first ??= goal - now;
    const most = Math.max(BEYOND.distance * this.#first, BEYOND.size * (1 + Math.abs(goal)));
    const up = new Float64Array(this.beta.length);
    for (const [from, phases] of this.phasesAt) {
      const x = rowOf(at.get(from), r);
      for (const [{ neuron, active }, k] of phases) {
        const g = x ? (active ? -x[neuron]! : x[neuron]!) : 0;
        up[k] = g > 0 || this.beta[k]! > 0 ? g : 0;
      }
    }
    const size = up.reduce((sum, g) => sum + g * g, 0);
    const away = goal + most * BEYOND.decay ** t - now;
    if (!(size > 0 && away >= 0 && Number.isFinite(away / size))) return;
    up.forEach((g, k) => {
      this.beta[k] = Math.max(this.beta[k]! + (away / size) * g, 0);
    });
  }

  #scales(layers: readonly UnstableNeurons[]): Float32Array {
    const scale = new Float32Array(this.beta.length);
    for (const { from, neurons, offset } of layers) {
      const phases = this.phasesAt.get(from);
      if (!phases) continue;
      const here = this.coefficients.subarray(offset, offset + neurons.length);
      const most = here.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      for (const [, k] of phases) scale[k] = Math.max(scale[k]!, most);
    }
    return scale.map((v) => (v > 0 && Number.isFinite(v) ? v : 1));
  }
}

type Seen = ReadonlyMap<number, Tensor>;

/** Adam's moments (Kingma and Ba 2015) of some numbers. */
interface Moments {
  readonly first: Float64Array;
  readonly second: Float64Array;
}
const moments = (count: number): Moments => ({
  first: new Float64Array(count),
  second: new Float64Array(count),
});

/** Adam's direction of number i, about -1 to 1. */
function adam({ first, second }: Moments, i: number, g: number, t: number): number {
  const [beta1, beta2] = [0.9, 0.999];
  first[i] = beta1 * first[i]! + (1 - beta1) * g;
  second[i] = beta2 * second[i]! + (1 - beta2) * g * g;
  const size = Math.sqrt(second[i]! / (1 - beta2 ** t));
  return size > 0 ? first[i]! / (1 - beta1 ** t) / size : 0;
}

function startingSlopes(
  { cache }: BoundedNetwork,
  layers: readonly UnstableNeurons[],
  count: number,
): Float32Array {
  const alpha = new Float32Array(count);
  for (const { at, neurons, offset } of layers) {
    const low = cache.get(at)!.relaxation!.low.read();
    neurons.forEach((neuron, k) => {
      alpha[offset + k] = low[neuron]!;
    });
  }
  return alpha;
}

/** Coefficients at node v less the betas of active neurons there and plus those of inactive ones. */
function withBetas(climbs: readonly Climb[], v: number, a: Tensor): Tensor {
  if (!climbs.some(({ phasesAt }) => phasesAt.has(v))) return a;
  const out = empty(a.engine, a.shape);
  a.engine.run('copy', a.size, a.ptr, out.ptr);
  climbs.forEach(({ phasesAt, beta }, r) => {
    const row = rowOf(out, r)!;
    for (const [{ neuron, active }, k] of phasesAt.get(v) ?? [])
      row[neuron]! += active ? -beta[k]! : beta[k]!;
  });
  return out;
}

function keepBest(
  layers: readonly UnstableNeurons[],
  climbs: readonly Climb[],
  { bounds, x, seen }: { bounds: Tensor; x: Tensor; seen: Seen },
): void {
  const lower = bounds.read();
  climbs.forEach((climb, r) => {
    const isFirst = climb.minimiser.length === 0;
    // What is no number is no bound, and never better than another.
    if (!(lower[r]! > climb.lower) && !isFirst) return;
    if (lower[r]! > climb.lower) climb.lower = lower[r]!;
    climb.multipliers = { alpha: climb.alpha.slice(), beta: climb.beta.slice() };
    climb.minimiser = rowOf(x, r)!.slice();
    for (const { at, neurons, offset } of layers) {
      const a = rowOf(seen.get(at), r);
      if (a)
        climb.coefficients.set(
          Float32Array.from(neurons, (neuron) => a[neuron]!),
          offset,
        );
    }
  });
}
