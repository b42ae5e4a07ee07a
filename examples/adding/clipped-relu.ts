/**
 * ReLU with a ceiling: min(max(x, 0), max), the activation of small devices (Krizhevsky 2010; ReLU6
 * of MobileNet). Both operations are exact in float32, so no error term is needed.
 */
import * as v from 'valibot';
import { pointwiseLayer } from '../../src/nn/layer';
import { real } from '../../src/options';
import { maximum, minimum } from '../../src/tensor/ops/core';
import { filled } from '../../src/tensor/tensor';

export const clippedRelu = pointwiseLayer({
  role: 'pointwise',
  about: 'min(max(x, 0), max): max',
  options: v.strictObject({ max: v.optional(real(1e-3, 1e6), 6) }),
  shape: ([input]) => input!,
  f: (x, { max }) =>
    minimum(maximum(x, filled(x.engine, [1], 0)), filled(x.engine, [1], Math.fround(max))),
  scalar: (x, { max }) => Math.min(Math.max(x, 0), Math.fround(max)),
  relax: (lo, hi, { max }) => lines(lo, hi, Math.fround(max)),
  error: 0,
});

/** Slope and offset of a line below and of one above on [lo, hi]. */
function lines(lo: number, hi: number, max: number): readonly [number, number, number, number] {
  if (hi <= 0) return [0, 0, 0, 0];
  if (lo >= max) return [0, max, 0, max];
  if (lo >= 0 && hi <= max) return [1, 0, 1, 0];
  // The concave part, from max(lo, 0) on, lies above its chord; the convex part, up to `top`, below.
  const from = Math.max(lo, 0);
  const top = Math.min(hi, max);
  const below = hi <= max ? Number(hi > -lo) : (max - from) / (hi - from);
  const above = lo >= 0 ? 0 : top / (top - lo);
  return [below, from - below * from, above, top - above * top];
}
