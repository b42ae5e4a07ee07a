/** Convolutions by Winograd's kernels, where they are allowed, against the plain ones; bounds refuse them. */
import { describe, expect, it } from 'vitest';
import { hiddenBounds } from '../../src/bounds/linear';
import { inputSet } from '../../src/domain/balls';
import { newPass, propagate } from '../../src/domain/domain';
import { type Box, interval } from '../../src/domain/interval';
import { sequential } from '../../src/nn/graph';
import { createModel } from '../../src/nn/model';
import { load } from '../../src/runtime/engine';
import { sum } from '../../src/tensor/ops/core';
import { square } from '../../src/tensor/ops/elementwise';
import { conv2d, conv2dInputGrad } from '../../src/tensor/ops/product';
import { gradients } from '../../src/tensor/tape';
import { filled, input, step, type Tensor } from '../../src/tensor/tensor';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });

const CASES = [
  { x: [24, 24, 12, 12], oc: 40, k: 3, stride: 1, pad: [1, 1, 1, 1], fewer: true },
  { x: [24, 32, 11, 9], oc: 24, k: 3, stride: 1, pad: [0, 2, 1, 0], fewer: true },
  { x: [16, 24, 24, 24], oc: 32, k: 4, stride: 2, pad: [1, 1, 1, 1], fewer: true },
  { x: [8, 48, 18, 19], oc: 48, k: 2, stride: 1, pad: [1, 0, 0, 0], fewer: true },
  { x: [1, 1, 9, 9], oc: 3, k: 3, stride: 1, pad: [1, 1, 1, 1], fewer: false },
  { x: [2, 24, 9, 9], oc: 32, k: 3, stride: 3, pad: [1, 1, 1, 1], fewer: false },
] as const;

describe.each(CASES)('conv2d %o', ({ x: shape, oc, k, stride, pad, fewer }) => {
  const options = { stride: [stride, stride], pad, dilation: [1, 1] } as const;
  const random = sampler(7);
  const images = Float32Array.from(random.array([...shape], -1, 1).data);
  const kernels = Float32Array.from(random.array([oc, shape[1], k, k], -1, 1).data);

  /** The output and the input gradient for it. */
  const run = (allowWinograd?: boolean): Float32Array[] =>
    step(engine, () => {
      const x = input(engine, images, shape);
      const w = input(engine, kernels, [oc, shape[1], k, k]);
      const y = conv2d(x, w, { ...options, allowWinograd });
      const dx = conv2dInputGrad(y, w, shape, { ...options, allowWinograd });
      return [y, dx].map((t: Tensor) => t.read());
    });

  it('has the same values to rounding, and other bits only where it pays', () => {
    const [plain, other] = [run(), run(true)];
    plain.forEach((want, i) => {
      const size = want.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      const worst = want.reduce((most, v, j) => Math.max(most, Math.abs(v - other[i]![j]!)), 0);
      expect(worst / size).toBeLessThan(3e-6);
    });
    const equal = other[0]!.every((v, j) => Object.is(v, plain[0]![j]));
    expect(equal).toBe(!fewer);
  });
});

describe('gradients of a convolution', () => {
  const random = sampler(8);
  const [images, kernels] = [random.array([24, 24, 12, 12]), random.array([40, 24, 3, 3])];

  const gradientOf = (allowWinograd: boolean): Float32Array =>
    step(engine, () => {
      const x = input(engine, images.data, images.shape);
      const w = input(engine, kernels.data, kernels.shape);
      const o = { stride: [1, 1], pad: [1, 1, 1, 1], dilation: [1, 1], allowWinograd } as const;
      return gradients(engine, [x], () => ({
        loss: sum(square(conv2d(x, w, o))),
      })).gradients[0]!.read();
    });

  it('are summed as the convolution was allowed to be', () => {
    const [plain, again, other] = [false, false, true].map(gradientOf) as Float32Array[];
    expect(again).toEqual(plain);
    expect(other).not.toEqual(plain);
  });
});

describe('sound bounds', () => {
  const network = sequential('n', [2, 5, 5], [['conv2d', { channels: 3, kernel: 3 }], ['relu']]);
  const model = createModel(engine, network);
  const boxIn = (): Box => {
    const x = filled(engine, [1, 2, 5, 5], 0.5);
    return { lo: x, hi: x };
  };
  const boundWith = (sound: boolean): void =>
    step(engine, () => {
      const pass = newPass(undefined, { allowWinograd: true });
      propagate(model.graph, model.params, interval({ sound }), boxIn(), { pass });
    });
  const linearWith = (sound: boolean): void =>
    step(engine, () => {
      const pass = newPass(undefined, { allowWinograd: true });
      const set = inputSet(boxIn().lo, 0.1, { sound });
      hiddenBounds(model, set, { sound, chunk: null, pass });
    });

  it.each([
    ['intervals', boundWith],
    ['linear bounds', linearWith],
  ])('refuse it: %s', (_, bound) => {
    expect(() => bound(true)).toThrow(/sound bounds: expected direct sums/);
    expect(() => bound(false)).not.toThrow();
  });
});
