/**
 * Two-dimensional convolution (cross-correlation) over [c, h, w] with weights [oc, c / groups, kh, kw].
 * With `groups` the channels fall into that many equal blocks, each convolved by itself.
 */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import {
  type ConvOptions,
  conv2dInputGrad,
  conv2dRows,
  conv2d as convolve,
  convSize,
} from '../../tensor/ops/product';
import { concat, slice } from '../../tensor/ops/shape';
import type { Shape } from '../../tensor/shape';
import { supportedProduct, supportedRadius, supportedTranspose } from '../../tensor/supported';
import { supportFor } from '../../tensor/supports';
import type { Tensor } from '../../tensor/tensor';
import { affineLayer, FOLDED, type ProductSizes } from '../layer';
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
  flow: ({ groups }) => (groups === 1 ? { way: 'make', count: 'channels' } : { way: 'fixed' }),
  macs(input, output, o) {
    const [kh, kw] = both(o.kernel);
    return (input[0]! / o.groups) * kh * kw * output[0]! * output[1]! * output[2]!;
  },
  apply(x, p, o) {
    const support = supportFor(p.weight!, sizesOf(x.shape.slice(1), o), x.shape[0]!);
    return support
      ? supportedProduct(x, p.weight!, support, p.bias)
      : grouped(x, p.weight!, o, p.bias);
  },
  applyAbs(r, p, o, extra) {
    const support = supportFor(p.weight!, sizesOf(r.shape.slice(1), o), r.shape[0]!);
    return support
      ? supportedRadius(r, p.absolute ?? abs(p.weight!), support, extra)
      : grouped(r, p.absolute ?? abs(p.weight!), o, extra);
  },
  transpose(g, p, o, [c, h, w]) {
    const support = supportFor(p.weight!, sizesOf([c!, h!, w!], o), g.shape[0]!);
    if (support) return supportedTranspose(g, p.weight!, support);
    const input = [0, c! / o.groups, h!, w!];
    const weights = blocks(p.weight!, 0, o.groups);
    const parts = blocks(g, 1, o.groups).map((part, i) =>
      conv2dInputGrad(part, weights[i]!, input, convOptions(o)),
    );
    return parts.length === 1 ? parts[0]! : concat(parts, 1);
  },
  bias: (p) => p.bias,
  product: sizesOf,
  terms(input, o) {
    const [kh, kw] = both(o.kernel);
    return (input[0]! / o.groups) * kh * kw + (o.bias ? 1 : 0) + FOLDED;
  },
  backTerms(_, o) {
    const [kh, kw] = both(o.kernel);
    return (o.channels / o.groups) * kh * kw;
  },
  rows: (units, p, o, input) => conv2dRows(units, p.weight!, input, convOptions(o)),
});

/** As one convolution, where it is one. */
function sizesOf([c, h, w]: Shape, o: Options): ProductSizes | undefined {
  if (o.groups > 1) return undefined;
  const { stride, pad, dilation } = convOptions(o);
  const kernel = both(o.kernel);
  const out = convSize([h!, w!], kernel, { stride, pad, dilation });
  // A stride that leads to no second output is none, so nothing is laid out for it.
  const steps = [out[0] > 1 ? stride[0] : 1, out[1] > 1 ? stride[1] : 1] as const;
  return [c!, h!, w!, o.channels, ...kernel, ...steps, pad[0], pad[1], ...dilation, ...out];
}

function grouped(x: Tensor, weight: Tensor, o: Options, bias?: Tensor): Tensor {
  if (o.groups === 1) return convolve(x, weight, convOptions(o), bias);
  const [weights, biases] = [blocks(weight, 0, o.groups), bias && blocks(bias, 0, o.groups)];
  return concat(
    blocks(x, 1, o.groups).map((part, i) =>
      convolve(part, weights[i]!, convOptions(o), biases?.[i]),
    ),
    1,
  );
}

/** Equal parts along an axis. */
function blocks(x: Tensor, axis: number, count: number): Tensor[] {
  if (count === 1) return [x];
  const size = x.shape[axis]! / count;
  return Array.from({ length: count }, (_, i) => slice(x, axis, i * size, (i + 1) * size));
}

function convOptions(o: Options): ConvOptions {
  return { stride: both(o.stride), pad: fourSides(o.padding), dilation: both(o.dilation) };
}
