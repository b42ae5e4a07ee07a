/**
 * Windows of planes: the same part of every channel of an image, at a corner of its own, which may lie
 * outside. Backward linear bounds see planes through them (bounds/patches.ts).
 * Cost: about 1 ns an element, here and not in a kernel, as windows are few and rows that share them many.
 */
import { expect } from '../../errors';
import type { Shape } from '../shape';
import { record } from '../tape';
import { empty, filled, type Tensor } from '../tensor';

/** Where windows lie: the image of each, and the line and column of its first place. */
export interface Corners {
  readonly image: ArrayLike<number>;
  readonly top: ArrayLike<number>;
  readonly left: ArrayLike<number>;
}

/** Windows [count, c, ...size] of x [n, c, h, w]; 0 where one leaves the plane. */
export function takeWindows(
  x: Tensor,
  corners: Corners,
  [height, width]: readonly [number, number],
): Tensor {
  const count = corners.image.length;
  const leaves = !corners.image.length || isOutside(x.shape, corners, height, width);
  const shape = [count, x.shape[1]!, height, width];
  const y = leaves ? filled(x.engine, shape, 0) : empty(x.engine, shape);
  const from = x.engine.memory.f32(x.ptr, x.size);
  const to = x.engine.memory.f32(y.ptr, y.size);
  eachLine(x.shape, corners, height, width, (p, q, length) => {
    for (let i = 0; i < length; i++) to[q + i] = from[p + i]!;
  });
  return record(y, [x], [(g) => addWindows(g, corners, x.shape)]);
}

/** Zeros of `shape` [n, c, h, w] plus the windows x [count, c, ...]: the transpose of `takeWindows`. */
export function addWindows(x: Tensor, corners: Corners, shape: Shape): Tensor {
  const [count, c, height, width] = x.shape as [number, number, number, number];
  const fits = corners.image.length === count && c === shape[1];
  expect(fits, 'addWindows', `${corners.image.length} windows of [${shape}]`, `[${x.shape}]`);
  const y = filled(x.engine, shape, 0);
  const from = x.engine.memory.f32(x.ptr, x.size);
  const to = x.engine.memory.f32(y.ptr, y.size);
  eachLine(shape, corners, height, width, (p, q, length) => {
    for (let i = 0; i < length; i++) to[p + i]! += from[q + i]!;
  });
  return record(y, [x], [(g) => takeWindows(g, corners, [height, width])]);
}

function isOutside(
  [, , h, w]: Shape,
  { top, left }: Corners,
  height: number,
  width: number,
): boolean {
  for (let i = 0; i < top.length; i++)
    if (top[i]! < 0 || left[i]! < 0 || top[i]! + height > h! || left[i]! + width > w!) return true;
  return false;
}

/** Runs over the parts of the windows' lines inside of the planes: where in planes, in windows, how long. */
function eachLine(
  shape: Shape,
  { image, top, left }: Corners,
  height: number,
  width: number,
  use: (plane: number, window: number, length: number) => void,
): void {
  const [n, c, h, w] = shape as [number, number, number, number];
  for (let i = 0; i < image.length; i++) {
    const [y0, x0] = [top[i]!, left[i]!];
    expect(image[i]! >= 0 && image[i]! < n, 'windows', `images in [0, ${n})`, image[i]);
    const [first, last] = [Math.max(0, -x0), Math.min(width, w - x0)];
    const [from, to] = [Math.max(0, -y0), Math.min(height, h - y0)];
    if (first >= last) continue;
    for (let channel = 0; channel < c; channel++)
      for (let y = from; y < to; y++)
        use(
          ((image[i]! * c + channel) * h + y0 + y) * w + x0 + first,
          ((i * c + channel) * height + y) * width + first,
          last - first,
        );
  }
}
