/**
 * Rounding constants: how far float32 arithmetic can be from exact arithmetic. Every constant by which
 * intervals, plans, linear bounds and verifiers round outwards stands here; docs/numerics.md has the
 * proofs. (The checker has its own, in check/arithmetic.ts, as it must not share a mistake.)
 *
 * For a sum of n products in any order, fused or not, |fl - exact| <= gamma(n) * sum |w||x| with
 * gamma(n) = n u / (1 - n u) (Higham 2002, section 3.1), plus n * 2^-150 where products underflow.
 */
import type { Outward } from '../tensor/ops/interval';

/** Unit roundoff of float32. */
export const U = 2 ** -24;
/** Half the smallest denormal: the largest absolute error of one underflowing operation. */
const OMEGA = 2 ** -150;

/**
 * Absolute error added for what underflows: far more than that is, and far less than any margin that
 * counts. Smaller numbers would make products with denormal ones, each of which costs a hundred others
 * (measured: interval bounds of networks with many idle units took up to twice the time).
 */
export const UNDERFLOW = 2 ** -80;

/** Higham's gamma for n roundings; infinite, so that nothing is proved, where n U is 1/4 or more. */
export function gamma(n: number): number {
  return n * U < 0.25 ? (n * U) / (1 - n * U) : Number.POSITIVE_INFINITY;
}

/** Absolute error of n operations that underflow, as a float32 number, at least `UNDERFLOW`. */
export function underflowError(n: number): number {
  return Math.max(UNDERFLOW, roundUp(4 * (n + 4) * OMEGA));
}

/** The smallest float32 number that is not below x >= 0. */
export function roundUp(x: number): number {
  const nearest = Math.fround(x);
  if (nearest >= x) return nearest;
  // Between half an ulp and one and a half above it, which rounds to the next number.
  return Math.fround(Math.max(nearest * (1 + 1.25 * U), nearest + 2 ** -149));
}

/** The largest float32 number that is not above x, of either sign. */
export function roundDown(x: number): number {
  const nearest = Math.fround(x);
  if (!(nearest > x)) return nearest;
  return nearest > 0
    ? Math.fround(Math.min(nearest * (1 - 1.25 * U), nearest - 2 ** -149))
    : -roundUp(-x);
}

/** No widening: for training and for comparison with other tools. */
export const EXACT: Outward = { relative: 0, absolute: 0 };
/** Widening that covers the two or three roundings of a change between inf-sup and mid-rad (lemmas 2 and 3). */
export const OUTWARD: Outward = { relative: 4 * U, absolute: UNDERFLOW };

/** Widening of one end by `share` of its size, and by `more`. */
export const widening = (share: number, more = 0): Outward => ({
  relative: roundUp(share + 4 * U),
  absolute: roundUp(more * (1 + 4 * U) + UNDERFLOW),
});

/** Rounding errors of an affine layer in mid-rad form (lemma 4). */
export interface LayerError {
  /** |W| is applied to radiusIn[0] r + radiusIn[1] |c|. */
  readonly radiusIn: readonly [number, number];
  /** The radius is radiusOut[0] times what comes out, plus radiusOut[1]. */
  readonly radiusOut: readonly [number, number];
  /** Share of |bias| that joins the radius. */
  readonly biasFactor: number;
}

export const NO_ERROR: LayerError = { radiusIn: [1, 0], radiusOut: [1, 0], biasFactor: 0 };

/** |W| (r (1 + g) + 2 g |c|) + 2 g |b|, times 1 + 2 g, plus underflow, for sums of `length` terms. */
export function layerError(length: number): LayerError {
  const g = gamma(length + 2) + 8 * U;
  return {
    radiusIn: [roundUp(1 + g), roundUp(2 * g)],
    radiusOut: [roundUp(1 + 2 * g), underflowError(2 * length)],
    biasFactor: roundUp(2 * g),
  };
}

/** [alpha, beta, under]: the radius in, alpha r + beta |c| + under, straight from the sums of the layer before (lemma 5). */
export function radiusInAfterSums(length: number): readonly [number, number, number] {
  const g = gamma(length + 2) + 8 * U;
  return [roundUp((1 + g) * (1 + 8 * U)), roundUp(2 * g + 8 * U * (1 + g)), UNDERFLOW];
}

/** Share of the sizes of its terms by which the ends of a sum of several inputs move ("Joins"). */
export const joinShare = (roundings: number): number => roundUp(2 * gamma(roundings + 2) + 8 * U);

/** Sizes of rows that are merged into the last layer (lemma 7). */
export interface MergedRows {
  /** Longest sum behind an output of the layer, 0 where there is no layer. */
  readonly length: number;
  /** Most non-zeros of any row (nnz per row). */
  readonly nnz: number;
  /** Inputs of the layer. */
  readonly inputs: number;
}

/** Scale and shift of the sizes of its terms that a merged row may be off (lemma 7). */
export function mergedError({ length, nnz, inputs }: MergedRows): readonly [number, number] {
  const products = Math.min(inputs, Math.max(1, length) * nnz);
  const g = gamma(length + nnz + products + 16);
  return [roundUp(g * (1 + 2 * g)), underflowError(4 * Math.max(1, length) * nnz)];
}

/** Share of the sizes of all inputs that covers what underflows in the merged row itself (lemma 7). */
export const mergedUnderflow = (inputs: number): number =>
  roundUp(2 ** -124 * (1 + 2 * gamma(inputs)));

/** Share of its sizes that an affine node's constants hold: of its own sums, and of the transposed ones ("Affine nodes"). */
export const affineShare = (length: number, transposeLength: number): number =>
  roundUp((gamma(length) + gamma(transposeLength)) * (1 + 2 * gamma(length + 8)));

/** Share of its sizes that the constants of a sum of several inputs hold ("Sums"). */
export const sumShare = (roundings: number): number =>
  roundUp(gamma(roundings) * (1 + 2 * gamma(roundings + 8)));

/** Error of a product that underflows in a backward pass, for every one behind a coefficient. */
export const PRODUCT_UNDERFLOW = 2 ** -149;

/** More than the rounding of a coefficient times a slope, as a share of the product. */
export const SLOPE_PRODUCT = 2.01 * U;
/** Covers float64 arithmetic of relaxations, as a share of the sizes in it. */
export const F64_SHARE = 2 ** -46;
/** Times this plus `UNDERFLOW`, a number >= 0 rounded to float32 is no smaller than it was. */
export const F32_UP = 1 + 2 ** -22;
/** Error of an execution's f from the units of a layer's `error`, 0 where it is exact. */
export const pointwiseError = (units: number): number =>
  units > 0 ? 1.01 * U * units + UNDERFLOW : 0;

/** Scale and shift by which the computed norm of a row is no smaller than the exact one ("The input"). */
export const normError = (norm: 'l2' | 'l1', columns: number): readonly [number, number] =>
  norm === 'l1'
    ? [roundUp(1 + 4 * U), 2 ** -148]
    : // Squares below 2^-126 lose up to 2^-150 each.
      [roundUp(1 + 8 * U), roundUp(2 ** -74 * Math.sqrt(columns))];

/** Twice the unit roundoff of float64: more than one rounding. */
export const F64_U = 2 ** -52;
/** Share of the sizes of its terms by which a float64 sum of n products can be wrong, several times over. */
export const f64Share = (n: number): number => (n + 12) * F64_U;
/** Share that covers a few float64 roundings, and factor by which a number >= 0 then is no smaller. */
export const F64_FEW = 1e-12;
export const F64_UP = 1 + F64_FEW;
/** Share that covers long float64 computations, logarithms and square roots among them. */
export const F64_MANY = 1e-9;
/** More than what underflows in float64: in the weights of a row, in their rests and in products of these. */
export const F64_UNDERFLOW = 2 ** -900;

/** Relative error of a runtime's float32 softmax, of itself: 256 roundings and 4 an output ("Properties"). */
export const softmaxError = (outputs: number): number => (256 + 4 * outputs) * U;
/** Absolute error of a softmax, which holds what underflows, denormals flushed to zero or not. */
export const SOFTMAX_UNDERFLOW = 2 ** -125;
