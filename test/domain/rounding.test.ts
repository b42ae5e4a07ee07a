/** The constants of outward rounding. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gamma, roundUp, U, underflowError } from '../../src/domain/rounding';

describe('roundUp', () => {
  it('is the least float32 that is not below', () => {
    const bits = new Int32Array(1);
    const below = (x: number): number => {
      const f = new Float32Array(bits.buffer);
      f[0] = x;
      bits[0]! -= 1;
      return f[0]!;
    };
    const sizes = fc
      .tuple(fc.double({ min: 1, max: 10, noNaN: true }), fc.integer({ min: -50, max: 37 }))
      .map(([m, e]) => m * 10 ** e);
    fc.assert(
      fc.property(sizes, (x) => {
        const up = roundUp(x);
        expect(Math.fround(up)).toBe(up);
        expect(up).toBeGreaterThanOrEqual(x);
        expect(below(up)).toBeLessThan(x);
      }),
      { numRuns: 5000 },
    );
    expect(roundUp(0)).toBe(0);
    expect(roundUp(1)).toBe(1);
    expect(roundUp(1e-60)).toBe(2 ** -149);
    expect(roundUp(1 + 2 ** -40)).toBe(1 + 2 ** -23);
  });
});

describe('gamma and underflowError', () => {
  it('are those of Higham, and cover underflow', () => {
    expect(U).toBe(2 ** -24);
    expect(gamma(0)).toBe(0);
    expect(gamma(1000)).toBeGreaterThan(1000 * U);
    expect(gamma(1000)).toBeCloseTo(1000 * U, 8);
    for (const n of [0, 1, 17, 100_000]) {
      expect(underflowError(n)).toBeGreaterThanOrEqual(n * 2 ** -150);
      expect(Math.fround(underflowError(n))).toBe(underflowError(n));
    }
  });
});
