/** Hard mish for the checker: between its kinks f' = x + 1, which is the slope at one point. */
import type { Activation } from '../../src/check/activations';

const f = (x: number): number => (x <= -2 ? 0 : x >= 0 ? x : (x * (x + 2)) / 2);
const within = (x: number, lo: number, hi: number): number => Math.min(Math.max(x, lo), hi);

export const hardMish: Activation = {
  f,
  error: 4,
  kinks: [],
  extremes(slope, lo, hi) {
    const touch = within(slope - 1, -2, 0);
    return [lo, hi, ...[-2, 0, touch].map((x) => within(x, lo, hi))];
  },
  lower: (lo, hi) => within((lo + hi) / 2 + 1, 0, 1),
  upper: (lo, hi) => (hi > lo ? (f(hi) - f(lo)) / (hi - lo) : 0),
};
