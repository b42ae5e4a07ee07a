/**
 * Pointwise non-decreasing functions with their two-line relaxations (Zhang et al. 2018, CROWN,
 * section 3 and appendix).
 */
import * as v from 'valibot';
import { expect } from '../../errors';
import { real } from '../../options';
import { maximum, minimum } from '../../tensor/ops/core';
import {
  leakyRelu as leaky,
  sigmoid as logistic,
  relu as rectify,
  tanh as tangent,
} from '../../tensor/ops/elementwise';
import type { Shape } from '../../tensor/shape';
import { filled, type Tensor } from '../../tensor/tensor';
import type { Lines } from '../curve';
import { type PointwiseLayer, pointwiseLayer } from '../layer';

const none = v.strictObject({});
const same = ([input]: readonly Shape[]): Shape => input!;

/**
 * Around below x for x < 0 and above x from there on, below <= above: the chord above; below, the steeper or
 * the flatter ray, whichever leaves less area.
 */
export function rectified(lo: number, hi: number, below: number, above: number): Lines {
  if (lo >= 0) return [above, 0, above, 0];
  if (hi <= 0) return [below, 0, below, 0];
  const chord = (above * hi - below * lo) / (hi - lo);
  return [hi > -lo ? above : below, 0, chord, (above - below) * hi * (-lo / (hi - lo))];
}

export const relu = pointwiseLayer({
  role: 'pointwise',
  isReLU: true,
  about: 'max(x, 0)',
  options: none,
  shape: same,
  f: (x) => rectify(x),
  scalar: (x) => Math.max(x, 0),
  relax: (lo, hi) => rectified(lo, hi, 0, 1),
  breakpointSlopes: () => [0, 1],
  error: 0,
});

export const leakyRelu = pointwiseLayer({
  role: 'pointwise',
  about: 'x above 0, slope * x below',
  options: v.strictObject({ slope: v.optional(real(0, 1), 0.01) }),
  shape: same,
  f: (x, o) => leaky(x, o.slope),
  scalar: (x, o) => (x > 0 ? x : Math.fround(o.slope) * x),
  relax: (lo, hi, o) => rectified(lo, hi, Math.fround(o.slope), 1),
  breakpointSlopes: (o) => [Math.fround(o.slope), 1],
  error: 2,
});

const limits = v.strictObject({
  lo: v.optional(v.nullable(real()), null),
  hi: v.optional(v.nullable(real()), null),
});

/** Flat below `a` and above `b`, a <= b; where both are crossed the lines go through both ends. */
function clipped(lo: number, hi: number, a: number, b: number): Lines {
  if (hi <= a) return [0, a, 0, a];
  if (lo >= b) return [0, b, 0, b];
  if (lo >= a && hi <= b) return [1, 0, 1, 0];
  if (hi <= b) return shifted(rectified(lo - a, hi - a, 0, 1), a);
  if (lo >= a) {
    const [p, q, r, s] = rectified(b - hi, b - lo, 0, 1);
    return [r, b - s - r * b, p, b - q - p * b];
  }
  const [below, above] = [(b - a) / (hi - a), (b - a) / (b - lo)];
  return [below, a - below * a, above, b - above * b];
}

/** Lines of y - at as a function of x - at, as lines of y and x. */
const shifted = ([p, q, r, s]: Lines, at: number): Lines => [
  p,
  q + at - p * at,
  r,
  s + at - r * at,
];

/** The limits as the network has them, in float32; a limit of null is none. */
const ends = ({ lo, hi }: v.InferOutput<typeof limits>): [number, number] => [
  lo === null ? Number.NEGATIVE_INFINITY : Math.fround(lo),
  hi === null ? Number.POSITIVE_INFINITY : Math.fround(hi),
];

/** ONNX Clip, ReLU6, hardtanh. */
export const clip = pointwiseLayer({
  role: 'pointwise',
  about: 'x limited to [lo, hi], each optional: lo, hi',
  options: limits,
  shape([input], { lo, hi }, who) {
    expect(lo === null || hi === null || lo <= hi, who, 'lo <= hi', `[${lo}, ${hi}]`);
    return input!;
  },
  f(x, { lo, hi }) {
    const at = (value: number): Tensor => filled(x.engine, [1], value);
    const above = lo === null ? x : maximum(x, at(lo));
    return hi === null ? above : minimum(above, at(hi));
  },
  scalar(x, o) {
    const [lo, hi] = ends(o);
    return Math.min(Math.max(x, lo), hi);
  },
  relax: (lo, hi, o) => clipped(lo, hi, ...ends(o)),
  error: 0,
});

/** An S-shaped function, convex below 0 and concave above, by tangents and chords. */
function sigmoidal(f: (x: number) => number, df: (x: number) => number): PointwiseLayer['relax'] {
  const line = (slope: number, x: number): [number, number] => [slope, f(x) - slope * x];
  /** Touching point beyond 0 of the tangent through (x, f(x)), x on the other side. */
  const touch = (x: number, end: number): number => {
    let [near, far] = [0, end];
    for (let i = 0; i < 60; i++) {
      const mid = (near + far) / 2;
      const above = f(mid) - df(mid) * (mid - x) - f(x);
      if (x < 0 ? above > 0 : above < 0) far = mid;
      else near = mid;
    }
    return far;
  };
  return (lo, hi) => {
    if (hi - lo < 1e-6) return [0, f(lo), 0, f(hi)];
    const chord = (f(hi) - f(lo)) / (hi - lo);
    const middle = (lo + hi) / 2;
    if (lo >= 0) return [...line(chord, lo), ...line(df(middle), middle)];
    if (hi <= 0) return [...line(df(middle), middle), ...line(chord, hi)];
    const up = df(hi) >= chord ? line(chord, lo) : tangentThrough(touch(lo, hi), df, f);
    const down = df(lo) >= chord ? line(chord, hi) : tangentThrough(touch(hi, lo), df, f);
    return [...down, ...up];
  };
}

function tangentThrough(
  x: number,
  df: (x: number) => number,
  f: (x: number) => number,
): [number, number] {
  return [df(x), f(x) - df(x) * x];
}

const s = (x: number): number => 1 / (1 + Math.exp(-x));

export const sigmoid = pointwiseLayer({
  role: 'pointwise',
  about: '1 / (1 + exp(-x))',
  options: none,
  shape: same,
  f: (x) => logistic(x),
  scalar: s,
  relax: sigmoidal(s, (x) => s(x) * (1 - s(x))),
  error: 16,
  // onnxruntime is off by 3.4 where the value is 2^-25 (docs/numerics.md, "Pointwise layers").
  absolute: 16,
});

export const tanh = pointwiseLayer({
  role: 'pointwise',
  about: 'hyperbolic tangent',
  options: none,
  shape: same,
  f: (x) => tangent(x),
  scalar: Math.tanh,
  relax: sigmoidal(Math.tanh, (x) => 1 - Math.tanh(x) ** 2),
  error: 16,
});
