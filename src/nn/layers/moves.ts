/**
 * Layers that only move values: another shape, another order of axes, a choice along one axis, zeros
 * around. They are exact, so bounds go through them unchanged. Axes are those of one sample.
 */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { reshape as view } from '../../tensor/ops/core';
import { addRows, embed, slice, takeRows, transpose } from '../../tensor/ops/shape';
import { type Shape, sizeOf } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { affineLayer } from '../layer';
import { gather } from '../operators/gather';

const batched = (x: Tensor, sample: Shape): Shape => [x.shape[0]!, ...sample];

export const reshape = affineLayer({
  role: 'affine',
  about: 'the same values, in order, under another shape of the sample: shape',
  options: v.strictObject({ shape: v.array(whole(1)) }),
  shape([input], o, who) {
    const fits = o.shape.length > 0 && sizeOf(o.shape) === sizeOf(input!);
    expect(fits, who, `a shape of ${sizeOf(input!)} values`, o.shape);
    return o.shape;
  },
  operator: (_, o, input) =>
    gather({
      reshapes: true,
      forward: (x) => view(x, batched(x, o.shape)),
      back: (g) => view(g, batched(g, input)),
    }),
});

type Order = { readonly order: readonly number[] };
const reorder = (x: Tensor, { order }: Order): Tensor =>
  transpose(x, [0, ...order.map((axis) => axis + 1)]);

export const permute = affineLayer({
  role: 'affine',
  about: 'axes in another order, axis i of the output being axis order[i]: order',
  options: v.strictObject({ order: v.array(whole(0)) }),
  shape([input], { order }, who) {
    const complete =
      input!.length === order.length && input!.every((_, axis) => order.includes(axis));
    expect(complete, who, `every axis of [${input}] once`, order);
    return order.map((axis) => input![axis]!);
  },
  operator: (_, o) =>
    gather({
      forward: (x) => reorder(x, o),
      back: (g) => reorder(g, { order: o.order.map((_axis, i) => o.order.indexOf(i)) }),
    }),
});

interface Choice {
  readonly axis: number;
  readonly indices: readonly number[];
}

/** x [n, ...] with `axis` in front and the rest flat, treated by `rows`, and back. */
function along(x: Tensor, axis: number, rows: (flat: Tensor) => Tensor): Tensor {
  const front = [axis + 1, ...x.shape.map((_, i) => i).filter((i) => i !== axis + 1)];
  const moved = transpose(x, front);
  const [size, ...rest] = moved.shape;
  const y = rows(view(moved, [size!, sizeOf(rest)]));
  const back = x.shape.map((_, i) => front.indexOf(i));
  return transpose(view(y, [y.shape[0]!, ...rest]), back);
}

const take = (x: Tensor, { axis, indices }: Choice): Tensor =>
  along(x, axis, (flat) => takeRows(flat, indices));

export const select = affineLayer({
  role: 'affine',
  about: 'the given places along one axis, in the given order, repeats allowed: axis, indices',
  options: v.strictObject({ axis: v.optional(whole(0), 0), indices: v.array(whole(0)) }),
  shape([input], { axis, indices }, who) {
    const size = input![axis] ?? 0;
    const fits = indices.length > 0 && indices.every((i) => i < size);
    expect(fits, who, `indices in [0, ${size}) along axis ${axis} of [${input}]`, worst(indices));
    return input!.map((s, i) => (i === axis ? indices.length : s));
  },
  channelDependency: ({ axis }) => ({ kind: axis === 0 ? 'fixed' : 'elementwise' }),
  operator: (_, o, input) =>
    gather({
      forward: (x) => take(x, o),
      back: (g) => along(g, o.axis, (flat) => addRows(flat, o.indices, input[o.axis]!)),
      transposeAccumulationLength:
        new Set(o.indices).size < o.indices.length ? o.indices.length : 0,
    }),
});

const worst = (indices: readonly number[]): number | string =>
  indices.length === 0 ? 'none' : indices.reduce((a, b) => Math.max(a, b));

interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const padded = (input: Shape, { before, after }: Around): Shape =>
  input.map((size, axis) => size + before[axis]! + after[axis]!);

const surround = (x: Tensor, o: Around): Tensor =>
  padded(x.shape.slice(1), o).reduce(
    (y, size, axis) =>
      size === y.shape[axis + 1]
        ? y
        : embed(y, axis + 1, o.before[axis]!, y.shape.with(axis + 1, size)),
    x,
  );

const crop = (g: Tensor, { before }: Around, input: Shape): Tensor =>
  input.reduce(
    (y, size, axis) =>
      size === y.shape[axis + 1] ? y : slice(y, axis + 1, before[axis]!, before[axis]! + size),
    g,
  );

export const pad = affineLayer({
  role: 'affine',
  about: 'zeros around the sample, counts an axis: before, after',
  options: v.strictObject({ before: v.array(whole(0)), after: v.array(whole(0)) }),
  shape([input], o, who) {
    const fits = o.before.length === input!.length && o.after.length === input!.length;
    expect(fits, who, `two counts for each axis of [${input}]`, [o.before.length, o.after.length]);
    return padded(input!, o);
  },
  channelDependency: ({ before, after }) => ({
    kind: before[0] === 0 && after[0] === 0 ? 'elementwise' : 'fixed',
  }),
  operator: (_, o, input) =>
    gather({ forward: (x) => surround(x, o), back: (g) => crop(g, o, input) }),
});
