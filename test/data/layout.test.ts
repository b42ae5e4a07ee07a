/** Images in the order a network takes them: which shapes are the same image, and which permuted. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromArrays } from '../../src/data/arrays';
import { fillBatch } from '../../src/data/batches';
import { arranged, layoutNote } from '../../src/data/layout';
import type { DataSet } from '../../src/data/types';
import type { Shape } from '../../src/tensor/shape';

function setOf(shape: readonly [number, number, number], count = 2): Promise<DataSet> {
  const size = shape[0] * shape[1] * shape[2];
  const split = {
    images: Uint8Array.from({ length: count * size }, (_, i) => i % 251),
    labels: new Uint8Array(count),
  };
  return fromArrays({ name: 'set', shape, classes: ['0'], train: split, test: split });
}

function batch(set: DataSet, augment?: Parameters<typeof fillBatch>[4]): number[] {
  const size = set.shape[0] * set.shape[1] * set.shape[2];
  const out = new Float32Array(2 * size);
  fillBatch(set.test, set, Int32Array.of(1, 0), out, augment);
  return [...out];
}

/** The values of images [n, c, h, w] as [n, h, w, c], by the definition. */
function lastOf(values: readonly number[], [c, h, w]: DataSet['shape']): number[] {
  const at = (n: number, y: number, x: number, z: number) => values[((n * c + z) * h + y) * w + x]!;
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  return range(values.length / (c * h * w)).flatMap((n) =>
    range(h).flatMap((y) => range(w).flatMap((x) => range(c).map((z) => at(n, y, x, z)))),
  );
}

describe('layouts', () => {
  it.each<[DataSet['shape'], Shape, 'chw' | 'hwc' | 'refused']>([
    [[1, 28, 28], [28, 28, 1], 'chw'],
    [[1, 28, 28], [28, 28], 'chw'],
    [[1, 28, 28], [1, 1, 28, 28], 'chw'],
    [[1, 28, 28], [784], 'chw'],
    [[1, 28, 28], [784, 1, 1], 'chw'],
    [[1, 28, 28], [14, 56], 'refused'],
    [[1, 28, 28], [27, 28], 'refused'],
    [[1, 4, 6], [6, 4], 'refused'],
    [[28, 28, 1], [1, 28, 28], 'chw'],
    [[3, 32, 32], [3, 32, 32], 'chw'],
    [[3, 32, 32], [3, 1024], 'chw'],
    [[3, 32, 32], [96, 32], 'chw'],
    [[3, 32, 32], [3072], 'chw'],
    [[3, 32, 32], [32, 32, 3], 'hwc'],
    [[3, 32, 32], [1, 32, 32, 3], 'hwc'],
    [[3, 32, 32], [1024, 3], 'hwc'],
    [[3, 32, 32], [32, 3, 32], 'refused'],
    [[3, 4, 6], [6, 4, 3], 'refused'],
    [[3, 4, 6], [3, 6, 4], 'refused'],
    [[3, 4, 6], [4, 6, 4], 'refused'],
    [[3, 4, 6], [0, 72], 'refused'],
  ])('%j as %j: %s', async (shape, input, layout) => {
    const set = await setOf(shape);
    if (layout === 'refused')
      expect(() => arranged(set, input, 'net')).toThrow(
        `net: expected images [${input}], got set with [${shape}].`,
      );
    else {
      const found = arranged(set, input, 'net');
      expect(found.layout ?? 'chw').toBe(layout);
      expect(layoutNote(found) !== undefined).toBe(layout === 'hwc');
    }
  });

  it('permute what a batch gives, augmented or not, and nothing that is stored', () => {
    const size = fc.integer({ min: 1, max: 5 });
    return fc.assert(
      fc.asyncProperty(size, size, size, fc.nat(9), async (c, h, w, seed) => {
        const set = await setOf([c, h, w]);
        const last = { ...set, layout: 'hwc' as const };
        expect(batch(last)).toEqual(lastOf(batch(set), set.shape));
        const augment = { pad: 1, flip: true, seed, epoch: 1 };
        expect(batch(last, augment)).toEqual(lastOf(batch(set, augment), set.shape));
        expect(arranged(last, [h, w, c], 'net').test).toBe(set.test);
      }),
      { numRuns: 60 },
    );
  });
});
