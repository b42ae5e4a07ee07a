/**
 * The operations that all pullbacks are made of: linear combinations, broadcasting arithmetic,
 * repetition and summation. They refer to each other's derivatives, so they share one file.
 */
import { expect, fail } from '../../errors';
import type { KernelName } from '../../runtime/engine';
import type { Ptr } from '../../runtime/kernels';
import {
  broadcastShape,
  broadcastStrides,
  mergeAxes,
  padWalk,
  type Shape,
  sameShape,
  sizeOf,
  stridesOf,
} from '../shape';
import { type Pullback, record } from '../tape';
import { empty, Tensor } from '../tensor';

/** alpha * x + beta. */
export function affine(x: Tensor, alpha: number, beta: number): Tensor {
  const y = empty(x.engine, x.shape);
  x.engine.run('affine', x.size, alpha, beta, x.ptr, y.ptr);
  return record(y, [x], [(g) => affine(g, alpha, 0)]);
}

/** -x. */
export const neg = (x: Tensor): Tensor => affine(x, -1, 0);

/** alpha * a + beta * b, equal shapes. */
export function lincomb(alpha: number, a: Tensor, beta: number, b: Tensor): Tensor {
  expect(a.size === b.size, 'lincomb', `shape [${a.shape}]`, `[${b.shape}]`);
  const y = empty(a.engine, a.shape);
  a.engine.run('lincomb', a.size, alpha, a.ptr, beta, b.ptr, y.ptr);
  return record(y, [a, b], [(g) => affine(g, alpha, 0), (g) => affine(g, beta, 0)]);
}

type Binary = Extract<
  KernelName,
  'add' | 'sub' | 'mul' | 'div' | 'maximum' | 'minimum' | 'greater' | 'greater_equal' | 'equal'
>;

/** An elementwise operation on two tensors that broadcast (numpy rules), and its two pullbacks. */
function binary(
  kernel: Binary,
  pullbacks?: (a: Tensor, b: Tensor) => readonly [Pullback, Pullback],
) {
  return (a: Tensor, b: Tensor): Tensor => {
    const shape = broadcastShape(a.shape, b.shape, kernel);
    const both = [broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)];
    const { dims, strides } = padWalk(mergeAxes(shape, both), 3, kernel);
    const y = empty(a.engine, shape);
    const [d0, d1, d2] = dims as [number, number, number];
    const [a0, a1, a2] = strides[0] as [number, number, number];
    const [b0, b1, b2] = strides[1] as [number, number, number];
    a.engine.run(kernel, d0, d1, d2, a.ptr, a0, a1, a2, b.ptr, b0, b1, b2, y.ptr);
    const rules = pullbacks?.(a, b);
    if (!rules) return y;
    return record(
      y,
      [a, b],
      [(g) => sumTo(rules[0](g), a.shape), (g) => sumTo(rules[1](g), b.shape)],
    );
  };
}

/** 1 where a > b, else 0. */
export const greater = binary('greater');
/** 1 where a >= b, else 0. */
export const greaterEqual = binary('greater_equal');
/** 1 where a = b, else 0. */
export const equal = binary('equal');

/** a + b; like all operations on two tensors, with shapes that broadcast. */
export const add = binary('add', () => [(g) => g, (g) => g]);
/** a - b. */
export const sub = binary('sub', () => [(g) => g, (g) => neg(g)]);
/** a * b. */
export const mul = binary('mul', (a, b) => [(g) => mul(g, b), (g) => mul(g, a)]);
/** a / b. */
export const div = binary('div', (a, b) => [
  (g) => div(g, b),
  (g) => neg(div(div(mul(g, a), b), b)),
]);
/** The larger of two; the gradient goes to `a` where they are equal. */
export const maximum = binary('maximum', (a, b) => [
  (g) => mul(g, greaterEqual(a, b)),
  (g) => mul(g, greater(b, a)),
]);
/** The smaller of two; the gradient goes to `a` where they are equal. */
export const minimum = binary('minimum', (a, b) => [
  (g) => mul(g, greaterEqual(b, a)),
  (g) => mul(g, greater(a, b)),
]);

/** The same elements under another shape; no copy. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (sizeOf(shape) !== x.size) fail('reshape', `${x.size} elements`, `shape [${shape}]`);
  const y = new Tensor(x.engine, shape, x.ptr, x.epoch);
  return record(y, [x], [(g) => reshape(g, x.shape)]);
}

/** x repeated along axes of size 1 (and new axes in front) up to `shape`. */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const fits = sameShape(broadcastShape(x.shape, shape, 'expand'), shape);
  if (!fits) fail('expand', `a shape that repeats [${x.shape}]`, `[${shape}]`);
  const y = empty(x.engine, shape);
  copyWalk(y, shape, [x.ptr, broadcastStrides(x.shape, shape)], [y.ptr, stridesOf(shape)]);
  return record(y, [x], [(g) => sumTo(g, x.shape)]);
}

/** Sum over the consecutive axes [from, to), which stay with size 1. Accumulated in f64. */
export function sumAxes(x: Tensor, from: number, to: number): Tensor {
  const shape = x.shape.map((size, axis) => (axis >= from && axis < to ? 1 : size));
  const y = empty(x.engine, shape);
  const [outer, inner] = [sizeOf(x.shape.slice(0, from)), sizeOf(x.shape.slice(to))];
  x.engine.run('sum', outer, sizeOf(x.shape.slice(from, to)), inner, x.ptr, y.ptr);
  return record(y, [x], [(g) => expand(g, x.shape)]);
}

/** Sums away what broadcasting from `shape` would repeat: the transpose of `expand`. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const missing = x.shape.length - shape.length;
  const repeated = x.shape.map(
    (size, axis) => axis < missing || (shape[axis - missing] === 1 && size !== 1),
  );
  let y = x;
  for (let axis = 0; axis < repeated.length; axis++) {
    let end = axis;
    while (repeated[end]) end++;
    if (end > axis) y = sumAxes(y, axis, end);
    axis = Math.max(axis, end);
  }
  return reshape(y, shape);
}

/** Sum of all elements, shape []. */
export function sum(x: Tensor): Tensor {
  return sumTo(x, []);
}

/** Mean of all elements, shape []. */
export function mean(x: Tensor): Tensor {
  return affine(sum(x), 1 / x.size, 0);
}

type StridedView = readonly [ptr: Ptr, strides: readonly number[]];

/** Copies `shape` elements between two strided places; `y` only names the engine. */
export function copyWalk(y: Tensor, shape: Shape, from: StridedView, to: StridedView): void {
  const { dims, strides } = padWalk(mergeAxes(shape, [from[1], to[1]]), 4, 'copy');
  const [d0, d1, d2, d3] = dims as [number, number, number, number];
  const [x0, x1, x2, x3] = strides[0] as [number, number, number, number];
  const [y0, y1, y2, y3] = strides[1] as [number, number, number, number];
  y.engine.run('copy_strided', d0, d1, d2, d3, from[0], x0, x1, x2, x3, to[0], y0, y1, y2, y3, 0);
}
