/** Formulas of attacks against references written another way, in f64. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { intervals } from '../../src/attack/apgd';
import { drawsOf } from '../../src/attack/draws';
import {
  difference,
  type ImageBall,
  intoBall,
  isInside,
  lengthOf,
  noiseIn,
  TWO_NORMS,
  toPlane,
} from '../../src/attack/geometry';
import { lbfgsDirection, type Pair } from '../../src/attack/lbfgs';
import {
  crossEntropy,
  dlr,
  type Loss,
  logitDifference,
  targetCrossEntropy,
  targetedDlr,
} from '../../src/attack/loss';
import { peak, planesOf, shareAt } from '../../src/attack/square';

const descending = (z: ArrayLike<number>): number[] => Array.from(z).sort((a, b) => b - a);

/** Losses as their papers write them. */
const WRITTEN: Readonly<Record<string, (z: Float32Array, y: number, t: number) => number>> = {
  dlr(z, y) {
    const s = descending(z);
    const rival = Math.max(...Array.from(z).filter((_, j) => j !== y));
    return -(z[y]! - rival) / (s[0]! - s[2]!);
  },
  targetedDlr(z, y, t) {
    const s = descending(z);
    return -(z[y]! - z[t]!) / (s[0]! - (s[2]! + s[3]!) / 2);
  },
  logitDifference: (z, y, t) => z[t]! - z[y]!,
  targetCrossEntropy(z, _, t) {
    const sum = Array.from(z).reduce((a, v) => a + Math.exp(v), 0);
    return Math.log(Math.exp(z[t]!) / sum);
  },
};
const OURS: Readonly<Record<string, (y: number, t: number) => Loss>> = {
  dlr,
  targetedDlr,
  logitDifference,
  targetCrossEntropy: (_, t) => targetCrossEntropy(t),
};

/** Distinct logits, as kinks have no derivative. */
const logits = (least: number) =>
  fc
    .uniqueArray(fc.integer({ min: -40, max: 40 }), { minLength: least, maxLength: 8 })
    .map((all) => Float32Array.from(all, (v) => v / 8));

describe('losses', () => {
  it.each(Object.keys(OURS))('%s is what its paper says, and its derivatives are', (name) => {
    fc.assert(
      fc.property(logits(4), fc.nat(), fc.nat(), (z, a, b) => {
        const y = a % z.length;
        const t = (y + 1 + (b % (z.length - 1))) % z.length;
        const { value, slope } = OURS[name]!(y, t)(z);
        expect(value).toBeCloseTo(WRITTEN[name]!(z, y, t), 9);
        const h = 2 ** -10;
        for (const j of z.keys()) {
          const [up, down] = [h, -h].map((d) =>
            WRITTEN[name]!(
              z.map((v, i) => (i === j ? v + d : v)),
              y,
              t,
            ),
          );
          const off = Math.abs(slope[j]! - (up! - down!) / (2 * h));
          expect(off).toBeLessThan(1e-3 * (1 + Math.abs(slope[j]!)));
        }
      }),
    );
  });

  it('cross entropy orders points as the cross entropy does, with gradients along its own', () => {
    fc.assert(
      fc.property(logits(2), fc.nat(), (z, a) => {
        const y = a % z.length;
        const sum = Array.from(z).reduce((all, v) => all + Math.exp(v), 0);
        const entropy = Math.log(sum) - z[y]!;
        const { value, slope } = crossEntropy(y)(z);
        expect(Math.log1p(Math.exp(value))).toBeCloseTo(entropy, 9);
        const wrong = 1 - Math.exp(z[y]!) / sum;
        for (const j of z.keys()) {
          const own = Math.exp(z[j]!) / sum - (j === y ? 1 : 0);
          expect(slope[j]! * wrong).toBeCloseTo(own, 9);
        }
      }),
    );
  });

  it('of a sure network still tells points apart', () => {
    const sure = (v: number) => crossEntropy(0)(Float32Array.of(v, 0, -1));
    expect(sure(1000).value).toBeLessThan(sure(999).value);
    expect(Array.from(sure(1000).slope).every(Number.isFinite)).toBe(true);
    expect(sure(1000).slope[0]).toBe(-1);
  });

  it('of two and three classes are those that exist there', () => {
    const two = Float32Array.of(3, 1);
    expect(dlr(0)(two).value).toBe(-2);
    expect(targetedDlr(0, 1)(two).value).toBe(-2);
    const three = Float32Array.of(3, 1, -1);
    expect(dlr(0)(three).value).toBe(-0.5);
    expect(targetedDlr(0, 2)(three).value).toBe(-1);
    const equal = Float32Array.of(2, 2, 2, 2);
    expect(dlr(0)(equal).value).toBe(0);
  });
});

describe('balls', () => {
  it.each(TWO_NORMS)('%s: points are brought in, noise is on the sphere', (norm) => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 20 }),
        fc.double({ min: 1e-6, max: 1, noNaN: true }),
        fc.nat(1000),
        (pixels, eps, seed) => {
          const ball: ImageBall = { image: Float32Array.from(pixels), eps, norm };
          const draws = drawsOf({ seed, index: 3 }, 'apgdCe');
          const far = Float64Array.from(pixels, () => 4 * draws.uniform() - 2);
          for (const point of [intoBall(ball, far), noiseIn(ball, draws)]) {
            const length = lengthOf(norm, difference(point, ball.image));
            expect(length).toBeLessThanOrEqual(eps * (1 + 1e-6) + 1e-6);
            expect(point.every((v) => v >= 0 && v <= 1)).toBe(true);
            if (norm === 'linf') expect(isInside(ball, point)).toBe(true);
          }
        },
      ),
    );
  });
});

/** The projection by bisection of how far entries may move: 200 halvings. */
function byBisection(
  norm: 'linf' | 'l2',
  x: readonly number[],
  w: readonly number[],
  c: number,
): number[] {
  const deltaAt = (s: number): number[] =>
    x.map((v, i) => {
      const wanted = Math.sign(c) * s * (norm === 'linf' ? Math.sign(w[i]!) : w[i]!);
      return Math.min(1, Math.max(0, v + wanted)) - v;
    });
  const reached = (s: number): number =>
    Math.abs(deltaAt(s).reduce((sum, d, i) => sum + d * w[i]!, 0));
  let [lo, hi] = [0, 1e6];
  for (let i = 0; i < 200; i++) {
    const mid = (lo + hi) / 2;
    if (reached(mid) < Math.abs(c)) lo = mid;
    else hi = mid;
  }
  return deltaAt(hi);
}

describe("FAB's projection", () => {
  const entries = (min: number, max: number) => fc.integer({ min, max }).map((v) => v / 16);
  const problem = fc
    .array(fc.tuple(entries(0, 16), entries(-32, 32)), { minLength: 1, maxLength: 12 })
    .chain((pairs) => fc.tuple(fc.constant(pairs), entries(-64, 64)));

  it.each(TWO_NORMS)('%s: is the least perturbation on the plane in the box', (norm) => {
    fc.assert(
      fc.property(problem, ([pairs, c]) => {
        const x = pairs.map(([v]) => v);
        const w = pairs.map(([, v]) => v);
        const delta = toPlane(norm, x, w, c);
        const want = byBisection(norm, x, w, c);
        expect(delta.every((d, i) => x[i]! + d >= 0 && x[i]! + d <= 1)).toBe(true);
        const dot = (d: ArrayLike<number>): number =>
          Array.from(d).reduce((sum, v, i) => sum + v * w[i]!, 0);
        const most = w.reduce(
          (sum, v, i) => sum + Math.abs(v) * (v > 0 === c > 0 ? 1 - x[i]! : x[i]!),
          0,
        );
        expect(Math.abs(dot(delta))).toBeCloseTo(Math.min(Math.abs(c), most), 9);
        expect(lengthOf(norm, delta)).toBeCloseTo(lengthOf(norm, want), 6);
      }),
      { numRuns: 500 },
    );
  });

  it('goes to the corner where the plane misses the box, and nowhere for no direction', () => {
    expect(Array.from(toPlane('linf', [0.5, 0.25], [1, -1], 100))).toEqual([0.5, -0.25]);
    expect(Array.from(toPlane('l2', [0.5, 0.25], [0, 0], 1))).toEqual([0, 0]);
  });
});

describe('schedules', () => {
  it("APGD's checkpoints are those of the paper", () => {
    expect(intervals(100)).toEqual([22, 3, 6]);
    expect(intervals(1)).toEqual([1, 1, 1]);
    // p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06), p_0 = 0, p_1 = 0.22.
    const wanted = [0, 22, 41, 57, 70, 80, 87, 93, 99];
    let [every, fewer, least] = intervals(100);
    const at = [0];
    while (at.at(-1)! + every <= 100) {
      at.push(at.at(-1)! + every);
      every = Math.max(every - fewer, least);
    }
    expect(at).toEqual(wanted);
  });

  it("Square's shares halve where the reference's do", () => {
    const table = [
      [0, 1],
      [10, 1],
      [11, 2],
      [51, 4],
      [201, 8],
      [501, 16],
      [1001, 32],
      [2001, 64],
      [4001, 128],
      [4999, 128],
      [6001, 256],
      [8001, 512],
    ] as const;
    for (const [query, part] of table) expect(shareAt(query, 0.8)).toBe(0.8 / part);
  });

  it("Square's bumps are sums of centred rectangles", () => {
    const [one, edge] = [1 + 1 / 4, 1 / 4];
    const norm = Math.hypot(one, ...new Array<number>(8).fill(edge));
    const want = [edge, edge, edge, edge, one, edge, edge, edge, edge].map((v) => v / norm);
    Array.from(peak(3, 3)).forEach((v, i) => {
      expect(v).toBeCloseTo(want[i]!, 12);
    });
  });

  it('shapes are channels, rows and columns', () => {
    expect(planesOf([3, 4, 5])).toEqual({ channels: 3, rows: 4, columns: 5 });
    expect(planesOf([7])).toEqual({ channels: 1, rows: 1, columns: 7 });
  });
});

describe('draws', () => {
  it('depend on seed, index, attack and restart alone', () => {
    const first = (seed: number, index: number, restart = 0): number[] => {
      const draws = drawsOf({ seed, index }, 'square', restart);
      return [draws.uniform(), draws.below(10), draws.sign(), draws.normal()];
    };
    expect(first(1, 2)).toEqual(first(1, 2));
    for (const other of [first(2, 2), first(1, 3), first(1, 2, 1)])
      expect(other).not.toEqual(first(1, 2));
    expect(drawsOf({ seed: 1, index: 2 }, 'fab').uniform()).not.toBe(first(1, 2)[0]);
  });

  it('have the moments of their distributions', () => {
    const draws = drawsOf({ seed: 5, index: 0 }, 'square');
    const values = Array.from({ length: 20_000 }, () => draws.normal());
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
  });
});

describe('L-BFGS', () => {
  it('finds the minimum of a quadratic in as many steps as it has dimensions', () => {
    const curvature = [1, 4, 9, 25];
    const gradient = (x: Float64Array): Float64Array => x.map((v, i) => curvature[i]! * v);
    let x = Float64Array.of(1, -2, 3, 0.5);
    const pairs: Pair[] = [];
    for (let i = 0; i < 8; i++) {
      const g = gradient(x);
      const way = lbfgsDirection(g, pairs);
      // The exact step along the way.
      const down = -way.reduce((sum, d, p) => sum + d * g[p]!, 0);
      const bend = way.reduce((sum, d, p) => sum + d * d * curvature[p]!, 0);
      if (!(bend > 0)) break;
      const next = x.map((v, p) => v + (down / bend) * way[p]!);
      pairs.push({ s: difference(next, x), y: difference(gradient(next), g) });
      x = next;
    }
    expect(lengthOf('l2', x)).toBeLessThan(1e-9);
  });
});
