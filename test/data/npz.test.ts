/** Data sets from one NumPy archive, good and bad. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { npz } from '../../src/data/npz';
import { writeNpy } from '../../src/io/npy';
import { type NpyInput, writeNpz } from '../../src/io/npz';
import { writeZip } from '../../src/io/zip';

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

  it('reads labels of any type that are whole numbers, in a column and one-hot', async () => {
    const kinds: NpyInput[] = [
      { values: Float64Array.of(0, 2, 1), shape: [3] },
      { values: Int8Array.of(0, 2, 1), shape: [3, 1] },
      { values: Float32Array.of(1, 0, 0, 0, 0, 1, 0, 1, 0), shape: [3, 3] },
      { values: Uint8Array.of(1, 0, 0, 0, 0, 1, 0, 1, 0), shape: [3, 1, 3] },
    ];
    for (const y_train of kinds)
      expect([...(await load({ ...good, y_train })).train.labels]).toEqual([0, 2, 1]);
    const rows = { values: Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0), shape: [2, 4] };
    expect((await load({ ...good, y_test: rows })).classes).toHaveLength(4);
  });

  it('reads images of whole numbers of any type, and channels that come last', async () => {
    const { values, shape } = good.x_train;
    const x_train = { values: Float32Array.from(values), shape };
    expect((await load({ ...good, x_train })).train.images).toEqual(values);
    const last = await load({ ...good, x_train: bytes(3, 6, 5, 3), x_test: bytes(2, 6, 5, 3) });
    expect(last).toMatchObject({
      shape: [3, 6, 5],
      source: expect.stringContaining('channels last'),
    });
    expect([...last.train.images.subarray(0, 5)]).toEqual([0, 3, 6, 9, 12]);
    expect(last.train.images[30]).toBe(1);
    expect(last.train.images[90]).toBe(90);
  });

  it('leaves other arrays and files of the archive alone', async () => {
    const path = join(folder, 'more.npz');
    const text = writeNpy(Uint8Array.of(65, 0, 0, 0), [4]);
    text.set(Buffer.from("'<U1'"), 20);
    const arrays = Object.entries(good).map(
      ([name, { values, shape }]) => [`${name}.npy`, writeNpy(values, shape)] as const,
    );
    const extra = [
      ['names.npy', text],
      ['README.txt', Uint8Array.of(1)],
    ] as const;
    writeFileSync(path, writeZip(new Map([...arrays, ...extra]), true));
    expect((await npz.load({ path })).train.count).toBe(3);
  });

  it('says what another file is', async () => {
    const path = join(folder, 'table.csv');
    writeFileSync(path, 'label,pixel\n1,2\n');
    await expect(npz.load({ path })).rejects.toThrow(
      /expected an npz .*got a file that starts with/,
    );
  });

  it.each([
    ['no path', undefined, 'npz: expected a path, got none.'],
    ['a missing array', { ...good, y_test: undefined }, 'expected an array y_test'],
    [
      'floats',
      { ...good, x_train: { values: new Float32Array(60), shape: [3, 4, 5] } },
      '(255 * x).round()',
    ],
    ['flat images', { ...good, x_test: bytes(2, 20) }, 'shape [n, h, w], [n, c, h, w] or'],
    [
      'normalised images',
      { ...good, x_test: { values: new Float32Array(40).fill(1.5), shape: [2, 4, 5] } },
      'whole numbers of 0 to 255, got 1.5 (F32) at 0. Undo the normalisation',
    ],
    ['no images', { ...good, x_test: bytes(0, 4, 5), y_test: labels() }, 'one image or more'],
    ['labels as a table', { ...good, y_test: bytes(2, 2, 2) }, 'y_test: expected labels of shape'],
    [
      'soft labels',
      { ...good, y_test: bytes(2, 3) },
      'one-hot rows, of one 1 and zeros, got row 0',
    ],
    [
      'NaN as a label',
      { ...good, y_test: { values: Float32Array.of(Number.NaN, 1), shape: [2] } },
      'whole numbers in [0, 255], got NaN',
    ],
    ['two shapes', { ...good, x_test: bytes(2, 5, 4) }, 'of one shape'],
    ['a negative label', { ...good, y_test: labels(1, -1) }, 'whole numbers in [0, 255], got -1'],
    ['too few labels', { ...good, y_train: labels(1, 0) }, 'one image a label'],
  ])('refuses %s', async (_, arrays, message) => {
    const given = arrays && Object.entries(arrays).filter(([, a]) => a !== undefined);
    const loading = given ? load(Object.fromEntries(given) as typeof good) : npz.load({});
    await expect(loading).rejects.toThrow(message);
  });
});
