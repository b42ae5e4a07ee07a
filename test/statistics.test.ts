import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EspalierError } from '../src/errors';
import { proportion } from '../src/report/binomial';
import {
  clopperPearson,
  incompleteBeta,
  lowerConfidence,
  normalCdf,
  normalQuantile,
} from '../src/statistics';
import { type Fraction, fraction, isAtMost } from './helpers/fraction';

/** P[X = k] of n trials, by a product of well-scaled factors: good to a few ulps for small n. */
function mass(n: number, k: number, p: number): number {
  let value = 1;
  let failures = n - k;
  for (let i = 1; i <= k; i++) {
    value *= ((n - k + i) / i) * p;
    while (value > 1 && failures > 0) {
      value *= 1 - p;
      failures--;
    }
  }
  return value * (1 - p) ** failures;
}

function tailFrom(x: number, n: number, p: number): number {
  let sum = 0;
  for (let k = n; k >= x; k--) sum += mass(n, k, p);
  return sum;
}

const counts = (most: number) =>
  fc
    .integer({ min: 1, max: most })
    .chain((total) => fc.tuple(fc.integer({ min: 0, max: total }), fc.constant(total)));

describe('clopperPearson', () => {
  it('has the closed forms of nothing and everything correct', () => {
    for (const n of [1, 2, 10, 100, 1000, 60_000]) {
      const edge = 0.025 ** (1 / n);
      expect(clopperPearson(0, n).lo).toBe(0);
      expect(clopperPearson(0, n).hi).toBeCloseTo(1 - edge, 12);
      expect(clopperPearson(n, n).lo).toBeCloseTo(edge, 12);
      expect(clopperPearson(n, n).hi).toBe(1);
    }
  });

  it('agrees with published tables', () => {
    // Exact 95 % limits to four places, as statistics tables print them.
    for (const [x, n, lo, hi] of [
      [1, 10, 0.0025, 0.445],
      [5, 10, 0.1871, 0.8129],
      [10, 20, 0.272, 0.728],
      [50, 100, 0.3983, 0.6017],
      [1, 2, 0.0126, 0.9874],
    ] as const) {
      const interval = clopperPearson(x, n);
      expect(Math.abs(interval.lo - lo)).toBeLessThan(6e-5);
      expect(Math.abs(interval.hi - hi)).toBeLessThan(6e-5);
    }
  });

  it('leaves exactly 2.5 % in each tail, by summing the binomial', () => {
    fc.assert(
      fc.property(counts(400), ([x, n]) => {
        const { lo, hi } = clopperPearson(x, n);
        if (x > 0) expect(Math.abs(tailFrom(x, n, lo) - 0.025)).toBeLessThan(1e-11);
        if (x < n) expect(Math.abs(1 - tailFrom(x + 1, n, hi) - 0.025)).toBeLessThan(1e-11);
      }),
      { numRuns: 60 },
    );
  });

  it('takes other confidences', () => {
    const { lo, hi } = clopperPearson(0, 10, 0.99);
    expect([lo, hi]).toEqual([0, expect.closeTo(1 - 0.005 ** 0.1, 12)]);
    expect(Math.abs(tailFrom(7, 30, clopperPearson(7, 30, 0.8).lo) - 0.1)).toBeLessThan(1e-11);
  });

  it('is symmetric, ordered, contains the estimate and narrows with n', () => {
    fc.assert(
      fc.property(counts(100_000), ([x, n]) => {
        const a = clopperPearson(x, n);
        const b = clopperPearson(n - x, n);
        expect(Math.abs(a.lo - (1 - b.hi))).toBeLessThan(1e-12);
        expect(a.lo).toBeGreaterThanOrEqual(0);
        expect(a.hi).toBeLessThanOrEqual(1);
        expect(a.lo).toBeLessThanOrEqual(x / n);
        expect(a.hi).toBeGreaterThanOrEqual(x / n);
        const wider = clopperPearson(x, n, 0.99);
        expect(wider.hi - wider.lo).toBeGreaterThan(a.hi - a.lo);
        const more = clopperPearson(2 * x, 2 * n);
        expect(more.hi - more.lo).toBeLessThan(a.hi - a.lo);
      }),
      { numRuns: 100 },
    );
  });

  it('stays exact for large counts, against the normal approximation', () => {
    const n = 100_000_000;
    const { lo, hi } = clopperPearson(n / 2, n);
    const half = (1.959963984540054 * 0.5) / Math.sqrt(n);
    expect(Math.abs(hi - lo - 2 * half)).toBeLessThan(3 / n);
  });

  it('refuses what is not a count', () => {
    for (const [x, n, c] of [
      [-1, 10, 0.95],
      [11, 10, 0.95],
      [1.5, 10, 0.95],
      [0, -1, 0.95],
      [0, Number.NaN, 0.95],
      [1, 10, 1],
      [1, 10, 0],
    ] as const)
      expect(() => clopperPearson(x, n, c)).toThrow(EspalierError);
  });
});

describe('incompleteBeta', () => {
  it('has its closed forms', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 500 }),
        (x, a) => {
          expect(incompleteBeta(x, a, 1)).toBeCloseTo(x ** a, 11);
          expect(incompleteBeta(x, 1, a)).toBeCloseTo(1 - (1 - x) ** a, 11);
          expect(incompleteBeta(0.5, a, a)).toBeCloseTo(0.5, 11);
        },
      ),
    );
  });
});

describe('proportion', () => {
  it('carries counts and interval', () => {
    expect(proportion(9708, 10_000)).toEqual({
      value: 0.9708,
      correct: 9708,
      total: 10_000,
      ...clopperPearson(9708, 10_000),
    });
  });

  it('of no trials says nothing, without NaN', () => {
    expect(proportion(0, 0)).toEqual({ value: 0, correct: 0, total: 0, lo: 0, hi: 1 });
  });
});

describe('lowerConfidence', () => {
  // k = n has a closed form; the others are quantiles of beta distributions as tables give them.
  it('is alpha^(1 / n) where all succeed', () => {
    for (const n of [1, 10, 100, 1000, 100_000])
      for (const alpha of [0.001, 0.01, 0.05, 1e-6])
        expect(Math.abs(lowerConfidence(n, n, alpha) - alpha ** (1 / n))).toBeLessThan(1e-10);
  });

  it('leaves alpha above it, by summing the binomial, and is never above the exact bound', () => {
    fc.assert(
      fc.property(counts(400), fc.constantFrom(0.05, 0.01, 0.001), ([k, n], alpha) => {
        const bound = lowerConfidence(k, n, alpha);
        if (k === 0) expect(bound).toBe(0);
        else {
          const tail = tailFrom(k, n, bound);
          expect(Math.abs(tail - alpha)).toBeLessThan(1e-10);
          expect(tail).toBeLessThanOrEqual(alpha);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('holds in exact fractions down to an alpha far below the spacing of doubles at 1', () => {
    for (const n of [1, 7, 40, 150])
      for (const k of new Set([1, Math.ceil(n / 2), n - 1, n].filter((k) => k > 0)))
        for (const alpha of [0.3, 1e-6, 8.4e-17, 1e-15 / 16, 1e-100]) {
          const bound = lowerConfidence(k, n, alpha);
          const what = `${k} of ${n} at ${alpha}`;
          expect(isAtMost(exactTail(k, n, bound), fraction(alpha)), what).toBe(true);
          const above = exactTail(k, n, Math.min(1, bound * (1 + 1e-9)));
          expect(isAtMost(above, fraction(alpha)), `${what}: tight`).toBe(false);
        }
  });

  it('refuses an alpha that is none', () => {
    for (const alpha of [0, 1, -1, Number.NaN])
      expect(() => lowerConfidence(1, 2, alpha)).toThrow(/alpha: expected/);
  });
});

/** P[X >= k] of n trials, exactly: the sum over a common denominator. */
function exactTail(k: number, n: number, p: number): Fraction {
  const { over, under } = fraction(p);
  let [sum, ways] = [0n, 1n];
  for (let i = n; i >= k; i--) {
    sum += ways * over ** BigInt(i) * (under - over) ** BigInt(n - i);
    ways = (ways * BigInt(i)) / BigInt(n - i + 1);
  }
  return { over: sum, under: under ** BigInt(n) };
}

describe('normalQuantile', () => {
  /** Standard normal distribution function of x <= 0, by Simpson's rule on its tail. */
  const below = (x: number): number => {
    const [steps, width] = [20_000, 12];
    const h = width / steps;
    const density = (t: number): number => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
    let sum = 0;
    for (let i = 0; i <= steps; i++)
      sum += (i === 0 || i === steps ? 1 : i % 2 ? 4 : 2) * density(x - i * h);
    return (sum * h) / 3;
  };

  it('agrees with published values', () => {
    for (const [p, x] of [
      [0.5, 0],
      [0.75, 0.6744897501960817],
      [0.9, 1.2815515655446004],
      [0.95, 1.6448536269514722],
      [0.975, 1.959963984540054],
      [0.99, 2.3263478740408408],
      [0.995, 2.5758293035489004],
      [0.999, 3.090232306167813],
      [0.9999, 3.719016485455709],
      [1e-6, -4.753424308822899],
      [1e-9, -5.997807015007687],
      // The last of the three ranges, as in the paper.
      [1e-20, -9.26234008979841],
    ] as const)
      expect(Math.abs(normalQuantile(p) - x), `${p}`).toBeLessThan(
        2e-14 * Math.max(1, Math.abs(x)),
      );
  });

  it('inverts the distribution function, in each range of the algorithm', () => {
    for (const p of [
      1e-16, 3e-13, 1e-11, 1e-8, 1e-4, 0.01, 0.0749, 0.0751, 0.2, 0.3, 0.49999, 0.5,
    ]) {
      const x = normalQuantile(p);
      expect(Math.abs(below(x) / p - 1), `${p}`).toBeLessThan(1e-11);
    }
  });

  it('is odd about one half and non-decreasing', () => {
    const points = Array.from({ length: 2001 }, (_, i) => (i + 1) / 2002);
    const values = points.map(normalQuantile);
    values.slice(1).forEach((x, i) => {
      expect(x).toBeGreaterThan(values[i]!);
    });
    for (const p of [0.0625, 0.25, 0.4375]) expect(normalQuantile(1 - p)).toBe(-normalQuantile(p));
  });

  it('refuses what is no probability', () => {
    for (const p of [0, 1, -1, Number.NaN]) expect(() => normalQuantile(p)).toThrow(EspalierError);
  });
});

describe('normalCdf', () => {
  // Values by arbitrary-precision arithmetic.
  it.each([
    [-37, 5.725571222524577e-300],
    [-20, 2.7536241186062337e-89],
    [-10, 7.61985302416053e-24],
    [-5, 2.86651571879194e-7],
    [-3.5, 0.00023262907903552504],
    [-1, 0.15865525393145705],
    [-0.1, 0.460172162722971],
    [0, 0.5],
    [0.5, 0.6914624612740131],
    [2, 0.9772498680518208],
    [6, 0.9999999990134124],
  ])('at %d', (x, value) => {
    expect(Math.abs(normalCdf(x) / value - 1)).toBeLessThan(x < -15 ? 2e-13 : 3e-14);
  });

  it('has its limits, and NaN of NaN', () => {
    expect([-Infinity, Infinity, Number.NaN].map(normalCdf)).toEqual([0, 1, Number.NaN]);
  });
});
