/** Patterns of zeros: what the sparse kernels find in the masks, whatever the scores. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createModel, freeModel, prunableNames } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { checkPattern, PATTERNS, patterned } from '../../src/prune/patterns';
import { masksOf, prune } from '../../src/prune/prune';
import { largestOf } from '../../src/prune/select';
import { strategies } from '../../src/prune/strategies/registry';
import { type Engine, load } from '../../src/runtime/engine';
import { fillingOf, keptOfEvery } from '../../src/sparse/blocks';
import { nonZeros } from '../../src/sparse/tables';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const places = (mask: Uint8Array): ArrayLike<number> => nonZeros(Float32Array.from(mask));
const count = (mask: Uint8Array): number => mask.reduce((n, one) => n + one, 0);

const weights = fc
  .record({
    rows: fc.integer({ min: 1, max: 9 }),
    channels: fc.integer({ min: 1, max: 4 }).map((n) => 8 * n),
    side: fc.integer({ min: 1, max: 3 }),
  })
  .chain(({ rows, channels, side }) => {
    const size = rows * channels * side * side;
    return fc.record({
      shape: fc.constant([rows, channels, side, side]),
      scores: fc
        .array(fc.float({ noNaN: true, noDefaultInfinity: true }), {
          minLength: size,
          maxLength: size,
        })
        .map((own) => Float32Array.from(own)),
    });
  });

describe('4x1', () => {
  it('leaves at most one block that is not whole, of the largest means', () => {
    fc.assert(
      fc.property(
        weights,
        fc.double({ min: 0, max: 1, noNaN: true }),
        ({ shape, scores }, share) => {
          const kept = Math.round(share * scores.length);
          const means = patterned(scores, shape, '4x1');
          const mask = largestOf(engine, means, kept);
          expect(count(mask)).toBe(kept);
          const [rows = 1] = shape;
          const { blocks } = fillingOf(places(mask), rows, scores.length);
          // Ties of means can leave more than one open, but never of different scores.
          const width = scores.length / rows;
          const open = new Set<number>();
          for (let first = 0; first < rows; first += 4)
            for (let column = 0; column < width; column++) {
              const own = Array.from({ length: Math.min(4, rows - first) }, (_, r) => {
                return (first + r) * width + column;
              });
              const inside = own.filter((at) => mask[at] === 1).length;
              if (inside > 0 && inside < own.length) open.add(means[own[0]!]!);
            }
          expect(open.size).toBeLessThanOrEqual(1);
          expect(blocks).toBeGreaterThanOrEqual(kept / 4);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe.each([2, 4, 8])('n:%d', (m) => {
  it('leaves every group its n largest, as the kernels count them', () => {
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: m - 1 }), ({ shape, scores }, n) => {
        const [, channels = 1, high = 1, wide = 1] = shape;
        const pattern = `n:${m}` as 'n:4';
        const kept = (n * scores.length) / m;
        const mask = largestOf(engine, patterned(scores, shape, pattern), kept);
        const area = high * wide;
        const group = (at: number) => Math.floor(at / (m * area)) * area + (at % area);
        const inside = new Map<number, number[]>();
        mask.forEach((_, at) => {
          inside.set(group(at), [...(inside.get(group(at)) ?? []), at]);
        });
        for (const own of inside.values()) {
          const stay = own.filter((at) => mask[at] === 1).map((at) => scores[at]!);
          const go = own.filter((at) => mask[at] === 0).map((at) => scores[at]!);
          expect(stay).toHaveLength(n);
          expect(Math.min(...stay)).toBeGreaterThanOrEqual(Math.max(...go));
        }
        const found = keptOfEvery(places(mask), mask.length, channels, area);
        expect(found).toBeDefined();
        const [a, b] = found!.split(':').map(Number);
        expect(a! / b!).toBe(n / m);
      }),
      { numRuns: 40 },
    );
  });

  it('says which sparsities it has', () => {
    const pattern = `n:${m}` as 'n:4';
    for (let n = 1; n < m; n++) expect(() => checkPattern(pattern, 1 - n / m)).not.toThrow();
    expect(() => checkPattern(pattern, 0)).not.toThrow();
    for (const sparsity of [0.9, 0.3, 0.99])
      expect(() => checkPattern(pattern, sparsity)).toThrow(/prune\.sparsity: expected one of /);
  });
});

describe('earlier masks', () => {
  it.each(PATTERNS)('hold under %s', (pattern) => {
    const scores = Float32Array.from({ length: 64 }, (_, i) =>
      i % 5 === 0 ? Number.NEGATIVE_INFINITY : (i * 37) % 64,
    );
    const left = scores.filter(Number.isFinite).length;
    const mask = largestOf(engine, patterned(scores, [8, 8], pattern), left);
    mask.forEach((one, i) => {
      expect(one).toBe(Number(Number.isFinite(scores[i])));
    });
  });
});

describe('the strategies', () => {
  const network = buildNetwork('cnn-small', {}, [1, 12, 12], 4);

  it('block leaves wholes that the kernels find', async () => {
    const model = createModel(engine, network, { seed: 1 });
    const { masks } = await prune(model, strategies.block!, {}, { sparsity: 0.9, seed: 1 });
    for (const [name, mask] of masks) {
      const [rows = 1] = model.params.get(name)!.shape;
      const { nnz, blocks } = fillingOf(places(mask), rows, mask.length);
      expect(blocks).toBe(Math.ceil(nnz / 4));
    }
    freeModel(model);
  });

  it('n-m leaves n of every m wherever there are groups, and the same share elsewhere', async () => {
    const model = createModel(engine, network, { seed: 1 });
    const goal = { sparsity: 0.75, seed: 1 };
    const { masks } = await prune(model, strategies['n-m']!, { pattern: 'n:8' }, goal);
    for (const name of prunableNames(model.graph)) {
      const mask = masks.get(name)!;
      const { shape } = model.params.get(name)!;
      const [, channels = 1, ...window] = shape;
      const area = window.reduce((a, b) => a * b, 1);
      expect(count(mask) / mask.length).toBeCloseTo(0.25, 2);
      // The smallest group that fits is named: 1:4 is 2:8, too.
      const found = keptOfEvery(places(mask), mask.length, channels, area);
      if (channels % 8 === 0) expect(found).toMatch(/^(1:4|2:8)$/);
    }
    expect(masksOf(masks)).toEqual(masks);
    freeModel(model);
  });
});
