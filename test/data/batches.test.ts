/**
 * Batches, augmentation and held-out samples: exact contents, and independence of batch size.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochBatches, fillBatch, fillLabels } from '../../src/data/batches';
import { holdout } from '../../src/data/holdout';
import type { Split } from '../../src/data/types';
import { EspalierError } from '../../src/errors';
import { permutation } from '../../src/tensor/philox';

const seeds = fc.maxSafeNat();

/** A split whose pixels tell sample and position: byte (sample * 31 + i) mod 256. */
function makeSplit(count: number, size: number, classes: number): Split {
  const images = Uint8Array.from({ length: count * size }, (_, i) => {
    return (Math.floor(i / size) * 31 + (i % size)) % 256;
  });
  const labels = Uint8Array.from({ length: count }, (_, i) => (i * i) % classes);
  return { images, labels, count };
}

describe('epochBatches', () => {
  it('covers every sample once, in batches of the right length', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 64 }),
        seeds,
        fc.nat(1000),
        fc.boolean(),
        (count, batch, seed, epoch, shuffle) => {
          const kept = epochBatches(count, batch, { seed, epoch, shuffle, dropLast: false });
          const all = kept.flatMap((indices) => [...indices]);
          expect(kept.slice(0, -1).every((indices) => indices.length === batch)).toBe(true);
          expect(kept.every((indices) => indices.length > 0)).toBe(true);
          if (!shuffle) expect(all).toEqual(Array.from({ length: count }, (_, i) => i));
          expect(all.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
          if (batch > count) return;
          const dropped = epochBatches(count, batch, { seed, epoch, shuffle, dropLast: true });
          expect(dropped).toEqual(kept.slice(0, Math.floor(count / batch)));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('orders the samples by seed and epoch, not by batch size', () => {
    const flat = (batch: number, seed: number, epoch: number) =>
      epochBatches(100, batch, { seed, epoch, shuffle: true, dropLast: false }).flatMap((b) => [
        ...b,
      ]);
    expect(flat(7, 1, 3)).toEqual(flat(50, 1, 3));
    expect(flat(7, 1, 3)).not.toEqual(flat(7, 1, 4));
    expect(flat(7, 1, 3)).not.toEqual(flat(7, 2, 3));
  });

  it('refuses empty work', () => {
    const options = { seed: 0, epoch: 0, shuffle: true, dropLast: true };
    expect(() => epochBatches(0, 1, options)).toThrow(EspalierError);
    expect(() => epochBatches(5, 0, options)).toThrow(EspalierError);
    expect(() => epochBatches(5, 2.5, options)).toThrow(EspalierError);
    expect(() => epochBatches(5, 6, options)).toThrow(
      'batch size: expected at most the 5 samples, got 6.',
    );
  });
});

describe('fillBatch', () => {
  const set = { shape: [2, 3, 4], unit: 255 } as const;
  const split = makeSplit(9, 24, 5);

  it('writes the correctly rounded quotients, and only them', () => {
    const out = new Float32Array(50).fill(-1);
    fillBatch(split, set, Int32Array.of(8, 0), out);
    for (let i = 0; i < 24; i++) {
      expect(out[i]).toBe(Math.fround(split.images[8 * 24 + i]! / 255));
      expect(out[24 + i]).toBe(Math.fround(split.images[i]! / 255));
    }
    expect([...out.subarray(48)]).toEqual([-1, -1]);
  });

  it('maps the unit to 1', () => {
    const digit: Split = { images: Uint8Array.of(0, 8, 16), labels: Uint8Array.of(0), count: 1 };
    const out = new Float32Array(3);
    fillBatch(digit, { shape: [1, 1, 3], unit: 16 }, Int32Array.of(0), out);
    expect([...out]).toEqual([0, 0.5, 1]);
  });

  it('augments to a shifted, zero-padded, maybe mirrored image', () => {
    const [c, h, w] = set.shape;
    fc.assert(
      fc.property(
        seeds,
        fc.nat(50),
        fc.nat(3),
        fc.boolean(),
        fc.nat(8),
        (seed, epoch, pad, flip, n) => {
          const out = new Float32Array(24);
          fillBatch(split, set, Int32Array.of(n), out, { pad, flip, seed, epoch });
          const pixel = (k: number, y: number, x: number) =>
            y < 0 || y >= h || x < 0 || x >= w
              ? 0
              : Math.fround(split.images[n * 24 + (k * h + y) * w + x]! / 255);
          const candidates: number[][] = [];
          for (let dy = -pad; dy <= pad; dy++)
            for (let dx = -pad; dx <= pad; dx++)
              for (const mirrored of flip ? [false, true] : [false]) {
                const image: number[] = [];
                for (let k = 0; k < c; k++)
                  for (let y = 0; y < h; y++)
                    for (let x = 0; x < w; x++)
                      image.push(pixel(k, y + dy, (mirrored ? w - 1 - x : x) + dx));
                candidates.push(image);
              }
          expect(candidates.some((image) => image.every((value, i) => value === out[i]))).toBe(
            true,
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  it('augments a sample the same in any batch, anew in each epoch', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.nat(50),
        fc.array(fc.nat(8), { minLength: 1, maxLength: 9 }),
        (seed, epoch, list) => {
          const augment = { pad: 2, flip: true, seed, epoch };
          const together = new Float32Array(24 * list.length);
          fillBatch(split, set, Int32Array.from(list), together, augment);
          list.forEach((sample, i) => {
            const alone = new Float32Array(24);
            fillBatch(split, set, Int32Array.of(sample), alone, augment);
            expect(together.slice(24 * i, 24 * (i + 1))).toEqual(alone);
          });
        },
      ),
      { numRuns: 50 },
    );
    const looks = new Set<string>();
    for (let epoch = 0; epoch < 30; epoch++) {
      const out = new Float32Array(24);
      fillBatch(split, set, Int32Array.of(4), out, { pad: 1, flip: true, seed: 3, epoch });
      looks.add(out.join());
    }
    expect(looks.size).toBeGreaterThan(8);
  });

  it('flips half of the time and moves every way', () => {
    const n = 4000;
    const wide: Split = {
      images: Uint8Array.from({ length: n * 5 }, (_, i) => [10, 20, 30, 40, 50][i % 5]!),
      labels: new Uint8Array(n),
      count: n,
    };
    const indices = Int32Array.from({ length: n }, (_, i) => i);
    const out = new Float32Array(n * 5);
    const one = { shape: [1, 1, 5], unit: 255 } as const;
    fillBatch(wide, one, indices, out, { pad: 0, flip: true, seed: 1, epoch: 0 });
    const flipped = indices.filter((i) => out[i * 5]! > out[i * 5 + 4]!).length;
    expect(Math.abs(flipped / n - 0.5)).toBeLessThan(0.04);
  });

  it('cuts a square out, at its place in both layouts, of any size and whole inside', () => {
    const shape = [2, 5, 7] as const;
    const split = { ...makeSplit(6, 70, 3), images: new Uint8Array(6 * 70).fill(200) };
    const index = Int32Array.of(0, 1, 2, 3, 4, 5);
    const areas = new Set<number>();
    for (const cutout of [0, 1, 3, 20])
      for (let epoch = 0; epoch < 30; epoch++) {
        const augment = { pad: 0, flip: false, cutout, seed: 5, epoch };
        const [chw, hwc] = (['chw', 'hwc'] as const).map((layout) => {
          const out = new Float32Array(6 * 70);
          fillBatch(split, { shape, unit: 255, layout }, index, out, augment);
          return out;
        });
        for (let n = 0; n < 6; n++) {
          const zeros = Array.from({ length: 35 }, (_, at) => at).filter(
            (at) => chw![n * 70 + at] === 0,
          );
          for (let at = 0; at < 35; at++)
            for (let c = 0; c < 2; c++) {
              expect(chw![n * 70 + c * 35 + at] === 0).toBe(zeros.includes(at));
              expect(hwc![n * 70 + at * 2 + c]).toBe(chw![n * 70 + c * 35 + at]);
            }
          const rows = new Set(zeros.map((at) => Math.floor(at / 7)));
          const columns = new Set(zeros.map((at) => at % 7));
          expect(rows.size * columns.size).toBe(zeros.length);
          expect(rows.size).toBeLessThanOrEqual(cutout);
          if (cutout === 0) expect(zeros).toEqual([]);
          else expect(zeros.length).toBeGreaterThan(0);
          if (cutout === 3) areas.add(zeros.length);
        }
      }
    expect(areas).toEqual(new Set([4, 6, 9]));
  });

  it('refuses a short output and samples that are not there', () => {
    expect(() => fillBatch(split, set, Int32Array.of(0), new Float32Array(23))).toThrow(
      'batch: expected room for 24 values, got 23.',
    );
    const out = new Float32Array(24);
    expect(() => fillBatch(split, set, Int32Array.of(9), out)).toThrow('one in [0, 9), got 9');
    expect(() => fillBatch(split, set, Int32Array.of(-1), out)).toThrow(EspalierError);
    const augment = { pad: -1, flip: false, seed: 0, epoch: 0 };
    expect(() => fillBatch(split, set, Int32Array.of(0), out, augment)).toThrow('augment pad');
  });

  it('fills labels', () => {
    const out = new Int32Array(3).fill(-1);
    fillLabels(split, Int32Array.of(2, 3), out);
    expect([...out]).toEqual([4, 4, -1]);
    expect(() => fillLabels(split, Int32Array.of(0, 1, 2, 3), out)).toThrow(EspalierError);
  });
});

describe('holdout', () => {
  it('parts the samples, keeps the order, and gives each class its share', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        seeds,
        fc.integer({ min: 1, max: 12 }),
        (total, fraction, seed, classes) => {
          const count = Math.floor(total * fraction);
          // The two bytes of an image spell its index; labels in a random order of uneven classes.
          const labels = Uint8Array.from(permutation(seed, 9, 0, total), (i) => (i * i) % classes);
          const images = new Uint8Array(total * 2);
          for (let i = 0; i < total; i++) images.set([i >> 8, i & 255], 2 * i);
          const split = { images, labels, count: total };
          const { train, held } = holdout(split, [2, 1, 1], count, seed);
          const ids = (part: Split) =>
            Array.from(
              { length: part.count },
              (_, i) => part.images[2 * i]! * 256 + part.images[2 * i + 1]!,
            );
          expect(held.count).toBe(count);
          expect(train.count + held.count).toBe(total);
          for (const part of [train, held]) {
            const order = ids(part);
            expect(order).toEqual(order.toSorted((a, b) => a - b));
            expect([...part.labels]).toEqual(order.map((i) => labels[i]));
          }
          expect(new Set([...ids(train), ...ids(held)]).size).toBe(total);
          for (let label = 0; label < classes; label++) {
            const share = (labels.filter((l) => l === label).length * count) / total;
            const got = held.labels.filter((l) => l === label).length;
            expect(Math.abs(got - share)).toBeLessThan(1);
          }
          expect(holdout(split, [2, 1, 1], count, seed)).toEqual({ train, held });
        },
      ),
      { numRuns: 100 },
    );
  });

  it('changes with the seed and refuses to take everything', () => {
    const split = makeSplit(100, 1, 3);
    const a = holdout(split, [1, 1, 1], 20, 1).held.images;
    expect(holdout(split, [1, 1, 1], 20, 2).held.images).not.toEqual(a);
    for (const bad of [100, -1, 1.5])
      expect(() => holdout(split, [1, 1, 1], bad, 1)).toThrow('expected an integer in [0, 100)');
  });
});
