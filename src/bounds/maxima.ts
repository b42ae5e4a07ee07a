/**
 * Linear relaxation of a maximum of several values, in the value x with the greatest lower end:
 * x <= max <= s x + t. With M the greatest upper end of the others, max <= max(x, M), a function with one
 * breakpoint, whose chord over the box of x is the upper line: x itself where it wins for certain, M where it
 * never does.
 *
 * The relaxation is a constant to gradients.
 */

import type { Box } from '../domain/interval';
import { F64_SHARE, gamma, roundDown, roundUp, SLOPE_PRODUCT } from '../domain/rounding';
import type { MaxSelection } from '../nn/layer';
import { sizeOf } from '../tensor/shape';
import { input, type Tensor } from '../tensor/tensor';

/** Tables [n, outputs]; `index` names the entry of the input sample, [n * outputs]. */
export interface MaxRelaxation {
  readonly low: Tensor;
  readonly lowOffset: Tensor;
  readonly up: Tensor;
  readonly upOffset: Tensor;
  readonly index: Int32Array;
  /** Most windows of a sample in which an entry is the best. */
  readonly overlap: number;
}

export function relaxMaximum(
  { index, others }: MaxSelection,
  { lo, hi }: Box,
  sound: boolean,
): MaxRelaxation {
  const n = lo.shape[0]!;
  const [outputs, width] = [n === 0 ? 0 : index.length / n, sizeOf(lo.shape.slice(1))];
  const [low, high] = [lo.read(), hi.read()];
  const overlap = overlapOf(index, outputs, width);
  // Coefficients that meet in one entry are added up, which rounds.
  const share = sound ? gamma(overlap + 2) : 0;
  const tables = Array.from({ length: 4 }, () => new Float32Array(index.length));
  index.forEach((entry, out) => {
    const place = Math.floor(out / outputs) * width + entry;
    const four = relaxationOf(low[place]!, high[place]!, others[out]!, share);
    for (let k = 0; k < 4; k++) tables[k]![out] = four[k]!;
  });
  const [a, b, c, d] = tables.map((values) => input(lo.engine, values, [n, outputs]));
  return { low: a!, lowOffset: b!, up: c!, upOffset: d!, index, overlap };
}

function relaxationOf(lo: number, hi: number, most: number, share: number): number[] {
  if (!Number.isFinite(hi - lo) || Number.isNaN(most))
    return [Number.NaN, Number.NaN, Number.NaN, Number.NaN];
  const error = share * Math.max(Math.abs(lo), Math.abs(hi));
  const slope = most <= lo ? 1 : most >= hi ? 0 : Math.fround((hi - most) / (hi - lo));
  // max(x, M) is convex: a line above it at both ends is above it in between.
  const lifted = Math.max(Math.max(lo, most) - slope * lo, Math.max(hi, most) - slope * hi);
  const size = Math.abs(lifted) + Math.abs(lo) + Math.abs(hi);
  const upOffset =
    slope === 1 ? error : lifted + SLOPE_PRODUCT * slope * size + error + F64_SHARE * size;
  return [1, -roundUp(error), slope, -roundDown(-upOffset)];
}

function overlapOf(index: Int32Array, outputs: number, width: number): number {
  let most = 1;
  for (let from = 0; from < index.length; from += outputs) {
    const counts = new Uint16Array(width);
    for (let i = from; i < from + outputs; i++) most = Math.max(most, ++counts[index[i]!]!);
  }
  return most;
}
