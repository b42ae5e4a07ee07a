/**
 * What the kernels of a convolution cost, in multiply-adds of the register tile (assembly/tile.ts)
 * that would take as long. The constants are measured (npm run bench -- convolutions forward).
 */
import { type ConvGeometry, hasLines, PANEL } from './kernels';

/** Lanes of whole panels; half a panel takes two thirds of the time. */
function lanes(positions: number): number {
  const rest = positions % PANEL;
  return positions - rest + (rest === 0 ? 0 : rest <= PANEL / 2 ? (2 * PANEL) / 3 : PANEL);
}

/** Of `conv2d`: gathering takes a few steps of every panel. */
export function gatheredCost(...[n, c, , , oc, kh, kw, , , , , , , oh, ow]: ConvGeometry): number {
  return lanes(n * oh * ow) * (c * kh * kw * (oc + 8) + 5 * oc + 400);
}

/** Of `conv2d_lines`; Infinity where it does not apply. */
export function linesCost(...g: ConvGeometry): number {
  const [n, c, , , oc, kh, kw, sh, sw, , , , , oh, ow] = g;
  if (!hasLines(...g)) return Infinity;
  return 4 * n * oh * Math.ceil(ow / 4) * (c * kh * kw * (oc + 3) + 7 * oc + 6 * c * sh * sw);
}

/** Outputs of a tile of winograd.ts in one direction, or 0 where it does not apply. */
function winogradTile(...[, , , , , kh, kw, sh, sw, , , dh, dw]: ConvGeometry): number {
  const fits = kh === kw && sh === sw && dh === 1 && dw === 1;
  const known = (kh === 3 && sh === 1) || (kh === 4 && sh === 2) || (kh === 2 && sh === 1);
  return fits && known ? 5 - kh / sh : 0;
}

/** Of `conv2d_winograd` on transformed weights; Infinity where it does not apply. */
export function winogradCost(...g: ConvGeometry): number {
  const [n, c, , , oc, , , sh, sw, , , , , oh, ow] = g;
  const m = winogradTile(...g);
  if (m === 0) return Infinity;
  const tiles = lanes(n * Math.ceil(oh / m) * Math.ceil(ow / m));
  return tiles * (c * sh * sw * (17.8 * oc + 190) + 60 * oc + 1500);
}

/** Of `winograd_weights`. */
export const transformCost = (...[, c, , , oc, , , sh, sw]: ConvGeometry): number =>
  280 * oc * c * sh * sw;
