/**
 * Exact arithmetic on tiny dense networks: every float32 is a whole multiple of 2^-149, so interval
 * bounds of W x + b are whole numbers at a fixed scale, and BigInt holds them.
 */
import type { Sampler } from './random';

const BITS = 149;

/** value * 2^bits, exactly; the value is a whole multiple of 2^-bits. */
export interface Exact {
  readonly value: bigint;
  readonly bits: number;
}

/** A finite float32 number. */
export const exact = (x: number): Exact => ({ value: BigInt(x * 2 ** BITS), bits: BITS });

/** Any finite double. */
export function double(x: number): Exact {
  if (!Number.isFinite(x)) throw new Error(`${x} is no rational number`);
  let [value, bits] = [x, 0];
  while (!Number.isInteger(value)) {
    value *= 2;
    bits++;
  }
  return { value: BigInt(value), bits };
}

const at = ({ value, bits }: Exact, target: number): bigint => value << BigInt(target - bits);
const binary =
  (f: (p: bigint, q: bigint) => bigint) =>
  (a: Exact, b: Exact): Exact => {
    const bits = Math.max(a.bits, b.bits);
    return { value: f(at(a, bits), at(b, bits)), bits };
  };

export const plus = binary((p, q) => p + q);
export const minus = binary((p, q) => p - q);
// biome-ignore lint/complexity/useMathMinMax: it does not take BigInt.
export const least = binary((p, q) => (p < q ? p : q));
// biome-ignore lint/complexity/useMathMinMax: it does not take BigInt.
export const most = binary((p, q) => (p > q ? p : q));
export const times = (a: Exact, b: Exact): Exact => ({
  value: a.value * b.value,
  bits: a.bits + b.bits,
});
export const isBelow = (a: Exact, b: Exact): boolean => minus(b, a).value >= 0n;
export const ZERO: Exact = exact(0);

export interface ExactInterval {
  readonly lo: Exact;
  readonly hi: Exact;
}

/** The exact interval bounds of w x + b. */
export function row(w: readonly Exact[], x: readonly ExactInterval[], b: Exact): ExactInterval {
  let [lo, hi] = [b, b];
  w.forEach((weight, i) => {
    const [p, q] = [times(weight, x[i]!.lo), times(weight, x[i]!.hi)];
    lo = plus(lo, least(p, q));
    hi = plus(hi, most(p, q));
  });
  return { lo, hi };
}

export interface DenseWeights {
  /** [units][features] */
  readonly weight: readonly (readonly number[])[];
  readonly bias: readonly number[];
}

export const dense = (
  { weight, bias }: DenseWeights,
  x: readonly ExactInterval[],
): ExactInterval[] => weight.map((w, i) => row(w.map(exact), x, exact(bias[i]!)));

export const relu = (x: readonly ExactInterval[]): ExactInterval[] =>
  x.map(({ lo, hi }) => ({ lo: most(lo, ZERO), hi: most(hi, ZERO) }));

/** The exact lower bound of (row y - row j) over the box of hidden values. */
export function margin(
  { weight, bias }: DenseWeights,
  x: readonly ExactInterval[],
  y: number,
  j: number,
): Exact {
  const w = weight[y]!.map((v, i) => minus(exact(v), exact(weight[j]![i]!)));
  return row(w, x, minus(exact(bias[y]!), exact(bias[j]!))).lo;
}

/** One dense layer from a point in float32, summed in a random order, at random fused. */
export function execution(
  { weight, bias }: DenseWeights,
  x: readonly number[],
  random: Sampler,
): number[] {
  return weight.map((w, u) => {
    const terms = w.map((v, i) => [v, x[i]!] as const).concat([[bias[u]!, 1]]);
    terms.sort(() => random.real() - 0.5);
    const fused = random.real() < 0.5;
    return terms.reduce(
      (sum, [a, b]) => Math.fround((fused ? a * b : Math.fround(a * b)) + sum),
      0,
    );
  });
}
