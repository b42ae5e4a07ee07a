/** Exact fractions: every float64 is one, and sums, products and quotients stay exact. */
export interface Fraction {
  readonly over: bigint;
  /** Above 0. */
  readonly under: bigint;
}

function gcd(a: bigint, b: bigint): bigint {
  let [p, q] = [a < 0n ? -a : a, b];
  while (q) [p, q] = [q, p % q];
  return p;
}

function reduced(over: bigint, under: bigint): Fraction {
  const g = gcd(over, under) || 1n;
  return under < 0n ? { over: -over / g, under: -under / g } : { over: over / g, under: under / g };
}

/** A finite number. */
export function fraction(x: number): Fraction {
  let [value, bits] = [x, 0];
  while (!Number.isInteger(value)) {
    value *= 2;
    bits++;
  }
  return reduced(BigInt(value), 1n << BigInt(bits));
}

export const ZERO = fraction(0);
export const plus = (a: Fraction, b: Fraction): Fraction =>
  reduced(a.over * b.under + b.over * a.under, a.under * b.under);
export const times = (a: Fraction, b: Fraction): Fraction =>
  reduced(a.over * b.over, a.under * b.under);
export const over = (a: Fraction, b: Fraction): Fraction =>
  b.over < 0n
    ? reduced(-a.over * b.under, -a.under * b.over)
    : reduced(a.over * b.under, a.under * b.over);
export const sign = ({ over: value }: Fraction): number => (value > 0n ? 1 : value < 0n ? -1 : 0);
export const isAtMost = (a: Fraction, b: Fraction): boolean => a.over * b.under <= b.over * a.under;
