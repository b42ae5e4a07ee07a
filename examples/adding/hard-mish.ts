/**
 * Hard mish: x / 2 times min(max(x + 2, 0), 2), which is 0 up to -2, falls to -1/2 at -1 and rises from
 * there, and is x from 0 on. Its two roundings are relative, so the error is a share of f.
 */
import * as v from 'valibot';
import { type Curve, linesAround } from '../../src/nn/curve';
import { pointwiseLayer } from '../../src/nn/layer';
import { affine, maximum, minimum, mul } from '../../src/tensor/ops/core';
import { clamp } from '../../src/tensor/ops/elementwise';
import { filled, type Tensor } from '../../src/tensor/tensor';

const LOWEST = -1;

const curve: Curve = {
  f: (x) => (x / 2) * Math.min(Math.max(x + 2, 0), 2),
  df: (x) => (x <= -2 ? 0 : x >= 0 ? 1 : x + 1),
  bends: [-2, 0],
};

const f = (x: Tensor): Tensor => mul(affine(x, 0.5, 0), clamp(affine(x, 1, 2), 0, 2));

export const hardMish = pointwiseLayer({
  role: 'pointwise',
  about: 'x / 2 times min(max(x + 2, 0), 2)',
  options: v.strictObject({}),
  shape: ([input]) => input!,
  f,
  range(lo, hi) {
    // Least at the point of the box that is nearest to the lowest one, greatest at an end.
    const nearest = minimum(maximum(lo, filled(lo.engine, [1], LOWEST)), hi);
    return [f(nearest), maximum(f(lo), f(hi))];
  },
  scalar: curve.f,
  relax: (lo, hi) => linesAround(curve, lo, hi),
  error: 4,
});
