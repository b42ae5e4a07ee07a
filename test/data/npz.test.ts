/** Data sets from one NumPy archive, good and bad. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { npz } from '../../src/data/npz';
import { type NpyInput, writeNpz } from '../../src/io/npz';

const folder = mkdtempSync(join(tmpdir(), 'espalier-npz-'));
afterAll(() => rmSync(folder, { recursive: true }));

const bytes = (...shape: number[]): NpyInput => ({
  values: Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i % 256),
  shape,
});
const labels = (...values: number[]): NpyInput => ({
  values: Int32Array.from(values),
  shape: [values.length],
});
const good = {
  x_train: bytes(3, 4, 5),
  y_train: labels(0, 2, 1),
  x_test: bytes(2, 4, 5),
  y_test: labels(1, 1),
};

async function load(arrays: Record<string, NpyInput>) {
  const path = join(folder, 'set.npz');
  writeFileSync(path, writeNpz(new Map(Object.entries(arrays))));
  return npz.load({ path });
}

describe('npz data sets', () => {
  it('reads grey and colour images with their labels', async () => {
    const grey = await load(good);
    expect(grey.shape).toEqual([1, 4, 5]);
    expect(grey.classes).toEqual(['0', '1', '2']);
    expect(grey.train.count).toBe(3);
    expect([...grey.train.labels]).toEqual([0, 2, 1]);
    expect(grey.train.images[21]).toBe(21);
    const colour = { ...good, x_train: bytes(3, 3, 4, 5), x_test: bytes(2, 3, 4, 5) };
    expect((await load(colour)).shape).toEqual([3, 4, 5]);
  });

  it.each([
    ['no path', undefined, 'npz: expected a path, got none.'],
    ['a missing array', { ...good, y_test: undefined }, 'expected an array y_test'],
    ['floats', { ...good, x_train: { values: new Float32Array(60), shape: [3, 4, 5] } }, 'bytes'],
    ['flat images', { ...good, x_test: bytes(2, 20) }, 'shape [n, h, w] or [n, c, h, w]'],
    ['two shapes', { ...good, x_test: bytes(2, 5, 4) }, 'of one shape'],
    ['a negative label', { ...good, y_test: labels(1, -1) }, 'whole numbers in [0, 255], got -1'],
    ['too few labels', { ...good, y_train: labels(1, 0) }, 'one image a label'],
  ])('refuses %s', async (_, arrays, message) => {
    const given = arrays && Object.entries(arrays).filter(([, a]) => a !== undefined);
    const loading = given ? load(Object.fromEntries(given) as typeof good) : npz.load({});
    await expect(loading).rejects.toThrow(message);
  });
});
