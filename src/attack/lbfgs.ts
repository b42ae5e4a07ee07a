/** Directions of limited-memory BFGS (Nocedal 1980, two-loop recursion), in f64. */

/** A step and the change of the gradient over it. */
export interface Pair {
  readonly s: Float64Array;
  readonly y: Float64Array;
}

/** Minus the approximate inverse Hessian of the pairs, oldest first, times the gradient. */
export function lbfgsDirection(gradient: Float64Array, all: readonly Pair[]): Float64Array {
  // Pairs without curvature would make it indefinite.
  const pairs = all.filter(({ s, y }) => dot(s, y) > 1e-12 * dot(y, y));
  const q = gradient.slice();
  const alphas = pairs.map(() => 0);
  for (let i = pairs.length - 1; i >= 0; i--) {
    const { s, y } = pairs[i]!;
    alphas[i] = dot(s, q) / dot(s, y);
    accumulate(q, -alphas[i]!, y);
  }
  const last = pairs.at(-1);
  // The first step has length 1.
  const scale = last ? dot(last.s, last.y) / dot(last.y, last.y) : 1 / (Math.sqrt(dot(q, q)) || 1);
  for (let p = 0; p < q.length; p++) q[p]! *= scale;
  for (const [i, { s, y }] of pairs.entries()) accumulate(q, alphas[i]! - dot(y, q) / dot(s, y), s);
  return q.map((v) => -v);
}

const dot = (a: Float64Array, b: Float64Array): number =>
  a.reduce((sum, v, i) => sum + v * b[i]!, 0);

function accumulate(to: Float64Array, factor: number, x: Float64Array): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * x[i]!;
}
