/**
 * Products over non-zeros in plain loops, which the bundle has in place of sparse/product.ts: plans do
 * nearly all of the work, and what is left are the margins of a last layer and products of values that
 * no plan lays out.
 *
 * Cost: some 10 ns a non-zero and output.
 */
import type { SparseWeight } from '../sparse/weight';
import { type ConvShape, inputOf, outputOf } from '../tensor/convolution';
import { withNaN } from '../tensor/ops/interval';
import { sizeOf } from '../tensor/shape';
import { input, type Tensor } from '../tensor/tensor';

/** W x (+ bias), or W^T x. */
function multiply(
  x: Tensor,
  { engine, pattern, values }: SparseWeight,
  s: ConvShape,
  isBack: boolean,
  bias?: Tensor,
): Tensor {
  const [weights, from, start] = [values.read(), x.read(), bias?.read()];
  const [n, inputs, outputs] = [x.shape[0]!, sizeOf(inputOf(s)), sizeOf(outputOf(s))];
  const shape = isBack ? inputOf(s) : outputOf(s);
  const plane = s.outHeight * s.outWidth;
  const to = Float32Array.from({ length: n * sizeOf(shape) }, (_, i) =>
    start ? start[Math.floor(i / plane) % s.outChannels]! : 0,
  );
  const depth = s.inChannels / s.groups;
  pattern.places().forEach((at, entry) => {
    const row = Math.floor(at / s.kernelWidth);
    const pair = Math.floor(row / s.kernelHeight);
    const o = Math.floor(pair / depth);
    const i = pair - (o - Math.floor((o * s.groups) / s.outChannels)) * depth;
    const top = (row % s.kernelHeight) * s.dilationY - s.padTop;
    const left = (at % s.kernelWidth) * s.dilationX - s.padLeft;
    for (let p = 0; p < plane; p++) {
      const y = top + Math.floor(p / s.outWidth) * s.strideY;
      const column = left + (p % s.outWidth) * s.strideX;
      if (y < 0 || column < 0 || y >= s.height || column >= s.width) continue;
      for (let b = 0; b < n; b++) {
        const near = b * inputs + (i * s.height + y) * s.width + column;
        const far = b * outputs + o * plane + p;
        if (isBack) to[near]! += from[far]! * weights[entry]!;
        else to[far]! += from[near]! * weights[entry]!;
      }
    }
  });
  return input(engine, to, [n, ...(x.shape.length === 2 ? [shape[0]] : shape)]);
}

export const sparseProduct = (x: Tensor, w: SparseWeight, s: ConvShape, bias?: Tensor): Tensor =>
  multiply(x, w, s, false, bias);

export const sparseRadius = (r: Tensor, w: SparseWeight, s: ConvShape, bias?: Tensor): Tensor =>
  withNaN(multiply(r, w, s, false, bias), r);

export const sparseTranspose = (g: Tensor, w: SparseWeight, s: ConvShape): Tensor =>
  multiply(g, w, s, true);
