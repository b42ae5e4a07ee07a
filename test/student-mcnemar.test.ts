/** Student's quantiles, means with intervals, and McNemar's exact test, beside independent references. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mcnemar, meanOf, studentQuantile } from '../src/statistics';

describe('studentQuantile', () => {
  it.each([0.55, 0.75, 0.9, 0.975, 0.995, 0.9995])('has closed forms at %s', (p) => {
    const alpha = 4 * p * (1 - p);
    const one = Math.tan(Math.PI * (p - 0.5));
    const two = 2 * (p - 0.5) * Math.sqrt(2 / alpha);
    const q = Math.cos(Math.acos(Math.sqrt(alpha)) / 3) / Math.sqrt(alpha);
    const four = 2 * Math.sqrt(q - 1);
    for (const [df, want] of [
      [1, one],
      [2, two],
      [4, four],
    ] as const)
      expect(studentQuantile(p, df) / want).toBeCloseTo(1, 8);
  });

  it('is the inverse of the integrated density', () => {
    // Simpson's rule over the density, whose factor is the integral itself over all of it.
    const mass = (df: number, to: number): number => {
      const density = (t: number): number => (1 + (t * t) / df) ** (-(df + 1) / 2);
      const n = 20_000;
      let sum = 0;
      for (let i = 0; i <= n; i++)
        sum += density((i / n) * to) * (i === 0 || i === n ? 1 : i % 2 ? 4 : 2);
      return (sum * to) / n / 3;
    };
    for (const df of [5, 9, 30]) {
      const all = mass(df, 300);
      for (const p of [0.6, 0.975, 0.999])
        expect(0.5 + (0.5 * mass(df, studentQuantile(p, df))) / all).toBeCloseTo(p, 7);
    }
  });

  it.each([
    [0.5, 3],
    [1, 3],
    [0.9, 0],
    [0.9, 1.5],
  ])('refuses %d, %d', (p, df) => {
    expect(() => studentQuantile(p, df)).toThrow(/studentQuantile: expected/);
  });
});

describe('meanOf', () => {
  it('gives one value no interval, and equal ones one of no width', () => {
    expect(meanOf([3])).toEqual({ mean: 3, lo: null, hi: null, count: 1 });
    expect(meanOf([3, 3, 3])).toEqual({ mean: 3, lo: 3, hi: 3, count: 3 });
    expect(() => meanOf([])).toThrow(/expected at least one value/);
  });

  it('is the textbook interval', () => {
    const { mean, lo, hi } = meanOf([1, 2, 3, 4, 5]);
    expect(mean).toBe(3);
    // t(0.975, 4) = 2.7764451, s = sqrt(2.5).
    expect(hi! - mean).toBeCloseTo(2.7764451 * Math.sqrt(2.5 / 5), 6);
    expect(mean - lo!).toBeCloseTo(hi! - mean, 12);
  });
});

describe('mcnemar', () => {
  it('is the enumeration of all signs of the pairs that differ', () => {
    for (let a = 0; a <= 9; a++)
      for (let b = 0; b <= 9; b++) {
        const n = a + b;
        let extreme = 0;
        for (let signs = 0; signs < 2 ** n; signs++) {
          let plus = 0;
          for (let i = 0; i < n; i++) plus += (signs >> i) & 1;
          if (Math.abs(2 * plus - n) >= Math.abs(a - b)) extreme++;
        }
        expect(mcnemar(a, b), `${a} ${b}`).toBeCloseTo(extreme / 2 ** n, 12);
      }
  });

  it('does not care which is which, and falls as the split grows more uneven', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 5000 }), (a, b) => {
        const p = mcnemar(a, b);
        expect(p).toBe(mcnemar(b, a));
        expect(p).toBeGreaterThan(0 - Number.MIN_VALUE);
        expect(p).toBeLessThanOrEqual(1);
        if (a > b && b > 0) expect(mcnemar(a + 1, b - 1)).toBeLessThanOrEqual(p);
      }),
    );
  });

  it('refuses what is no count', () => {
    expect(() => mcnemar(-1, 3)).toThrow(/mcnemar/);
    expect(() => mcnemar(0.5, 0.5)).toThrow(/mcnemar/);
  });
});
