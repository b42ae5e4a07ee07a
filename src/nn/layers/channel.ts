/**
 * Layers that are one scale and one shift a channel: `scale` itself (their canonical form), batch
 * normalisation (Ioffe and Szegedy 2015) and input normalisation; and `elementwise`, one scale and
 * shift a value. A channel is the first axis of a sample, so flat inputs have one channel a unit.
 */
import * as v from 'valibot';
import { expect } from '../../errors';
import { real } from '../../options';
import { add, affine, div, mul, sub } from '../../tensor/ops/core';
import { reciprocal, sqrt, square } from '../../tensor/ops/elementwise';
import { channelSum } from '../../tensor/ops/product';
import { type Shape, sizeOf } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { type AffineLayer, affineLayer, type ParamSpec, type TensorParams } from '../layer';
import type { Params } from '../operator';
import { DiagonalOperator, perChannel } from '../operators/diagonal';

const same = ([input]: readonly Shape[]): Shape => input!;

/** y = scale x + shift a channel, with the two derived or stored. */
const channelwise = {
  role: 'affine',
  shape: same,
  channelDependency: () => ({ kind: 'elementwise' }),
  macs: sizeOf,
  operator: (p: Params) => new DiagonalOperator(p, true),
} as const satisfies Partial<AffineLayer>;

const vector = (size: number, init: number | readonly number[], trainable: boolean): ParamSpec =>
  numbers([size], init, trainable);

const numbers = (
  shape: Shape,
  init: number | readonly number[],
  trainable: boolean,
): ParamSpec => ({
  shape,
  init,
  fanIn: 1,
  prunable: false,
  trainable,
});

export const scale = affineLayer({
  ...channelwise,
  about: 'one scale and shift a channel (canonical form of the two below)',
  options: v.strictObject({}),
  params: ([input]) => ({
    scale: { ...vector(input![0]!, 1, true), gain: true },
    shift: vector(input![0]!, 0, true),
  }),
});

export const elementwise = affineLayer({
  ...channelwise,
  about: 'one scale and shift a value',
  options: v.strictObject({}),
  channelDependency: () => ({ kind: 'fixed' }),
  operator: (p) => new DiagonalOperator(p, false),
  params: ([input]) => ({ scale: numbers(input!, 1, true), shift: numbers(input!, 0, true) }),
});

export const batchNorm = affineLayer({
  ...channelwise,
  about: 'batch normalisation: momentum (of the running statistics), epsilon',
  options: v.strictObject({
    momentum: v.optional(real(0, 1), 0.1),
    epsilon: v.optional(real(1e-12, 1), 1e-5),
  }),
  params([input]) {
    const c = input![0]!;
    return {
      weight: { ...vector(c, 1, true), gain: true },
      bias: vector(c, 0, true),
      mean: vector(c, 0, false),
      variance: vector(c, 1, false),
    };
  },
  derive: (p, o) => fold(p, p.mean!, p.variance!, o.epsilon),
  deriveInBatch(p, o, { x }) {
    const count = x.size / x.shape[1]!;
    const average = (t: Tensor): Tensor => affine(channelSum(t), 1 / count, 0);
    const mean = average(x);
    const variance = average(square(sub(x, perChannel(mean, x))));
    const blend = (old: Tensor, now: Tensor, factor: number): Tensor =>
      add(affine(old, 1 - o.momentum, 0), affine(now, o.momentum * factor, 0));
    const unbiased = count / Math.max(1, count - 1);
    return {
      params: fold(p, mean, variance, o.epsilon),
      statistics: { mean, variance: affine(variance, unbiased, 0) },
      updates: {
        mean: blend(p.mean!, mean, 1),
        variance: blend(p.variance!, variance, unbiased),
      },
    };
  },
});

function fold(p: TensorParams, mean: Tensor, variance: Tensor, epsilon: number): TensorParams {
  const factor = mul(p.weight!, reciprocal(sqrt(affine(variance, 1, epsilon))));
  return { scale: factor, shift: sub(p.bias!, mul(mean, factor)) };
}

export const normalise = affineLayer({
  ...channelwise,
  about: 'input normalisation (x - mean) / std, one of each a channel: mean, std',
  options: v.strictObject({ mean: v.array(real()), std: v.array(real(1e-12)) }),
  shape([input], o, who) {
    const fits = o.mean.length === input![0] && o.std.length === input![0];
    expect(fits, who, `one mean and std for each of ${input![0]} channels`, o.mean.length);
    return input!;
  },
  channelDependency: () => ({ kind: 'elementwise', lists: ['mean', 'std'] }),
  params: (_, o) => ({
    mean: vector(o.mean.length, o.mean, false),
    std: vector(o.std.length, o.std, false),
  }),
  derive(p) {
    const factor = reciprocal(p.std!);
    return { scale: factor, shift: affine(div(p.mean!, p.std!), -1, 0) };
  },
});
