/** Balls, directions and hyperplanes of one image in [0, 1]: pixels in float32, sums in f64. */
import type { Norm } from '../domain/balls';
import { outside } from './attack';
import type { Draws } from './draws';

/** Norms that most attacks know; of L1 they are refused, as their published steps are for these two. */
export const TWO_NORMS = ['linf', 'l2'] as const satisfies readonly Norm[];
export type TwoNorm = (typeof TWO_NORMS)[number];

/** Ball around a clean image. */
export interface ImageBall {
  readonly image: Float32Array;
  readonly eps: number;
  readonly norm: TwoNorm;
}

/** A little less than 1, as x + delta is rounded. */
const INSIDE = 1 - 1e-6;

export function lengthOf(norm: Norm, delta: ArrayLike<number>): number {
  let [most, squares, sizes] = [0, 0, 0];
  for (let i = 0; i < delta.length; i++) {
    const size = Math.abs(delta[i]!);
    if (size > most) most = size;
    squares += size * size;
    sizes += size;
  }
  return { linf: most, l2: Math.sqrt(squares), l1: sizes }[norm];
}

/** f(i) for i < n, in f64: a plain loop, as `Float64Array.from` walks an iterator. */
export function tabulate(n: number, f: (i: number) => number): Float64Array {
  const values = new Float64Array(n);
  for (let i = 0; i < n; i++) values[i] = f(i);
  return values;
}

/** a - b. */
export const difference = (a: ArrayLike<number>, b: ArrayLike<number>): Float64Array =>
  tabulate(a.length, (i) => a[i]! - b[i]!);

/** (tanh w + 1) / 2: the point of [0, 1] that a free variable stands for. */
export const squashed = (w: Float64Array): Float32Array =>
  Float32Array.from(tabulate(w.length, (i) => (Math.tanh(w[i]!) + 1) / 2));

/** The free variable of an image; pixels of 0 and 1 are at infinity, so they are moved inside by a little. */
export const unsquashed = (image: Float32Array): Float64Array =>
  tabulate(image.length, (i) => Math.atanh((2 * image[i]! - 1) * (1 - 1e-6)));

/** The image nearest to x + delta in the ball (L2: on the way to x), cut to [0, 1], which brings it nearer to x. */
export function intoBall({ image, eps, norm }: ImageBall, delta: ArrayLike<number>): Float32Array {
  const length = norm === 'l2' ? lengthOf('l2', delta) : 0;
  const scale = length > INSIDE * eps ? (INSIDE * eps) / length : 1;
  const moved = new Float32Array(image.length);
  for (let i = 0; i < moved.length; i++) {
    const x = image[i]!;
    const d = norm === 'l2' ? scale * delta[i]! : Math.min(eps, Math.max(-eps, delta[i]!));
    moved[i] = Math.min(1, Math.max(0, x + d));
  }
  return moved;
}

/** x + length times the direction of the ball's norm that climbs fastest along g, as a perturbation of the clean image. */
export function stepped(
  { image, norm }: ImageBall,
  at: Float32Array,
  g: ArrayLike<number>,
  length: number,
): Float64Array {
  const scale = norm === 'l2' ? length / (lengthOf('l2', g) || 1) : length;
  const delta = new Float64Array(at.length);
  for (let i = 0; i < delta.length; i++) {
    const way = norm === 'l2' ? scale * g[i]! : scale * Math.sign(g[i]!);
    // A gradient that overflowed leads nowhere.
    delta[i] = at[i]! - image[i]! + (Number.isFinite(way) ? way : 0);
  }
  return delta;
}

/** Noise on the ball's sphere: uniform scaled to its largest entry (L-infinity), a Gaussian direction (L2). */
export function noiseIn(ball: ImageBall, draws: Draws, radius = ball.eps): Float32Array {
  const { norm, image } = ball;
  const t = tabulate(image.length, () =>
    norm === 'linf' ? 2 * draws.uniform() - 1 : draws.normal(),
  );
  const scale = radius / (lengthOf(norm, t) || 1);
  return intoBall(
    ball,
    t.map((v) => v * scale),
  );
}

/** Whether a point lies in the ball, as verifiers certify it. */
export const isInside = ({ image, eps, norm }: ImageBall, point: Float32Array): boolean =>
  outside({ eps, norm }, image, point) === undefined;

/**
 * The least perturbation of x in the norm with w . delta = c and x + delta in [0, 1]: FAB's projection onto a
 * hyperplane and a box (Croce and Hein 2020). Where the hyperplane misses the box, the corner nearest to it.
 *
 * Entries move at speed r (L-infinity: 1; L2: |w_i|) until they meet the box, so what is reached,
 * sum |w_i| min(s r_i, room_i), is concave in s, and Newton's steps from 0 end at the root after finitely many.
 */
export function toPlane(
  norm: TwoNorm,
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  c: number,
): Float64Array {
  const n = x.length;
  const room = new Float64Array(n);
  const sizes = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    sizes[i] = Math.abs(w[i]!);
    room[i] = Math.max(0, w[i]! > 0 === c > 0 ? 1 - x[i]! : x[i]!);
  }
  const speed = (i: number): number => (norm === 'linf' ? 1 : sizes[i]!);
  let s = 0;
  for (;;) {
    let [fixed, rate] = [0, 0];
    for (let i = 0; i < n; i++) {
      if (s * speed(i) < room[i]!) rate += sizes[i]! * speed(i);
      else fixed += sizes[i]! * room[i]!;
    }
    const next = rate > 0 ? (Math.abs(c) - fixed) / rate : Number.POSITIVE_INFINITY;
    if (!(next > s)) break;
    s = next;
    if (s === Number.POSITIVE_INFINITY) break;
  }
  return room.map((most, i) => {
    if (sizes[i] === 0) return 0;
    return (w[i]! > 0 === c > 0 ? 1 : -1) * Math.min(s * speed(i), most);
  });
}
