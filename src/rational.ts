/**
 * Exact rational numbers: a bigint over a positive bigint, not reduced. Decimals and float64 numbers
 * are rational, and sums, products and quotients of them stay exact; a rational becomes a float64 by
 * one rounding, in a direction that the caller names.
 *
 * Sums of decimals keep the larger of two powers of ten below, so they do not grow with their number.
 */
import { expect } from './errors';

export interface Rational {
  readonly num: bigint;
  /** Above 0. */
  readonly den: bigint;
}

/** weights . y <= rhs, by index of y; no weight is 0. */
export interface ExactRow {
  readonly weights: ReadonlyMap<number, Rational>;
  readonly rhs: Rational;
}

export type Rounding = 'down' | 'nearest' | 'up';

/** Digits of a decimal, and its power of ten, at most. */
export const MAX_DIGITS = 2000;
const DECIMAL = /^([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?$/;

export const ZERO: Rational = { num: 0n, den: 1n };
export const ONE: Rational = { num: 1n, den: 1n };
export const MINUS_ONE: Rational = { num: -1n, den: 1n };

/** The value of a decimal such as `-1.5e-7`; undefined for other texts and for more than MAX_DIGITS. */
export function parseDecimal(text: string): Rational | undefined {
  if (text.length > MAX_DIGITS) return undefined;
  const found = DECIMAL.exec(text);
  if (!found) return undefined;
  const [, sign, whole = '', behind = '', only = '', power = '0'] = found;
  const fraction = behind + only;
  const digits = BigInt(whole + fraction);
  if (digits === 0n) return ZERO;
  const exponent = Number(power) - fraction.length;
  if (!(Math.abs(exponent) <= MAX_DIGITS)) return undefined;
  const num = sign === '-' ? -digits : digits;
  return exponent < 0
    ? { num, den: 10n ** BigInt(-exponent) }
    : { num: num * 10n ** BigInt(exponent), den: 1n };
}

/** The value of a float64; raises EspalierError for infinities and NaN, which have none. */
export function rationalOf(x: number): Rational {
  expect(Number.isFinite(x), 'rationalOf', 'a finite number', x);
  if (Number.isInteger(x)) return { num: BigInt(x), den: 1n };
  // |x| < 2^53 has at most 1074 binary places; scaling by powers of two is exact.
  let [value, places] = [x, 0];
  while (!Number.isInteger(value)) {
    const step = Math.abs(value) < 1 ? 64 : 8;
    value *= 2 ** step;
    places += step;
  }
  return { num: BigInt(value), den: 1n << BigInt(places) };
}

export function add(a: Rational, b: Rational): Rational {
  if (a.den === b.den) return { num: a.num + b.num, den: a.den };
  if (a.den % b.den === 0n) return { num: a.num + b.num * (a.den / b.den), den: a.den };
  if (b.den % a.den === 0n) return { num: a.num * (b.den / a.den) + b.num, den: b.den };
  return { num: a.num * b.den + b.num * a.den, den: a.den * b.den };
}

export function multiply(a: Rational, b: Rational): Rational {
  return { num: a.num * b.num, den: a.den * b.den };
}

/** a / b; b is not 0. */
export function divide(a: Rational, b: Rational): Rational {
  const sign = b.num < 0n ? -1n : 1n;
  return { num: sign * a.num * b.den, den: sign * a.den * b.num };
}

export const negate = ({ num, den }: Rational): Rational => ({ num: -num, den });

/** -1, 0 or 1. */
export const signOf = ({ num }: Rational): number => (num > 0n ? 1 : num < 0n ? -1 : 0);

/** The sign of a - b. */
export function compare(a: Rational, b: Rational): number {
  const [left, right] = a.den === b.den ? [a.num, b.num] : [a.num * b.den, b.num * a.den];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** weights . y - rhs at finite numbers y. */
export function excess({ weights, rhs }: ExactRow, y: ArrayLike<number>): Rational {
  let sum = negate(rhs);
  for (const [j, weight] of weights) sum = add(sum, multiply(weight, rationalOf(y[j]!)));
  return sum;
}

const SAFE = 2n ** 53n;

/** Words of 64 bits that a rational takes beyond the first two: 0 for all but long numbers. */
export function wordsOf({ num, den }: Rational): number {
  const size = num < 0n ? -num : num;
  if (size < SAFE && den < SAFE) return 0;
  return (bitsOf(size) + bitsOf(den)) >> 6;
}

function bitsOf(n: bigint): number {
  const hex = n.toString(16);
  return 4 * hex.length - (Math.clz32(Number.parseInt(hex[0]!, 16)) - 28);
}

/** Exponent e of |x| in [2^e, 2^(e + 1)); x is not 0. */
export function exponentOf({ num, den }: Rational): number {
  const size = num < 0n ? -num : num;
  const e = bitsOf(size) - bitsOf(den);
  const below = e >= 0 ? size < den << BigInt(e) : size << BigInt(-e) < den;
  return below ? e - 1 : e;
}

/** x times 2^power. */
export const scaled = ({ num, den }: Rational, power: number): Rational =>
  power >= 0 ? { num: num << BigInt(power), den } : { num, den: den << BigInt(-power) };

/** The float64 next to x in that direction (ties to even); infinite beyond the largest. */
export function toFloat64(x: Rational, rounding: Rounding = 'nearest'): number {
  const { num, den } = x;
  if (num === 0n) return 0;
  if (den === 1n && num < SAFE && num > -SAFE) return Number(num);
  const negative = num < 0n;
  const size = negative ? -num : num;
  // The value is (whole + rest / of) units; a float64 is a whole number of them below 2^53.
  const unit = Math.max(exponentOf(x) - 52, -1074);
  const [top, of] = unit >= 0 ? [size, den << BigInt(unit)] : [size << BigInt(-unit), den];
  const whole = top / of;
  const rest = top - whole * of;
  const outwards = (rounding === 'up') !== negative;
  if (unit > 971) {
    const most = rounding === 'nearest' || outwards ? Number.POSITIVE_INFINITY : Number.MAX_VALUE;
    return negative ? -most : most;
  }
  const away =
    rounding === 'nearest'
      ? 2n * rest > of || (2n * rest === of && whole % 2n === 1n)
      : rest > 0n && outwards;
  const value = Number(away ? whole + 1n : whole) * 2 ** unit;
  return negative ? -value : value;
}
