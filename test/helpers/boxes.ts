/** Boxes and points of them: corners, faces and the inside, all exact float32 numbers. */
import { type Nd, nd } from './nd';
import type { Sampler } from './random';
import type { BoxNd } from './reference-network';

/** Float32 boxes about random centres; `width` may be 0. */
export function boxAround(centre: Nd, width: number): BoxNd {
  const end = (sign: number): Nd =>
    nd(
      centre.shape,
      Float32Array.from(centre.data, (v) => v + sign * width),
    );
  return { lo: end(-1), hi: end(1) };
}

/** `count` points of each box of a batch [n, ...], as a batch [count * n, ...]. */
export function pointsIn({ lo, hi }: BoxNd, count: number, random: Sampler): Nd {
  const size = lo.data.length;
  const points = new Float32Array(count * size);
  for (let k = 0; k < count; k++)
    for (let i = 0; i < size; i++) {
      const [a, b] = [lo.data[i]!, hi.data[i]!];
      const u = k < 2 ? k : random.real();
      // Even rows are corners, odd ones points of the inside.
      const inside = Math.fround(a + (b - a) * u);
      const value = k % 2 === 0 || k < 2 ? (u < 0.5 ? a : b) : Math.min(Math.max(inside, a), b);
      points[k * size + i] = value;
    }
  return nd([count * lo.shape[0]!, ...lo.shape.slice(1)], points);
}
