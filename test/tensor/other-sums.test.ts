/** Convolutions by Winograd's kernels, where the engine allows them, against the plain ones. */
import { describe, expect, it } from 'vitest';
import { load } from '../../src/runtime/engine';
import { conv2d, conv2dInputGrad } from '../../src/tensor/ops/product';
import { input, step, type Tensor } from '../../src/tensor/tensor';
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
  function run(otherSums: boolean): Float32Array[] {
    engine.otherSums = otherSums;
    try {
      return step(engine, () => {
        const x = input(engine, images, shape);
        const w = input(engine, kernels, [oc, shape[1], k, k]);
        const y = conv2d(x, w, options);
        const dx = conv2dInputGrad(y, w, shape, options);
        return [y, dx].map((t: Tensor) => t.read());
      });
    } finally {
      engine.otherSums = false;
    }
  }

  it('has the same values to rounding, and other bits only where it pays', () => {
    const [plain, other] = [run(false), run(true)];
    plain.forEach((want, i) => {
      const size = want.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      const worst = want.reduce((most, v, j) => Math.max(most, Math.abs(v - other[i]![j]!)), 0);
      expect(worst / size).toBeLessThan(3e-6);
    });
    const equal = other[0]!.every((v, j) => Object.is(v, plain[0]![j]));
    expect(equal).toBe(!fewer);
  });
});

it('is off by default', () => {
  expect(engine.otherSums).toBe(false);
});
