/**
 * The checker's own account of rounding, in f64 (docs/certificates.md has the argument; Higham 2002,
 * section 3.1).
 *
 * Two things round: the network's float32 execution, in any order of summation, and the checker's
 * own f64. The second is covered by one generous constant, as it is far smaller than the first.
 */

/** Most values of all nodes of a network together, and so the longest f64 sum of the checker. */
export const MOST_VALUES = 2 ** 22;

/**
 * Share of the sizes of its terms by which an f64 sum of at most 4 * MOST_VALUES terms can be wrong,
 * several times over: 2^24 * 2^-53 = 2^-29.
 */
export const F64 = 2 ** -28;

/** Smallest float32 number: twice the absolute error of an operation that underflows. */
export const SMALLEST = 2 ** -149;

/**
 * More than all products of one bound can lose where they vanish in f64, coefficients near 2^-1074 say:
 * 2^-1075 each, times values below 2^127, of fewer than 2^60 products.
 */
export const UNDERFLOW = 2 ** -800;

/** Greatest size of an input: no sum of fewer than two such values overflows float32. */
export const MOST_INPUT = 2 ** 126;

/**
 * No float32 sum of terms whose sizes add up to less than this overflows in any order; nor does one that a
 * scale behind it, folded into its weights, has made smaller by 2^24 at most.
 */
const LARGEST = 2 ** 100;

/** Error of a float32 sum whose terms meet up to `roundings` roundings, as a share of their sizes. */
export function float32(roundings: number): number {
  const share = roundings * 2 ** -24;
  return share < 0.25 ? share / (1 - share) : Number.NaN;
}

/**
 * Distance of a float32 sum, and of the checker's own f64 one, from the exact sum of terms whose sizes
 * add up to `size`; NaN, so that nothing is proven, where it could overflow on the way.
 */
export function sumError(size: number, roundings: number): number {
  if (!(size * roundings < LARGEST)) return Number.NaN;
  return up((float32(roundings) + F64) * size) + 2 * roundings * SMALLEST;
}

/** Above a non-negative number by more than the few f64 roundings behind it. */
export function up(x: number): number {
  return x * (1 + 2 ** -20);
}
