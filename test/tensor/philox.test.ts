/**
 * Philox against the published known answers, and the properties its users lean on.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { block, permutation, philox, STREAMS, uniform } from '../../src/tensor/philox';

const hex = (words: readonly number[]) =>
  words.map((w) => w.toString(16).padStart(8, '0')).join(' ');
const seeds = fc.maxSafeNat();

describe('philox', () => {
  it('gives the known answers of the reference implementation', () => {
    const ones = 0xffffffff;
    expect(hex(philox([0, 0, 0, 0], [0, 0]))).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
    expect(hex(philox([ones, ones, ones, ones], [ones, ones]))).toBe(
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    );
    expect(
      hex(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])),
    ).toBe('d16cfe09 94fdcceb 5001e420 24126ea1');
  });

  it('agrees with the rounds written in BigInt', () => {
    const word = fc.nat(0xffffffff);
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        expect(philox(counter, key)).toEqual(slowPhilox(counter, key));
      }),
      { numRuns: 200 },
    );
  });

  it('uses all of seed and index', () => {
    const a = block(5, 1, 7, 0);
    expect(block(5 + 2 ** 32, 1, 7, 0)).not.toEqual(a);
    expect(block(5, 1, 7 + 2 ** 32, 0)).not.toEqual(a);
    expect(block(5, 2, 7, 0)).not.toEqual(a);
    expect(block(5, 1, 7, 1)).not.toEqual(a);
    expect(block(2 ** 32 * 3 + 9, 4, 2 ** 32 * 6 + 8, 11)).toEqual(philox([11, 8, 4, 6], [9, 3]));
  });

  it('has one number a stream', () => {
    expect(new Set(Object.values(STREAMS)).size).toBe(Object.keys(STREAMS).length);
  });

  it('refuses what is not a counter', () => {
    for (const bad of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => uniform(bad, 1, 0, 1)).toThrow(EspalierError);
      expect(() => uniform(0, 1, bad, 1)).toThrow(EspalierError);
      expect(() => uniform(0, bad, 0, 1)).toThrow(EspalierError);
      expect(() => permutation(0, 1, 0, bad)).toThrow(EspalierError);
    }
    expect(() => permutation(-1, 1, 0, 3)).toThrow('seed: expected a safe integer >= 0, got -1.');
  });
});

describe('permutation', () => {
  it('holds every index once, the same at every call', () => {
    fc.assert(
      fc.property(seeds, fc.nat(100), fc.maxSafeNat(), fc.nat(300), (seed, stream, index, n) => {
        const order = permutation(seed, stream, index, n);
        expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
        expect(permutation(seed, stream, index, n)).toEqual(order);
      }),
      { numRuns: 60 },
    );
  });

  it('stays as it is', () => {
    expect([...permutation(1, STREAMS.shuffle, 0, 10)]).toEqual(FIXED);
  });

  it('is uniform over the orders of four (chi squared, 23 degrees of freedom)', () => {
    const counts = new Map<string, number>();
    const draws = 24_000;
    for (let i = 0; i < draws; i++) {
      const key = permutation(42, STREAMS.shuffle, i, 4).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    let chi = 0;
    for (const count of counts.values()) chi += (count - draws / 24) ** 2 / (draws / 24);
    // 99.99 % quantile 56; the draw is fixed, so this cannot flicker.
    expect(chi).toBeLessThan(56);
  });
});

describe('uniform', () => {
  it('lies in [0, 1), and a longer draw begins with the shorter', () => {
    fc.assert(
      fc.property(seeds, fc.nat(200), fc.nat(200), (seed, a, b) => {
        const long = uniform(seed, 3, 0, Math.max(a, b));
        expect(long.every((x) => x >= 0 && x < 1)).toBe(true);
        expect(uniform(seed, 3, 0, Math.min(a, b))).toEqual(long.slice(0, Math.min(a, b)));
      }),
      { numRuns: 60 },
    );
  });

  it('has the mean, the variance and the fine bits of one', () => {
    const n = 100_000;
    const draws = uniform(7, STREAMS.noise, 0, n);
    const mean = draws.reduce((sum, x) => sum + x, 0) / n;
    const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.004);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.002);
    const odd = draws.filter((x) => (x * 2 ** 53) % 2 === 1).length;
    expect(Math.abs(odd / n - 0.5)).toBeLessThan(0.01);
  });
});

const FIXED = [2, 3, 6, 7, 5, 8, 0, 1, 4, 9];

/** The same function from its definition, with products as BigInt. */
function slowPhilox(counter: readonly number[], key: readonly number[]): number[] {
  const mask = 0xffffffffn;
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const p = 0xd2511f53n * a;
    const q = 0xcd9e8d57n * c;
    [a, b, c, d] = [(q >> 32n) ^ b ^ k0, q & mask, (p >> 32n) ^ d ^ k1, p & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [a, b, c, d].map(Number);
}
