/** Two-dimensional convolution (cross-correlation) over [c, h, w] with weights [oc, c, kh, kw]. */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import {
  type ConvOptions,
  conv2dInputGrad,
  conv2d as convolve,
  convSize,
} from '../../tensor/ops/product';
import { affineLayer } from '../layer';

const pair = (min: number) => v.union([whole(min), v.tuple([whole(min), whole(min)])]);

const options = v.strictObject({
  channels: whole(1),
  kernel: pair(1),
  stride: v.optional(pair(1), 1),
  /** One number, [vertical, horizontal], or [top, left, bottom, right]. */
  padding: v.optional(v.union([pair(0), v.tuple([whole(0), whole(0), whole(0), whole(0)])]), 0),
  dilation: v.optional(pair(1), 1),
  bias: v.optional(v.boolean(), true),
});
type Options = v.InferOutput<typeof options>;

export const conv2d = affineLayer({
  role: 'affine',
  about: 'convolution: channels, kernel, stride, padding, dilation, bias',
  options,
  shape([input], o, who) {
    expect(input?.length === 3, who, 'an input [channels, height, width]', `[${input}]`);
    const [h, w] = convSize([input[1]!, input[2]!], both(o.kernel), convOptions(o));
    expect(h > 0 && w > 0, who, 'an input at least as large as the kernel', `[${input}]`);
    return [o.channels, h, w];
  },
  params([input], o) {
    const [kh, kw] = both(o.kernel);
    const fanIn = input![0]! * kh * kw;
    const shape = [o.channels, input![0]!, kh, kw];
    const bias = { shape: [o.channels], init: 0, fanIn, prunable: false, trainable: true };
    return {
      weight: { shape, init: 'weight', fanIn, prunable: true, trainable: true },
      ...(o.bias ? { bias } : {}),
    };
  },
  macs(input, output, o) {
    const [kh, kw] = both(o.kernel);
    return input[0]! * kh * kw * output[0]! * output[1]! * output[2]!;
  },
  apply: (x, p, o) => convolve(x, p.weight!, convOptions(o), p.bias),
  applyAbs: (r, p, o, extra) => convolve(r, abs(p.weight!), convOptions(o), extra),
  transpose: (g, p, o, input) => conv2dInputGrad(g, p.weight!, [0, ...input], convOptions(o)),
  bias: (p) => p.bias,
  terms(input, o) {
    const [kh, kw] = both(o.kernel);
    return input[0]! * kh * kw + (o.bias ? 1 : 0);
  },
});

function convOptions(o: Options): ConvOptions {
  const pad = typeof o.padding === 'number' ? [o.padding, o.padding] : o.padding;
  const [top, left, bottom = top, right = left] = pad as [number, number, number?, number?];
  return { stride: both(o.stride), pad: [top, left, bottom, right], dilation: both(o.dilation) };
}

function both(value: number | [number, number]): [number, number] {
  return typeof value === 'number' ? [value, value] : value;
}
