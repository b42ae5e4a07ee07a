/** Products on a support against the dense ones with the same zeros, and their gradients. */
import { describe, expect, it } from 'vitest';
import { load } from '../../src/runtime/engine';
import { supportOf } from '../../src/sparse/encoding';
import { supportedProduct } from '../../src/sparse/product';
import type { ConvSizes } from '../../src/sparse/tables';
import { add, mul, sum } from '../../src/tensor/ops/core';
import { type ConvOptions, conv2d, matmul } from '../../src/tensor/ops/product';
import { gradients, record } from '../../src/tensor/tape';
import { input, scattered, step, type Tensor } from '../../src/tensor/tensor';
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

describe.each(SAMPLES)('product on a support, $shape, $kernel by $stride', (sample) => {
  const { shape, oc, kernel, stride, pad, dilation = [1, 1] } = sample;
  const [c, h, w] = shape;
  const out = (i: 0 | 1): number =>
    Math.floor((shape[i + 1]! + 2 * pad[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1;
  const sizes: ConvSizes = [
    ...shape,
    oc,
    ...kernel,
    ...stride,
    ...pad,
    ...dilation,
    out(0),
    out(1),
  ];
  const options: ConvOptions = { stride, pad: [...pad, ...pad], dilation };
  const dense = h * w === 1;
  const area = kernel[0] * kernel[1];

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
        const support = supportOf(wt, sizes, batch);
        const apply = (): Tensor => {
          if (sparse) return supportedProduct(x, wt, support, b);
          return dense ? matmul(x, wt, { tb: true, bias: b }) : conv2d(x, wt, options, b);
        };
        const { result, gradients: found } = gradients(engine, [x, wt, b], () => {
          const y = apply();
          return { y, loss: sum(mul(y, y)) };
        });
        const all = [result.y, ...found].map((t) => t.read());
        support.free();
        return all;
      });
    const [got, want] = [run(true), run(false)];
    want[2] = want[2]!.map((v, i) => (weights[i] === 0 ? 0 : v));
    for (const [i, values] of want.entries()) near(got[i]!, values);
  });
});

describe('gradients on a support', () => {
  const sizes = [3, 1, 1, 2, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1] as const;

  /** What `use` makes of the gradient of a weight that two products of different batches share. */
  const shared = <T>(use: (g: Tensor) => T): T =>
    step(engine, () => {
      const weight = input(engine, [0, 2, 0, 3, 0, -1], [2, 3]);
      const [few, many] = [1, 17].map((n) => supportOf(weight, sizes, n));
      const ones = (n: number) => input(engine, new Float32Array(3 * n).fill(1), [n, 3]);
      const { gradients: found } = gradients(engine, [weight], () => ({
        loss: sum(
          mul(
            supportedProduct(ones(1), weight, few!),
            sum(supportedProduct(ones(17), weight, many!)),
          ),
        ),
      }));
      const result = use(found[0]!);
      few!.free();
      many!.free();
      return result;
    });

  it('add up as their values', () => {
    // Both sums are multiples of the same 4, once and 17 times.
    expect(shared((g) => [...g.few!.values.read()])).toEqual([136, 136, 136]);
  });

  it('have all elements when asked', () => {
    const read = shared((g) => ({ all: [...g.read()], few: g.few }));
    expect(read).toEqual({ all: [0, 136, 0, 136, 0, 136], few: undefined });
  });

  it('are plain tensors where supports differ', () => {
    const total = step(engine, () => {
      const at = engine.arena.alloc(4);
      engine.memory.i32(at, 1).set([1]);
      const one = (): Tensor =>
        scattered(engine, [3], {
          mask: input(engine, [0, 1, 0], [3]),
          at,
          values: input(engine, [5], [1]),
        });
      const x = input(engine, [1, 2, 3], [3]);
      const number = (): Tensor => record(input(engine, [0], [1]), [x], [one]);
      const { gradients: found } = gradients(engine, [x], () => ({
        loss: add(number(), number()),
      }));
      return { few: found[0]!.few, all: [...found[0]!.read()] };
    });
    expect(total).toEqual({ few: undefined, all: [0, 10, 0] });
  });
});
