/**
 * Counter-based random fills (Philox4x32-10). Element (i, j) depends on (seed, stream, index[i], j)
 * alone, so it is the same at any batch size, thread count and after a resume.
 */
import type { Engine } from '../../runtime/engine';
import { type Shape, sizeOf } from '../shape';
import { empty, indices, type Tensor } from '../tensor';

/** Where random numbers come from: `index[i]` names row i (its own position when absent). */
export interface RandomKey {
  readonly seed: number;
  readonly stream: number;
  readonly index?: ArrayLike<number>;
}

/** Uniform in [lo, hi]; rows are the first axis. */
export function uniform(engine: Engine, shape: Shape, key: RandomKey, lo = 0, hi = 1): Tensor {
  return fill('random_uniform', engine, shape, key, lo, hi);
}

/** Normal with the given mean and standard deviation; rows are the first axis. */
export function normal(engine: Engine, shape: Shape, key: RandomKey, mean = 0, std = 1): Tensor {
  return fill('random_normal', engine, shape, key, mean, std);
}

function fill(
  kernel: 'random_uniform' | 'random_normal',
  engine: Engine,
  shape: Shape,
  { seed, stream, index }: RandomKey,
  p: number,
  q: number,
): Tensor {
  const y = empty(engine, shape);
  const rows = shape[0] ?? 1;
  const at = index ? indices(engine, index, 2 ** 32, 'random index') : 0;
  const [low, high] = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
  const cols = rows === 0 ? 0 : sizeOf(shape) / rows;
  engine.run(kernel, rows, cols, low, high, stream, at, p, q, y.ptr);
  return y;
}
