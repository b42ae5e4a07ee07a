/**
 * Verification problems: whether the outputs of networks are safe for all inputs of a region. A problem is plain
 * data and a batch of samples, each with a region of inputs, rows of a specification matrix C with thresholds,
 * and phases of split neurons. The unsafe set is a disjunction of conjunctions of c . y <= rhs, as in VNN-LIB;
 * a sample is safe where every disjunct has a row above its threshold.
 *
 * Robustness of images and properties of outputs (VNN-LIB) are both problems; a method (methods.ts) computes
 * lower bounds of their rows, branch and bound (branch-and-bound.ts) splits them.
 */
import type { Multipliers } from '../bounds/beta';
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

/** Boxes of inputs, [count, inputs] each; with a `ball` the region is its intersection with the box. */
export interface Boxes {
  readonly count: number;
  readonly lo: Float32Array;
  readonly hi: Float32Array;
  readonly ball?: CutBall;
}

/** Balls of radius eps around images [count, inputs], intersected with [0, 1]. */
export interface Balls {
  readonly count: number;
  readonly centre: Float32Array;
  readonly eps: number;
  readonly norm: Norm;
}

/**
 * Rows of specification matrices in the form that bounds take. Their columns are the outputs of all networks,
 * concatenated.
 */
export interface OutputRows {
  /** Rows per sample. */
  readonly count: number;
  readonly outputs: number;
  /** [matrices * count, outputs], rounded to float32. */
  readonly matrix: Float32Array;
  /** Index of the matrix of each sample; left out: the first for all. */
  readonly matrixOf?: Int32Array;
  /**
   * Residual of rounding the matrix to float32: exact entry - `matrix`, shaped like it; undefined where all
   * entries are float32 numbers. Where float64 does not hold it, it is rounded away from 0, by at most 2^-51 of
   * the entry (or 2^-1073).
   */
  readonly residual?: Float64Array;
  /** Thresholds of a sample's rows (right-hand sides): row k is unsafe where it is at most rhs[k]. */
  readonly rhs: Float64Array;
  /** Rows [start[d], start[d + 1]) are those of disjunct d. */
  readonly start: readonly number[];
  /** Most non-zeros of any row (nnz per row). */
  readonly nnz: number;
  /** True if all entries of the matrix are -1, 0 or 1. */
  readonly ternary: boolean;
}

export interface Problem {
  /** Networks that share the input, in canonical form. */
  readonly networks: readonly AnyModel[];
  readonly region: Boxes | Balls;
  readonly rows: OutputRows;
  /**
   * Split constraints: phases of neurons by network and sample. Bounds then need to hold only for executions
   * that satisfy them; a method that cannot use them may ignore them, as a bound of all executions still holds.
   */
  readonly phases?: readonly Phases[];
  /** Disjunct that each sample is about: rows of the others need not be bounded. Left out: all of them. */
  readonly only?: Int32Array;
  /** Where methods that optimise begin, by sample: what they found for its parent. */
  readonly starts?: readonly (Start | undefined)[];
}

/** Multipliers of a sample's rows, in order. */
export type Start = readonly Multipliers[];

/** The rows [from, to) that sample i is about. */
export function rowsAsked({ rows, only }: Problem, i: number): readonly [from: number, to: number] {
  const { start, count } = rows;
  return only ? [start[only[i]!]!, start[only[i]! + 1]!] : [0, count];
}

/** The only network of a problem; raises an error that begins with `who` where there are several. */
export function onlyNetwork({ networks }: Problem, who: string): AnyModel {
  expect(networks.length === 1, who, 'a problem of one network', `${networks.length} networks`);
  return networks[0]!;
}

/** Makes the problem of local robustness: is every point of the ball around an image classified as its label? */
export function robustness(
  model: AnyModel,
  images: Float32Array,
  labels: ArrayLike<number>,
  { eps, norm = 'linf' }: { readonly eps: number; readonly norm?: Norm },
): Problem {
  const k = sizeOf(model.graph.output);
  const places = new Map<number, number>();
  const matrixOf = Int32Array.from(labels, (label) => {
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
    rows: { count: k - 1, outputs: k, matrix, matrixOf, rhs, start, nnz: 2, ternary: true },
  };
}

/** Makes the problem of a property: does no point of the region have unsafe outputs? */
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

/** The problem of the given samples alone. */
export function select(problem: Problem, samples: readonly number[]): Problem {
  const { region, rows, phases, only, starts } = problem;
  const count = samples.length;
  const some = (all: Float32Array): Float32Array => {
    const size = all.length / region.count;
    const found = new Float32Array(count * size);
    samples.forEach((i, at) => {
      found.set(all.subarray(i * size, (i + 1) * size), at * size);
    });
    return found;
  };
  const { matrixOf } = rows;
  return {
    ...problem,
    region:
      'centre' in region
        ? { ...region, count, centre: some(region.centre) }
        : { ...region, count, lo: some(region.lo), hi: some(region.hi) },
    rows: matrixOf ? { ...rows, matrixOf: Int32Array.from(samples, (i) => matrixOf[i]!) } : rows,
    ...(phases && { phases: phases.map((all) => samples.map((i) => all[i]!)) }),
    ...(only && { only: Int32Array.from(samples, (i) => only[i]!) }),
    ...(starts && { starts: samples.map((i) => starts[i]) }),
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
  // A ball around the centre in float32, enlarged so that it contains the ball around the exact centre.
  const eps = (ball.eps + distance(ball, nearest)) * F64_UP;
  const centres = new Float32Array(count * nearest.length);
  for (let i = 0; i < count; i++) centres.set(nearest, i * nearest.length);
  return { box, ball: { norm: ball.norm, centre: tensor(centres), eps } };
}

/** Stacks the rows of all disjuncts into one matrix. */
export function outputRows(unsafe: readonly Conjunction[], outputs: number): OutputRows {
  const rows = unsafe.flatMap((one) => one.rows);
  const exact = unsafe.flatMap(({ exact, rows }): (ExactRow | undefined)[] =>
    exact ? [...exact] : rows.map(() => undefined),
  );
  const start = [0];
  for (const one of unsafe) start.push(start.at(-1)! + one.rows.length);
  const matrix = new Float32Array(rows.length * outputs);
  const residual = new Float64Array(matrix.length);
  let nnz = 0;
  rows.forEach((row, r) => {
    matrix.set(row, r * outputs);
    nnz = Math.max(nnz, row.filter((w) => w !== 0).length);
    row.forEach((w, j) => {
      residual[r * outputs + j] = w - matrix[r * outputs + j]!;
    });
    for (const [j, weight] of exact[r]?.weights ?? []) {
      if (compare(weight, rationalOf(row[j]!)) === 0) continue;
      const off = residual[r * outputs + j]!;
      const more = Math.abs(row[j]!) * F64_U + Number.MIN_VALUE;
      residual[r * outputs + j] = off < 0 ? off - more : off + more;
    }
  });
  return {
    count: rows.length,
    ...{ outputs, matrix, start, nnz },
    ...(residual.some((w) => w !== 0) && { residual }),
    rhs: Float64Array.from(unsafe.flatMap((one) => one.rhs)),
    ternary: matrix.every((w) => w === 0 || Math.abs(w) === 1),
  };
}

/** Turns lower bounds of the float32 rows into ones of the exact rows: minus |residual| times the largest |output| over its box. */
export function subtractResidual(
  lower: Float64Array,
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
  { count, outputs, residual, matrixOf }: OutputRows,
): Float64Array {
  return lower.map((value, at) => {
    const i = Math.floor(at / count);
    const row = ((matrixOf?.[i] ?? 0) * count + (at % count)) * outputs;
    let size = 0;
    for (let j = 0; j < outputs; j++) {
      const largest = Math.max(Math.abs(lo[i * outputs + j]!), Math.abs(hi[i * outputs + j]!));
      const w = Math.abs(residual?.[row + j] ?? 0);
      if (w !== 0) size += w * largest;
    }
    return value - size * F64_UP - Math.abs(value) * F64_U - F64_UNDERFLOW;
  });
}

/**
 * Proven slack of sample `i`, from lower bounds of its rows: min over disjuncts of max over their rows of bound
 * - rhs. Above 0 the sample is proven safe. `disjunct` is where the minimum is, of all or just of `only`. A bound
 * that is NaN or infinite proves nothing.
 */
export function provenSlack(
  { count, rhs, start }: OutputRows,
  lower: Float64Array,
  i = 0,
  only?: number,
): { readonly slack: number; readonly disjunct: number } {
  let [least, disjunct] = [Number.POSITIVE_INFINITY, only ?? 0];
  for (let d = only ?? 0; d + 1 < start.length && d <= (only ?? d); d++) {
    let best = Number.NEGATIVE_INFINITY;
    for (let r = start[d]!; r < start[d + 1]!; r++) {
      const bound = lower[i * count + r]!;
      const slack = Number.isFinite(bound) ? bound - rhs[r]! : Number.NEGATIVE_INFINITY;
      if (slack > best) best = slack;
    }
    if (best < least) [least, disjunct] = [best, d];
  }
  return { slack: least, disjunct };
}
