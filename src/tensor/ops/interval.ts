/**
 * Between the two descriptions of a box: its ends (lo, hi), and its centre and radius. With
 * `grow` and `tiny` both directions round outwards (domain/rounding.ts says by how much); gradients
 * are those of the exact formulas.
 */
import { record } from '../tape';
import { empty, type Tensor } from '../tensor';
import { affine } from './core';

/** Relative and absolute widening. */
export interface Outward {
  readonly grow: number;
  readonly tiny: number;
}

/** centre = (lo + hi) / 2; radius >= max(hi - centre, centre - lo). */
export function toCentre(lo: Tensor, hi: Tensor, { grow, tiny }: Outward): [Tensor, Tensor] {
  const { engine, shape, size } = lo;
  const [c, r] = [empty(engine, shape), empty(engine, shape)];
  engine.run('interval_to_centre', size, lo.ptr, hi.ptr, c.ptr, r.ptr, grow, tiny);
  const half = (g: Tensor): Tensor => affine(g, 0.5, 0);
  record(c, [lo, hi], [half, half]);
  record(r, [lo, hi], [(g) => affine(g, -0.5, 0), half]);
  return [c, r];
}

/** lo <= centre - radius, hi >= centre + radius. */
export function toEnds(c: Tensor, r: Tensor, { grow, tiny }: Outward): [Tensor, Tensor] {
  const { engine, shape, size } = c;
  const [lo, hi] = [empty(engine, shape), empty(engine, shape)];
  engine.run('interval_to_ends', size, c.ptr, r.ptr, lo.ptr, hi.ptr, grow, tiny);
  const same = (g: Tensor): Tensor => g;
  record(lo, [c, r], [same, (g) => affine(g, -1, 0)]);
  record(hi, [c, r], [same, same]);
  return [lo, hi];
}
