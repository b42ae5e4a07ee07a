/** Operations that only move elements between axes. */
import { expect, fail } from '../../errors';
import { element } from '../../runtime/kernels';
import { type Shape, sameShape, stridesOf } from '../shape';
import { record } from '../tape';
import { empty, filled, indices, type Tensor } from '../tensor';
import { copyWalk } from './core';

/** Axes in another order: y.shape[i] = x.shape[order[i]]. */
export function transpose(x: Tensor, order: readonly number[]): Tensor {
  const each = x.shape.every((_, axis) => order.includes(axis));
  expect(each && order.length === x.shape.length, 'transpose', `axes of [${x.shape}] once`, order);
  const shape = order.map((axis) => x.shape[axis]!);
  const strides = stridesOf(x.shape);
  const y = empty(x.engine, shape);
  const from = order.map((axis) => strides[axis]!);
  copyWalk(y, shape, [x.ptr, from], [y.ptr, stridesOf(shape)]);
  const inverse = order.map((_, axis) => order.indexOf(axis));
  return record(y, [x], [(g) => transpose(g, inverse)]);
}

/** Elements [from, to) of one axis. */
export function slice(x: Tensor, axis: number, from: number, to: number): Tensor {
  const size = x.shape[axis] ?? 0;
  expect(0 <= from && from <= to && to <= size, 'slice', `a range in [0, ${size}]`, [from, to]);
  const shape = x.shape.map((s, i) => (i === axis ? to - from : s));
  const strides = stridesOf(x.shape);
  const y = empty(x.engine, shape);
  copyWalk(y, shape, [element(x.ptr, from * strides[axis]!), strides], [y.ptr, stridesOf(shape)]);
  return record(y, [x], [(g) => embed(g, axis, from, x.shape)]);
}

/** Zeros of `shape` with `x` at `from` along `axis`: the transpose of `slice`. */
export function embed(x: Tensor, axis: number, from: number, shape: Shape): Tensor {
  const y = filled(x.engine, shape, 0);
  const strides = stridesOf(shape);
  copyWalk(
    y,
    x.shape,
    [x.ptr, stridesOf(x.shape)],
    [element(y.ptr, from * strides[axis]!), strides],
  );
  return record(y, [x], [(g) => slice(g, axis, from, from + (x.shape[axis] ?? 0))]);
}

/** Tensors side by side along one axis. */
export function concat(xs: readonly Tensor[], axis: number): Tensor {
  const first = xs[0] ?? fail('concat', 'at least one tensor', 'none');
  const total = xs.reduce((sum, x) => sum + x.shape[axis]!, 0);
  const shape = first.shape.map((size, i) => (i === axis ? total : size));
  for (const { shape: own } of xs)
    if (!sameShape(own.with(axis, total), shape))
      fail('concat', `shapes that differ in axis ${axis} only`, `[${first.shape}] and [${own}]`);
  const strides = stridesOf(shape);
  const y = empty(first.engine, shape);
  const pullbacks: ((g: Tensor) => Tensor)[] = [];
  let at = 0;
  for (const x of xs) {
    const start = at;
    at += x.shape[axis]!;
    const to = element(y.ptr, start * strides[axis]!);
    copyWalk(y, x.shape, [x.ptr, stridesOf(x.shape)], [to, strides]);
    pullbacks.push((g) => slice(g, axis, start, start + x.shape[axis]!));
  }
  return record(y, xs, pullbacks);
}

/** Row `index[i]` of x [rows, cols] as row i: [count, cols]. */
export function takeRows(x: Tensor, index: ArrayLike<number>): Tensor {
  const [rows, cols] = x.shape as [number, number];
  const y = empty(x.engine, [index.length, cols]);
  const at = indices(x.engine, index, rows, 'takeRows');
  x.engine.run('take_rows', index.length, cols, x.ptr, at, y.ptr);
  return record(y, [x], [(g) => addRows(g, index, rows)]);
}

/** Zeros [rows, cols] plus row i of x at row `index[i]`: the transpose of `takeRows`. */
export function addRows(x: Tensor, index: ArrayLike<number>, rows: number): Tensor {
  const [count, cols] = x.shape as [number, number];
  const y = filled(x.engine, [rows, cols], 0);
  expect(index.length === count, 'addRows', `${count} indices`, index.length);
  const at = indices(x.engine, index, rows, 'addRows');
  x.engine.run('add_rows', count, cols, x.ptr, at, y.ptr);
  return record(y, [x], [(g) => takeRows(g, index)]);
}
