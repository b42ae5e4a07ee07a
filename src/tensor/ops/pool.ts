/** Max and average pooling over the planes of [n, c, h, w]; padding is symmetric or as given. */
import { expect } from '../../errors';
import type { Shape } from '../shape';
import { record } from '../tape';
import { empty, type Tensor } from '../tensor';

/** Window, its steps and its padding, each [vertical, horizontal]. */
export interface PoolOptions {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  /** top, left, bottom, right */
  readonly pad: readonly [number, number, number, number];
}

/** [n, c, oh, ow] of the windows over [n, c, h, w]. */
export function poolShape([n, c, h, w]: Shape, { kernel, stride, pad }: PoolOptions): Shape {
  const oh = Math.floor((h! + pad[0] + pad[2] - kernel[0]) / stride[0]) + 1;
  const ow = Math.floor((w! + pad[1] + pad[3] - kernel[1]) / stride[1]) + 1;
  return [n!, c!, oh, ow];
}

/** Largest value of each window; padding never wins, ties go to the first. */
export function maxPool(x: Tensor, o: PoolOptions): Tensor {
  const g = geometry(x.shape, o);
  const y = empty(x.engine, poolShape(x.shape, o));
  x.engine.run('max_pool', ...g, x.ptr, y.ptr);
  const pullback = (dy: Tensor): Tensor => {
    const dx = empty(x.engine, x.shape);
    x.engine.run('max_pool_grad', ...g, x.ptr, dy.ptr, dx.ptr);
    return dx;
  };
  return record(y, [x], [pullback]);
}

/** Mean over each window; padding counts as zeros. */
export function avgPool(x: Tensor, o: PoolOptions): Tensor {
  const g = geometry(x.shape, o);
  const y = empty(x.engine, poolShape(x.shape, o));
  x.engine.run('avg_pool', ...g, x.ptr, y.ptr);
  return record(y, [x], [(dy) => avgPoolGrad(dy, x.shape, o)]);
}

/** The transpose of `avgPool`: dy -> [n, c, h, w] with c, h, w of `xShape`. */
export function avgPoolGrad(dy: Tensor, xShape: Shape, o: PoolOptions): Tensor {
  const shape = [dy.shape[0]!, ...xShape.slice(1)];
  const dx = empty(dy.engine, shape);
  dy.engine.run('avg_pool_grad', ...geometry(shape, o), dy.ptr, dx.ptr);
  return record(dx, [dy], [(g) => avgPool(g, o)]);
}

type Geometry = readonly [
  ...[n: number, c: number, h: number, w: number, kh: number, kw: number],
  ...[sh: number, sw: number, pt: number, pl: number, oh: number, ow: number],
];

function geometry(x: Shape, o: PoolOptions): Geometry {
  const [n, c, h, w] = x as [number, number, number, number];
  expect(x.length === 4, 'pool', 'planes [n, c, h, w]', `[${x}]`);
  const [, , oh, ow] = poolShape(x, o) as [number, number, number, number];
  expect(oh > 0 && ow > 0, 'pool', 'an input at least as large as the window', [h, w]);
  const [s, p] = [o.stride, o.pad];
  return [n, c, h, w, o.kernel[0], o.kernel[1], s[0], s[1], p[0], p[1], oh, ow];
}
