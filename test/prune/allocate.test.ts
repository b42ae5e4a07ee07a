/** Allocation and schedule: exact totals, floors and caps, the shares of Evci et al. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocate, keptTotal, type Part } from '../../src/prune/allocate';
import { relativeSparsity, sparsityAfter } from '../../src/prune/schedule';
import { sizeOf } from '../../src/tensor/shape';

const scopes = ['layer', 'erk'] as const;
const part = (...shape: number[]): Part => ({ shape, cap: sizeOf(shape) });
const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);

const size = fc.integer({ min: 1, max: 24 });
const kernel = fc.integer({ min: 1, max: 5 });
const shape = fc.oneof(fc.tuple(size, size), fc.tuple(size, size, kernel, kernel));
const parts = fc
  .array(fc.tuple(shape, fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 1,
    maxLength: 8,
  })
  .map((list) =>
    list.map(([s, left]): Part => ({ shape: s, cap: Math.max(1, Math.ceil(left * sizeOf(s))) })),
  );

describe.each(scopes)('allocate %s', (scope) => {
  it('adds up exactly, within floor and caps, for any layers and sparsity that allow it', () => {
    fc.assert(
      fc.property(parts, fc.double({ min: 0, max: 0.999, noNaN: true }), (found, sparsity) => {
        const total = sum(found.map((p) => sizeOf(p.shape)));
        const kept = total - Math.round(sparsity * total);
        if (kept < found.length || kept > sum(found.map((p) => p.cap))) {
          expect(() => allocate(scope, found, sparsity)).toThrow(/prune\.sparsity/);
          return;
        }
        const counts = allocate(scope, found, sparsity);
        expect(sum(counts)).toBe(kept);
        counts.forEach((n, i) => {
          expect(Number.isInteger(n) && n >= 1 && n <= found[i]!.cap).toBe(true);
        });
      }),
    );
  });

  it('never gives a layer more as sparsity rises by a whole layer share', () => {
    const found = [part(16, 3, 3, 3), part(32, 16, 3, 3), part(10, 320)];
    for (const [low, high] of [
      [0, 0.5],
      [0.5, 0.9],
      [0.9, 0.99],
    ] as const)
      allocate(scope, found, low).forEach((n, i) => {
        expect(n).toBeGreaterThanOrEqual(allocate(scope, found, high)[i]!);
      });
  });
});

describe('allocate', () => {
  it('layer keeps the same share of each, within one weight', () => {
    const free = fc.array(
      shape.map((s) => part(...s)),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(free, fc.double({ min: 0, max: 0.99, noNaN: true }), (found, sparsity) => {
        const sizes = found.map((p) => sizeOf(p.shape));
        // Floors move counts by more than rounding does.
        fc.pre(sizes.every((n) => (1 - sparsity) * n >= 2));
        allocate('layer', found, sparsity).forEach((n, i) => {
          expect(Math.abs(n - (1 - sparsity) * sizes[i]!)).toBeLessThan(1.6);
        });
      }),
    );
  });

  it('erk keeps densities in proportion to (in + out + kh + kw) / (in out kh kw)', () => {
    const found = [part(64, 64, 3, 3), part(128, 64, 3, 3), part(256, 512)];
    const counts = allocate('erk', found, 0.95);
    const scale = counts.map((n, i) => n / sum(found[i]!.shape));
    for (const one of scale) expect(one / scale[0]!).toBeCloseTo(1, 2);
  });

  it('erk leaves layers dense that would exceed density 1, and shares the rest', () => {
    // 5 + 4 + 9 shares of 200 kept: the first would keep 2/18 of them, of its 6 weights.
    const counts = allocate('erk', [part(3, 2), part(100, 100), part(60, 90)], 1 - 200 / 15_406);
    expect(counts[0]).toBe(3);
    const dense = allocate('erk', [part(3, 2), part(100, 100), part(60, 90)], 0.9);
    expect(dense[0]).toBe(6);
    expect((dense[1]! / dense[2]!) * (150 / 200)).toBeCloseTo(1, 2);
  });

  it('names the floor, and what earlier masks left, when they forbid the count', () => {
    const found = [part(2, 2), part(2, 3)];
    expect(() => keptTotal(found, 0.99)).toThrow(
      /at most 0\.8, got 0\.99.*2 layers keeps? at least/,
    );
    expect(() => keptTotal([{ shape: [10, 10], cap: 20 }], 0.5)).toThrow(/at least 0\.8/);
    expect(() => keptTotal(found, 1)).toThrow(/\[0, 1\)/);
    expect(() => keptTotal(found, -0.1)).toThrow(/\[0, 1\)/);
  });
});

describe('schedule', () => {
  it('rises cubically and ends exactly', () => {
    expect(sparsityAfter(1, 1, 0.9)).toBe(0.9);
    expect(sparsityAfter(1, 2, 0.8)).toBeCloseTo(0.7, 12);
    const rounds = [1, 2, 3, 4, 5, 6, 7].map((r) => sparsityAfter(r, 7, 0.95));
    expect(rounds.at(-1)).toBe(0.95);
    rounds.slice(1).forEach((s, i) => {
      expect(s).toBeGreaterThan(rounds[i]!);
    });
    expect(() => sparsityAfter(0, 3, 0.9)).toThrow(/round in \[1, 3\]/);
    expect(() => sparsityAfter(4, 3, 0.9)).toThrow(/round in \[1, 3\]/);
  });

  it('restates a sparsity for a model that has shrunk', () => {
    expect(relativeSparsity(0.9, 1000, 1000)).toBeCloseTo(0.9, 12);
    expect(relativeSparsity(0.9, 1000, 200)).toBeCloseTo(0.5, 12);
    expect(relativeSparsity(0.5, 1000, 400)).toBe(0);
  });
});
