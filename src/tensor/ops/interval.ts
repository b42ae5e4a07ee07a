/**
 * Boxes from inf-sup form (lo, hi) to mid-rad form (centre, radius), and back. With a relative and an
 * absolute error both directions round outwards (domain/rounding.ts says by how much), and the rounding
 * errors of a layer in between come along (domain/interval.ts); gradients are those of the exact
 * formulas, but that they take no notice of a share of |centre| in the radius.
 */

import { expect } from '../../errors';
import { element } from '../../runtime/kernels';
import { record } from '../tape';
import { empty, type Tensor } from '../tensor';
import { add, affine, reshape, sumTo } from './core';

/** Widening of an end by a share of its size and by a number. */
export interface Outward {
  readonly relative: number;
  readonly absolute: number;
}

/**
 * centre = (lo + hi) / 2; radius >= max(hi - centre, centre - lo), or with `[alpha, beta]` that times the first
 * number and |centre| times the second.
 */
export function toMidRad(
  lo: Tensor,
  hi: Tensor,
  { relative, absolute }: Outward,
  [alpha, beta]: readonly [number, number] = [1, 0],
): [Tensor, Tensor] {
  const { engine, shape, size } = lo;
  const [c, r] = [empty(engine, shape), empty(engine, shape)];
  const ends = [lo.ptr, hi.ptr] as const;
  engine.run('interval_to_centre', size, ...ends, c.ptr, r.ptr, relative, absolute, alpha, beta);
  const half = (g: Tensor): Tensor => affine(g, 0.5, 0);
  record(c, [lo, hi], [half, half]);
  const ofRadius = (sign: number) => (g: Tensor) => affine(g, 0.5 * sign * alpha, 0);
  record(r, [lo, hi], [ofRadius(-1), ofRadius(1)]);
  return [c, r];
}

/**
 * lo <= centre - radius, hi >= centre + radius. With `[scale, shift]` the radius is scale radius + shift, and NaN
 * where it is 2^80 or more: for a shift above 0. All radii may share a centre, [1, ...].
 */
export function toInfSup(
  c: Tensor,
  r: Tensor,
  { relative, absolute }: Outward,
  [scale, shift]: readonly [number, number] = [1, 0],
): [Tensor, Tensor] {
  const { engine, shape, size } = r;
  const fits = size === c.size || size % c.size === 0;
  expect(fits, 'toInfSup', `radii around [${c.shape}]`, `[${shape}]`);
  const [lo, hi] = [empty(engine, shape), empty(engine, shape)];
  const way = [relative, absolute, scale, shift] as const;
  for (let i = 0; i < size; i += c.size) {
    const [radius, low, high] = [element(r.ptr, i), element(lo.ptr, i), element(hi.ptr, i)];
    engine.run('interval_to_ends', c.size, c.ptr, radius, low, high, ...way);
  }
  const shared = (g: Tensor): Tensor => sumTo(g, c.shape);
  const scaled = (by: number) => (g: Tensor) => (by === 1 ? g : affine(g, by, 0));
  record(lo, [c, r], [shared, scaled(-scale)]);
  record(hi, [c, r], [shared, scaled(scale)]);
  return [lo, hi];
}

/**
 * y [n, ...], all of a sample NaN where one of its `r` [n, ...] is no number or infinite: what a product
 * over all weights would make of it, and one over the non-zeros does not, as 0 times it is NaN.
 */
export function withNaN(y: Tensor, r: Tensor): Tensor {
  const n = r.shape[0]!;
  const total = sumTo(reshape(r, [n, r.size / n]), [n, 1]);
  return add(y, reshape(affine(total, 0, 0), [n, ...y.shape.slice(1).map(() => 1)]));
}
