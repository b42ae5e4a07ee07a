/** Products with all entries of a weight: dense layers as matrix products, convolutions as such. */
import type { ConvShape } from '../../tensor/convolution';
import { mul } from '../../tensor/ops/core';
import {
  convolution,
  convolutionInputGrad,
  convolutionRows,
  matmul,
  type SumOptions,
} from '../../tensor/ops/product';
import { takeRows } from '../../tensor/ops/shape';
import { input, type Tensor } from '../../tensor/tensor';
import type { OneHotRows } from '../operator';

/** W x (+ bias). */
export const denseProduct = (
  x: Tensor,
  w: Tensor,
  conv: ConvShape,
  bias: Tensor | undefined,
  sums: SumOptions,
): Tensor => (conv.flat ? matmul(x, w, { tb: true, bias }) : convolution(x, w, conv, bias, sums));

/** W^T g. */
export const denseTranspose = (g: Tensor, w: Tensor, conv: ConvShape, sums: SumOptions): Tensor =>
  conv.flat ? matmul(g, w) : convolutionInputGrad(g, w, conv, sums);

/** Rows of W. */
export function denseRows(units: OneHotRows, w: Tensor, conv: ConvShape): Tensor {
  if (!conv.flat) return convolutionRows(units, w, conv);
  const { index, factor } = units;
  return mul(takeRows(w, index), input(w.engine, factor, [factor.length, 1]));
}
