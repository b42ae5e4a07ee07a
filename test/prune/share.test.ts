/** Weight sharing: k-means against a plain reference, and what sharing promises about weights. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createModel, freeModel } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { applyMasks } from '../../src/prune/mask';
import { selectMasks } from '../../src/prune/select';
import { bitsByKind, kmeans, nearest, sharedValues, shareWeights } from '../../src/prune/share';
import { type Engine, load } from '../../src/runtime/engine';
import { abs } from '../../src/tensor/ops/elementwise';

/** Lloyd's algorithm as it is told: every value looks at every centroid, every round. */
function lloyd(values: readonly number[], k: number): number[] {
  const [lo, hi] = [Math.min(...values), Math.max(...values)];
  let centroids = Array.from({ length: k }, (_, i) =>
    Math.fround(lo + ((i + 0.5) / k) * (hi - lo)),
  );
  let clusters: number[][] = [];
  for (let round = 0; round < 1000; round++) {
    const next = centroids.map((): number[] => []);
    for (const v of values) {
      let best = 0;
      centroids.forEach((c, i) => {
        if (Math.abs(v - c) < Math.abs(v - centroids[best]!)) best = i;
      });
      next[best]!.push(v);
    }
    const same = next.every((cluster, i) => cluster.length === clusters[i]?.length);
    if (same) break;
    clusters = next;
    centroids = centroids.map((old, i) => {
      const own = clusters[i]!;
      return own.length > 0 ? Math.fround(own.reduce((a, b) => a + b, 0) / own.length) : old;
    });
  }
  return centroids.filter((_, i) => clusters[i]!.length > 0);
}

// Eighths: sums are exact, and ties between centroids do occur.
const eighths = fc.array(fc.integer({ min: -4000, max: 4000 }), { minLength: 1, maxLength: 120 });
const weights = fc.array(fc.float({ noNaN: true, min: -4, max: 4 }), { maxLength: 300 });

describe('kmeans', () => {
  it('finds the centroids of the plain algorithm', () => {
    fc.assert(
      fc.property(eighths, fc.integer({ min: 1, max: 32 }), (numbers, k) => {
        const values = Float32Array.from(numbers, (n) => n / 8);
        expect(Array.from(kmeans(values, k))).toEqual(lloyd(Array.from(values), k));
      }),
      { numRuns: 3000 },
    );
  });

  it('nearest is the nearest, the lower of two', () => {
    fc.assert(
      fc.property(eighths, fc.integer({ min: -9000, max: 9000 }), (numbers, twice) => {
        const value = twice / 2;
        const centroids = Float32Array.from([...new Set(numbers)].sort((a, b) => a - b));
        const best = centroids.reduce(
          (at, c, i) => (Math.abs(c - value) < Math.abs(centroids[at]! - value) ? i : at),
          0,
        );
        expect(nearest(centroids, value)).toBe(best);
      }),
    );
  });
});

describe('sharedValues', () => {
  it('are few, ascending, within the weights and never zero; few weights stay as they are', () => {
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 8 }), (list, bits) => {
        const given = Float32Array.from(list);
        const own = given.filter((w) => w !== 0);
        const values = sharedValues(given, bits);
        expect(values.length).toBeLessThanOrEqual(2 ** bits);
        expect(values.length > 0).toBe(own.length > 0);
        const different = new Set(own);
        if (different.size <= 2 ** bits) expect(new Set(values)).toEqual(different);
        values.forEach((v, i) => {
          expect(v).not.toBe(0);
          if (i > 0) expect(v).toBeGreaterThan(values[i - 1]!);
          expect(own.some((w) => w <= v) && own.some((w) => w >= v)).toBe(true);
        });
        for (const sign of [-1, 1])
          expect(values.some((v) => Math.sign(v) === sign)).toBe(
            own.some((w) => Math.sign(w) === sign),
          );
      }),
      { numRuns: 300 },
    );
  });

  it('of a pruned Gaussian all differ, none is lost in the gap around zero', () => {
    const pruned = Float32Array.from({ length: 4000 }, (_, i) => {
      const x = Math.tan(((i + 0.5) / 4000 - 0.5) * 2.8);
      return Math.abs(x) < 3 ? 0 : x;
    });
    expect(sharedValues(pruned, 5).length).toBe(32);
  });
});

describe('shareWeights', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  const pruned = () => {
    const model = createModel(engine, buildNetwork('cnn-small', {}, [1, 12, 12], 10), { seed: 4 });
    applyMasks(model, selectMasks({ model, sparsity: 0.7, seed: 1 }, 'layer', abs));
    return model;
  };

  it('keeps zeros and signs, shares by layer, leaves the rest, and changes nothing twice', () => {
    const model = pruned();
    const before = new Map([...model.params].map(([name, t]) => [name, t.read()]));
    const bits = bitsByKind(model, { conv2d: 6, dense: 3 });
    expect(Object.fromEntries(bits)).toEqual({
      'conv2d1.weight': 6,
      'conv2d2.weight': 6,
      'dense1.weight': 3,
      'dense2.weight': 3,
    });
    shareWeights(model, bits);
    const once = new Map([...model.params].map(([name, t]) => [name, t.read()]));
    for (const [name, now] of once) {
      const old = before.get(name)!;
      const width = bits.get(name);
      if (width === undefined) expect(now).toEqual(old);
      else {
        expect(now.map(Math.sign)).toEqual(old.map(Math.sign));
        const { size } = new Set(now.filter((w) => w !== 0));
        expect(size).toBeLessThanOrEqual(2 ** width);
        expect(size).toBeGreaterThan(2 ** (width - 1));
      }
    }
    shareWeights(model, bits);
    for (const [name, t] of model.params) expect(t.read()).toEqual(once.get(name));
    freeModel(model);
  });

  it('refuses widths out of range, unknown parameters and weights that are not finite', () => {
    const model = pruned();
    const share = (name: string, width: number) => () =>
      shareWeights(model, new Map([[name, width]]));
    for (const width of [0, 9, 2.5, Number.NaN])
      expect(share('dense1.weight', width)).toThrow(
        /dense1\.weight: bits: expected a whole number/,
      );
    expect(share('dense9.weight', 5)).toThrow(
      /dense9\.weight: expected a parameter of the network/,
    );
    const weight = model.params.get('dense2.weight')!;
    weight.write(weight.read().fill(Number.NaN, 3, 4));
    expect(share('dense2.weight', 5)).toThrow(/dense2\.weight: expected finite weights/);
    freeModel(model);
  });
});
