/** Sum or mean over some axes of the sample, which stay with size 1. */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { affine, expand, sumTo } from '../../tensor/ops/core';
import { type Shape, sizeOf } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { affineLayer } from '../layer';
import { gather } from '../operators/gather';

const options = v.strictObject({
  axes: v.array(whole(0)),
  mean: v.optional(v.boolean(), false),
});
type Options = v.InferOutput<typeof options>;

const reduced = (input: Shape, { axes }: Options): Shape =>
  input.map((size, axis) => (axes.includes(axis) ? 1 : size));
/** Values behind one output. */
const count = (input: Shape, o: Options): number => sizeOf(input) / sizeOf(reduced(input, o));

function total(x: Tensor, o: Options): Tensor {
  const input = x.shape.slice(1);
  const y = sumTo(x, [x.shape[0]!, ...reduced(input, o)]);
  return o.mean ? affine(y, 1 / count(input, o), 0) : y;
}

export const reduce = affineLayer({
  role: 'affine',
  about: 'sum (or mean) over axes of the sample, which stay with size 1: axes, mean',
  options,
  shape([input], o, who) {
    const distinct = new Set(o.axes).size === o.axes.length;
    const fits = distinct && o.axes.every((axis) => axis < input!.length);
    expect(fits, who, `different axes of [${input}]`, o.axes);
    return reduced(input!, o);
  },
  channelDependency: ({ axes }) => ({ kind: axes.includes(0) ? 'fixed' : 'elementwise' }),
  macs: sizeOf,
  operator: (_, o, input) =>
    gather({
      forward: (x) => total(x, o),
      back(g) {
        const y = expand(g, [g.shape[0]!, ...input]);
        return o.mean ? affine(y, 1 / count(input, o), 0) : y;
      },
      accumulationLength: count(input, o) + 2,
      transposeAccumulationLength: 3,
    }),
});
