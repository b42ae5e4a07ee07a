/**
 * Problems, which ask something of networks that share an input. A problem is plain data, and a batch: samples
 * of the same networks, each with a region of inputs, rows of a specification matrix C with thresholds,
 * and phases of unstable neurons. It holds where every disjunct of rows has one above its threshold.
 *
 * Robustness of images and properties of outputs (VNN-LIB) are problems; a method (methods.ts) gives
 * lower bounds of their rows, branch and bound (branch-and-bound.ts) divides them.
 */
import type { Phases } from '../bounds/context';
import { type InputSet, inputSet, type Norm } from '../domain/balls';
import { F64_U, F64_UNDERFLOW, F64_UP } from '../domain/rounding';
import { expect } from '../errors';
import type { AnyModel } from '../nn/model';
import { compare, type ExactRow, rationalOf } from '../rational';
import { sizeOf } from '../tensor/shape';
import { input } from '../tensor/tensor';
import { logitRows } from './head-rows';
import {
  type Conjunction,
  type CutBall,
  distance,
  outerBox,
  type Region,
  type Specification,
} from './specification';

/** Boxes of inputs, [count, inputs] each; only points of the ball count where there is one. */
export interface Boxes {
  readonly count: number;
  readonly lo: Float32Array;
  readonly hi: Float32Array;
  readonly ball?: CutBall;
}

/** Balls of radius eps around images [count, inputs], cut to [0, 1]. */
export interface Balls {
  readonly count: number;
  readonly centre: Float32Array;
  readonly eps: number;
  readonly norm: Norm;
}

/**
 * Rows of specification matrices, as bounds take them. The outputs are those of all networks, one after
 * the other.
 */
export interface OutputRows {
  /** Rows of a sample. */
  readonly count: number;
  readonly outputs: number;
  /** [matrices * count, outputs], rounded to float32. */
  readonly matrix: Float32Array;
  /** The matrix of each sample; the first where left out. */
  readonly of?: Int32Array;
  /**
   * Rests that rounding took off the matrix, shaped like it, or undefined where all are float32 numbers: not less
   * in size where float64 does not hold it, and then within 2^-51 of the weight (or 2^-1073).
   */
  readonly rest?: Float64Array;
  /** Thresholds of a sample's rows: row k is unsafe where it is at most rhs[k]. */
  readonly rhs: Float64Array;
  /** Rows [start[d], start[d + 1]) are those of disjunct d. */
  readonly start: readonly number[];
  /** Most non-zeros of a row. */
  readonly nonzeros: number;
  /** True if the matrix holds 0, 1 and -1 alone. */
  readonly signs: boolean;
}

export interface Problem {
  /** Networks that share the input, in canonical form. */
  readonly networks: readonly AnyModel[];
  readonly region: Boxes | Balls;
  readonly rows: OutputRows;
  /**
   * Phases of neurons by network and sample. Bounds are then of executions that keep to them; a method that
   * cannot use them ignores them, as a bound of all executions is one of those, too.
   */
  readonly phases?: readonly Phases[];
}

/** The network of a problem of one; `who` begins the error where there are several. */
export function onlyNetwork({ networks }: Problem, who: string): AnyModel {
  expect(networks.length === 1, who, 'a problem of one network', `${networks.length} networks`);
  return networks[0]!;
}

/** The problem whether every label is the network's answer all over the ball around its image. */
export function robustness(
  model: AnyModel,
  images: Float32Array,
  labels: ArrayLike<number>,
  { eps, norm = 'linf' }: { readonly eps: number; readonly norm?: Norm },
): Problem {
  const k = sizeOf(model.graph.output);
  const places = new Map<number, number>();
  const of = Int32Array.from(labels, (label) => {
    if (!places.has(label)) places.set(label, places.size);
    return places.get(label)!;
  });
  const matrix = new Float32Array(places.size * (k - 1) * k);
  for (const [label, place] of places)
    for (let r = 0; r < k - 1; r++) {
      const row = (place * (k - 1) + r) * k;
      matrix[row + label] = 1;
      matrix[row + (r < label ? r : r + 1)] = -1;
    }
  const start = Array.from({ length: k }, (_, r) => r);
  const rhs = new Float64Array(k - 1);
  return {
    networks: [model],
    region: { count: labels.length, centre: images, eps, norm },
    rows: { count: k - 1, outputs: k, matrix, of, rhs, start, nonzeros: 2, signs: true },
  };
}

/** The problem whether no point of a region has unsafe outputs. */
export const property = (model: AnyModel, { region, unsafe, head }: Specification): Problem => {
  const outputs = sizeOf(model.graph.output);
  const rows = outputRows(logitRows(unsafe, head, outputs), outputs);
  return { networks: [model], region: wholeRegion(region), rows };
};

/** A region as a batch of one box. */
const wholeRegion = (region: Region): Boxes => ({
  count: 1,
  ...outerBox(region),
  ...(region.ball && { ball: region.ball }),
});

/** The problem of some of the samples. */
export function select(problem: Problem, samples: readonly number[]): Problem {
  const { region, rows, phases } = problem;
  const count = samples.length;
  const some = (all: Float32Array): Float32Array => {
    const size = all.length / region.count;
    const found = new Float32Array(count * size);
    samples.forEach((i, at) => {
      found.set(all.subarray(i * size, (i + 1) * size), at * size);
    });
    return found;
  };
  const { of } = rows;
  return {
    ...problem,
    region:
      'centre' in region
        ? { ...region, count, centre: some(region.centre) }
        : { ...region, count, lo: some(region.lo), hi: some(region.hi) },
    rows: of ? { ...rows, of: Int32Array.from(samples, (i) => of[i]!) } : rows,
    ...(phases && { phases: phases.map((all) => samples.map((i) => all[i]!)) }),
  };
}

/** The inputs of a problem as tensors; runs inside `step()`. */
export function inputsOf(problem: Problem, sound: boolean): InputSet {
  const { networks, region } = problem;
  const { engine, graph } = networks[0]!;
  const tensor = (values: Float32Array) =>
    input(engine, values, [region.count, ...graph.network.input]);
  if ('centre' in region)
    return inputSet(tensor(region.centre), region.eps, { norm: region.norm, sound });
  const { count, lo, hi, ball } = region;
  const box = { lo: tensor(lo), hi: tensor(hi) };
  if (!ball) return { box };
  const nearest = Float32Array.from(ball.centre);
  // The ball around the rounded centre that holds the real one.
  const eps = (ball.eps + distance(ball, nearest)) * F64_UP;
  const centres = new Float32Array(count * nearest.length);
  for (let i = 0; i < count; i++) centres.set(nearest, i * nearest.length);
  return { box, ball: { norm: ball.norm, centre: tensor(centres), eps } };
}

/** The rows of all disjuncts in one matrix. */
export function outputRows(unsafe: readonly Conjunction[], outputs: number): OutputRows {
  const rows = unsafe.flatMap((one) => one.rows);
  const exact = unsafe.flatMap(({ exact, rows }): (ExactRow | undefined)[] =>
    exact ? [...exact] : rows.map(() => undefined),
  );
  const start = [0];
  for (const one of unsafe) start.push(start.at(-1)! + one.rows.length);
  const matrix = new Float32Array(rows.length * outputs);
  const rest = new Float64Array(matrix.length);
  let nonzeros = 0;
  rows.forEach((row, r) => {
    matrix.set(row, r * outputs);
    nonzeros = Math.max(nonzeros, row.filter((w) => w !== 0).length);
    row.forEach((w, j) => {
      rest[r * outputs + j] = w - matrix[r * outputs + j]!;
    });
    for (const [j, weight] of exact[r]?.weights ?? []) {
      if (compare(weight, rationalOf(row[j]!)) === 0) continue;
      const off = rest[r * outputs + j]!;
      const more = Math.abs(row[j]!) * F64_U + Number.MIN_VALUE;
      rest[r * outputs + j] = off < 0 ? off - more : off + more;
    }
  });
  return {
    count: rows.length,
    ...{ outputs, matrix, start, nonzeros },
    ...(rest.some((w) => w !== 0) && { rest }),
    rhs: Float64Array.from(unsafe.flatMap((one) => one.rhs)),
    signs: matrix.every((w) => w === 0 || Math.abs(w) === 1),
  };
}

/** Lower bounds of the rounded rows, less what their rest can come to over the boxes of the outputs. */
export function lessRest(
  lower: Float64Array,
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
  { count, outputs, rest, of }: OutputRows,
): Float64Array {
  return lower.map((value, at) => {
    const i = Math.floor(at / count);
    const row = ((of?.[i] ?? 0) * count + (at % count)) * outputs;
    let size = 0;
    for (let j = 0; j < outputs; j++) {
      const largest = Math.max(Math.abs(lo[i * outputs + j]!), Math.abs(hi[i * outputs + j]!));
      const w = Math.abs(rest?.[row + j] ?? 0);
      if (w !== 0) size += w * largest;
    }
    return value - size * F64_UP - Math.abs(value) * F64_U - F64_UNDERFLOW;
  });
}

/**
 * Proven distance of sample `i` from unsafe, by lower bounds of its rows: above 0, it is safe. It is the least
 * over disjuncts of the best row's distance; `disjunct` is the one it is of. A bound that is no number
 * proves nothing.
 */
export function provenSlack(
  { count, rhs, start }: OutputRows,
  lower: Float64Array,
  i = 0,
): { readonly slack: number; readonly disjunct: number } {
  let [least, disjunct] = [Number.POSITIVE_INFINITY, 0];
  for (let d = 0; d + 1 < start.length; d++) {
    let best = Number.NEGATIVE_INFINITY;
    for (let r = start[d]!; r < start[d + 1]!; r++) {
      const bound = lower[i * count + r]!;
      // A bound that overflowed, or is no number, says nothing.
      const slack = Number.isFinite(bound) ? bound - rhs[r]! : Number.NEGATIVE_INFINITY;
      if (slack > best) best = slack;
    }
    if (best < least) [least, disjunct] = [best, d];
  }
  return { slack: least, disjunct };
}
