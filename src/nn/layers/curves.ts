/**
 * Pointwise functions that fall before they rise: abs, gelu (Hendrycks and Gimpel 2016), silu (Elfwing et al.
 * 2018) and hard-swish (Howard et al. 2019). Each has one lowest point, so over [lo, hi] it is least at the
 * point of the box that is nearest to it, and greatest at an end.
 *
 * Runtimes compute x times a number in [0, 1] that they know to about 2^-24, so the error is one of x,
 * not of f: `inputError`.
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { normalCdf, normalDensity } from '../../statistics';
import { affine, maximum, minimum, mul } from '../../tensor/ops/core';
import {
  abs as absolute,
  clamp,
  normalCdf as phi,
  sigmoid,
  square,
} from '../../tensor/ops/elementwise';
import type { Shape } from '../../tensor/shape';
import { filled, type Tensor } from '../../tensor/tensor';
import { type Curve, linesAround } from '../curve';
import { type PointwiseLayer, pointwiseLayer } from '../layer';
import { rectified } from './activations';

const none = v.strictObject({});
const same = ([input]: readonly Shape[]): Shape => input!;

/** Least and greatest value of a function that falls up to `lowest` and rises from there. */
const around =
  (lowest: number, f: (x: Tensor) => Tensor) =>
  (lo: Tensor, hi: Tensor): readonly [Tensor, Tensor] => {
    const nearest = minimum(maximum(lo, filled(lo.engine, [1], lowest)), hi);
    return [f(nearest), maximum(f(lo), f(hi))];
  };

/** A smooth function with its lowest point, as computed and in f64. */
function curved(
  lowest: number,
  f: (x: Tensor) => Tensor,
  curve: Curve,
): Omit<PointwiseLayer, 'about'> {
  return {
    role: 'pointwise',
    options: none,
    shape: same,
    f: (x) => f(x),
    range: around(lowest, f),
    scalar: curve.f,
    relax: (lo, hi) => linesAround(curve, lo, hi),
    error: 4,
    inputError: 8,
  };
}

export const abs = pointwiseLayer({
  role: 'pointwise',
  about: 'the absolute value |x|',
  options: none,
  shape: same,
  f: (x) => absolute(x),
  range: around(0, absolute),
  scalar: Math.abs,
  relax: (lo, hi) => rectified(lo, hi, -1, 1),
  breakpointSlopes: () => [-1, 1],
  error: 0,
});

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));

export const silu = pointwiseLayer({
  ...curved(-1.278464542761074, (x) => mul(x, sigmoid(x)), {
    f: (x) => x * logistic(x),
    df: (x) => logistic(x) * (1 + x * logistic(-x)),
    bends: [-2.3993572805154675, 2.3993572805154675],
  }),
  about: 'x / (1 + exp(-x)), also called swish',
});

/** 1/2 (1 + tanh(z)) is sigmoid(2 z): here 2 z = x (FIRST + THIRD x^2). */
const FIRST = 2 * Math.sqrt(2 / Math.PI);
const THIRD = FIRST * 0.044715;

const forms = {
  none: curved(-0.7517915246935645, (x) => mul(x, phi(x)), {
    f: (x) => x * normalCdf(x),
    df: (x) => normalCdf(x) + x * normalDensity(x),
    bends: [-Math.SQRT2, Math.SQRT2],
  }),
  tanh: curved(
    -0.7524614220710163,
    (x) => mul(x, sigmoid(mul(x, affine(square(x), THIRD, FIRST)))),
    {
      f: (x) => x * logistic(x * (FIRST + THIRD * x * x)),
      df(x) {
        const w = x * (FIRST + THIRD * x * x);
        return logistic(w) * (1 + x * logistic(-w) * (FIRST + 3 * THIRD * x * x));
      },
      bends: [-1.4185040087908285, 1.4185040087908285],
    },
  ),
};

export const gelu = pointwiseLayer({
  ...forms.none,
  about: 'x times the normal distribution function: approximate (none, tanh)',
  options: v.strictObject({ approximate: v.optional(choice(['none', 'tanh']), 'none') }),
  f: (x, o) => forms[o.approximate].f(x, {}),
  range: (lo, hi, o) => forms[o.approximate].range!(lo, hi, {}),
  scalar: (x, o) => forms[o.approximate].scalar(x, {}),
  relax: (lo, hi, o) => forms[o.approximate].relax(lo, hi, {}),
});

export const hardSwish = pointwiseLayer({
  ...curved(-1.5, (x) => mul(x, clamp(affine(x, 1 / 6, 0.5), 0, 1)), {
    f: (x) => x * Math.min(Math.max(x / 6 + 0.5, 0), 1),
    df: (x) => (x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5),
    bends: [-3, 3],
  }),
  about: 'x min(max(x / 6 + 1/2, 0), 1)',
});
