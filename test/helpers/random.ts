/** Seeded random numbers for test data (mulberry32), independent of the library's own. */
import type { Shape } from '../../src/tensor/shape';
import { type Nd, nd, sizeOf } from './nd';

export interface Sampler {
  /** Uniform in [lo, hi). */
  real(lo?: number, hi?: number): number;
  /** A whole number in [0, n). */
  whole(n: number): number;
  /** Float32 values in [lo, hi). */
  array(shape: Shape, lo?: number, hi?: number): Nd;
  /** Float32 values in (-hi, -lo] or [lo, hi): nothing near 0, where kinks are. */
  away(shape: Shape, lo?: number, hi?: number): Nd;
  /** Distinct multiples of 1/16 in random order: nothing near a tie. */
  distinct(shape: Shape): Nd;
  /** Float32 values of either sign, sizes 10^[low, high) spread over their exponents. */
  spread(shape: Shape, low: number, high: number): Nd;
}

export function sampler(seed: number): Sampler {
  let state = Math.imul(seed + 1, 0x9e3779b9) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const real = (lo = 0, hi = 1): number => lo + (hi - lo) * next();
  const fill = (shape: Shape, draw: () => number): Nd =>
    nd(shape, Float32Array.from({ length: sizeOf(shape) }, draw));
  const sign = (): number => (next() < 0.5 ? -1 : 1);
  return {
    real,
    whole: (n) => Math.floor(next() * n),
    array: (shape, lo = -1, hi = 1) => fill(shape, () => real(lo, hi)),
    away: (shape, lo = 0.1, hi = 2) => fill(shape, () => sign() * real(lo, hi)),
    distinct(shape) {
      const values = Array.from({ length: sizeOf(shape) }, (_, i) => i / 16 - 1);
      for (let i = values.length - 1; i > 0; i--) {
        const j = Math.floor(next() * (i + 1));
        [values[i], values[j]] = [values[j]!, values[i]!];
      }
      return nd(shape, values);
    },
    spread: (shape, low, high) => fill(shape, () => sign() * 10 ** real(low, high)),
  };
}
