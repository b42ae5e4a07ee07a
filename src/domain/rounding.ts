/**
 * How far float32 arithmetic can be from exact arithmetic, as constants for outward rounding; the
 * argument is in docs/numerics.md.
 *
 * For a sum of n products in any order, fused or not, |fl - exact| <= gamma(n) * sum |w||x| with
 * gamma(n) = n u / (1 - n u) (Higham 2002, section 3.1), plus n * 2^-150 where products underflow.
 */

/** Unit roundoff of float32. */
export const U = 2 ** -24;
/** Half the smallest denormal: the largest absolute error of one underflowing operation. */
const UNDERFLOW = 2 ** -150;

/**
 * Added for what underflows: far more than that is, and far less than any margin that counts. Smaller
 * numbers would make products with denormal ones, each of which costs a hundred others (measured:
 * interval bounds of networks with many idle units took up to twice the time).
 */
export const TINY = 2 ** -80;

/** Higham's gamma for n roundings; infinite, so that nothing is proved, where n U is 1/4 or more. */
export function gamma(n: number): number {
  return n * U < 0.25 ? (n * U) / (1 - n * U) : Number.POSITIVE_INFINITY;
}

/** Absolute error of n operations that underflow, as a float32 number, at least `TINY`. */
export function tiny(n: number): number {
  return Math.max(TINY, roundUp(4 * (n + 4) * UNDERFLOW));
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
