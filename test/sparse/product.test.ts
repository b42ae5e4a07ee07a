/** Products over non-zeros against the dense ones with the same zeros, and their gradients. */
import { describe, expect, it } from 'vitest';
import { load } from '../../src/runtime/engine';
import { patternOf } from '../../src/sparse/pattern';
import { sparseProduct } from '../../src/sparse/product';
import { gatherEntries, sparseWeight } from '../../src/sparse/weight';
import { type ConvOptions, convShape, denseShape } from '../../src/tensor/convolution';
import { mul, sum } from '../../src/tensor/ops/core';
import { conv2d, matmul } from '../../src/tensor/ops/product';
import { gradients } from '../../src/tensor/tape';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });

interface Sample {
  readonly shape: readonly [number, number, number];
  readonly oc: number;
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly pad: readonly [number, number];
  readonly dilation?: readonly [number, number];
}

const SAMPLES: readonly Sample[] = [
  { shape: [3, 7, 7], oc: 5, kernel: [3, 3], stride: [1, 1], pad: [1, 1] },
  { shape: [2, 16, 16], oc: 4, kernel: [3, 3], stride: [1, 1], pad: [1, 1] },
  { shape: [2, 5, 28], oc: 3, kernel: [3, 3], stride: [1, 1], pad: [1, 1] },
  { shape: [2, 28, 28], oc: 3, kernel: [4, 4], stride: [2, 2], pad: [1, 1] },
  { shape: [3, 2, 2], oc: 4, kernel: [3, 3], stride: [1, 1], pad: [1, 1] },
  { shape: [2, 9, 40], oc: 2, kernel: [3, 2], stride: [2, 1], pad: [2, 0], dilation: [2, 2] },
  { shape: [2, 6, 5], oc: 3, kernel: [1, 1], stride: [3, 3], pad: [0, 0] },
  { shape: [2, 3, 3], oc: 3, kernel: [1, 1], stride: [1, 1], pad: [2, 2] },
  // Images side by side, with strides and without.
  { shape: [2, 8, 8], oc: 3, kernel: [4, 4], stride: [2, 2], pad: [1, 1] },
  { shape: [2, 4, 4], oc: 3, kernel: [3, 3], stride: [1, 1], pad: [1, 1] },
  // More planes than are laid out at once.
  { shape: [16, 32, 32], oc: 2, kernel: [3, 3], stride: [1, 1], pad: [1, 1] },
  { shape: [16, 32, 32], oc: 2, kernel: [4, 4], stride: [2, 2], pad: [1, 1] },
  { shape: [48, 1, 1], oc: 32, kernel: [1, 1], stride: [1, 1], pad: [0, 0] },
  { shape: [37, 1, 1], oc: 9, kernel: [1, 1], stride: [1, 1], pad: [0, 0] },
];

function near(got: Float32Array, want: Float32Array): void {
  expect(got.length).toBe(want.length);
  const size = want.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-3);
  const worst = want.reduce((most, v, i) => Math.max(most, Math.abs(v - got[i]!)), 0);
  expect(worst).toBeLessThan(1e-5 * size);
}

describe.each(SAMPLES)('product over non-zeros, $shape, $kernel by $stride', (sample) => {
  const { shape, oc, kernel, stride, pad, dilation = [1, 1] } = sample;
  const [c, h, w] = shape;
  const options: ConvOptions = { stride, pad: [...pad, ...pad], dilation };
  const dense = h * w === 1;
  const area = kernel[0] * kernel[1];
  const conv = dense ? denseShape(c, oc) : convShape(shape, [oc, c, ...kernel], options);

  it.each([
    [1, 0.3],
    [3, 0.3],
    [16, 0.1],
    [33, 1],
    [2, 0],
  ])('batch %i, density %f', (batch, density) => {
    const random = sampler(batch);
    const draw = (count: number) => Float32Array.from(random.array([count], -1, 1).data);
    const chosen = random.array([oc * c * area], 0, 1).data;
    const weights = draw(oc * c * area).map((v, i) => (chosen[i]! < density ? v : 0));
    const [images, biases] = [draw(batch * c * h * w), draw(oc)];
    const run = (sparse: boolean): Float32Array[] =>
      step(engine, () => {
        const x = input(engine, images, dense ? [batch, c] : [batch, ...shape]);
        const wt = input(engine, weights, dense ? [oc, c] : [oc, c, ...kernel]);
        const b = input(engine, biases, [oc]);
        const pattern = patternOf(wt);
        const values = gatherEntries(wt, pattern);
        const apply = (): Tensor => {
          if (sparse) return sparseProduct(x, sparseWeight(pattern, values), conv, b);
          return dense ? matmul(x, wt, { tb: true, bias: b }) : conv2d(x, wt, options, b);
        };
        const { result, gradients: found } = gradients(engine, [x, sparse ? values : wt, b], () => {
          const y = apply();
          return { y, loss: sum(mul(y, y)) };
        });
        const all = [result.y, ...found].map((t) => t.read());
        pattern.free();
        return all;
      });
    const [got, want] = [run(true), run(false)];
    want[2] = want[2]!.filter((_, i) => weights[i] !== 0);
    for (const [i, values] of want.entries()) near(got[i]!, values);
  });
});

it('gradients of values that two products of different batches share add up', () => {
  const conv = denseShape(3, 2);
  const found = step(engine, () => {
    const weight = input(engine, [0, 2, 0, 3, 0, -1], [2, 3]);
    const pattern = patternOf(weight);
    const values = gatherEntries(weight, pattern);
    const ones = (n: number) => input(engine, new Float32Array(3 * n).fill(1), [n, 3]);
    const product = (n: number): Tensor =>
      sparseProduct(ones(n), sparseWeight(pattern, values), conv);
    const { gradients: all } = gradients(engine, [values, weight], () => ({
      loss: sum(mul(product(1), sum(product(17)))),
    }));
    const read = all.map((g) => [...g.read()]);
    pattern.free();
    return read;
  });
  // Both sums are multiples of the same 4, once and 17 times; the weight came before the tape.
  expect(found).toEqual([
    [136, 136, 136],
    [0, 0, 0, 0, 0, 0],
  ]);
});
