/**
 * Two-dimensional convolution (cross-correlation) over [c, h, w] with weights [oc, c / groups, kh, kw].
 * With `groups` the channels fall into that many equal blocks, each convolved by itself.
 */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { type ConvOptions, type ConvShape, convShape, convSize } from '../../tensor/convolution';
import type { Shape } from '../../tensor/shape';
import { affineLayer } from '../layer';
import { ProductOperator } from '../operators/product';
import { both, fourSides, pair, sides } from './window';

const options = v.strictObject({
  channels: whole(1),
  kernel: pair(1),
  stride: v.optional(pair(1), 1),
  padding: v.optional(sides(), 0),
  dilation: v.optional(pair(1), 1),
  groups: v.optional(whole(1), 1),
  bias: v.optional(v.boolean(), true),
});
type Options = v.InferOutput<typeof options>;

export const conv2d = affineLayer({
  role: 'affine',
  about: 'convolution: channels, kernel, stride, padding, dilation, groups, bias',
  options,
  shape([input], o, who) {
    expect(input?.length === 3, who, 'an input [channels, height, width]', `[${input}]`);
    const [h, w] = convSize([input[1]!, input[2]!], both(o.kernel), convOptions(o));
    expect(h > 0 && w > 0, who, 'an input at least as large as the kernel', `[${input}]`);
    const [from, to] = [input[0]!, o.channels];
    const even = from % o.groups === 0 && to % o.groups === 0;
    expect(even, who, `channels in ${o.groups} equal groups`, `${from} in, ${to} out`);
    return [to, h, w];
  },
  params([input], o) {
    const [kh, kw] = both(o.kernel);
    const depth = input![0]! / o.groups;
    const fanIn = depth * kh * kw;
    const shape = [o.channels, depth, kh, kw];
    const bias = { shape: [o.channels], init: 0, fanIn, prunable: false, trainable: true };
    return {
      weight: { shape, init: 'weight', fanIn, prunable: true, trainable: true },
      ...(o.bias ? { bias } : {}),
    };
  },
  channelDependency: ({ groups }) =>
    groups === 1 ? { kind: 'producer', count: 'channels' } : { kind: 'fixed' },
  macs(input, output, o) {
    const [kh, kw] = both(o.kernel);
    return (input[0]! / o.groups) * kh * kw * output[0]! * output[1]! * output[2]!;
  },
  operator: (p, o, input, sums) => new ProductOperator(p, shapeOf(input, o), o.bias, sums),
});

function shapeOf(input: Shape, o: Options): ConvShape {
  const weight = [o.channels, input[0]! / o.groups, ...both(o.kernel)];
  const s = convShape(input, weight, convOptions(o));
  // A stride that leads to no second output is none, so nothing is laid out for it.
  const [strideY, strideX] = [s.outHeight > 1 ? s.strideY : 1, s.outWidth > 1 ? s.strideX : 1];
  return strideY === s.strideY && strideX === s.strideX ? s : { ...s, strideY, strideX };
}

function convOptions({ stride, padding, dilation, groups }: Options): ConvOptions {
  return { stride: both(stride), pad: fourSides(padding), dilation: both(dilation), groups };
}
