/**
 * NumPy archives, and zip archives that are out to harm.
 */
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { writeNpy } from '../../src/io/npy';
import { readNpz, writeNpz } from '../../src/io/npz';
import { openZip } from '../../src/io/zip';
import { npzSeeds } from '../helpers/format-seeds';
import { fuzz } from '../helpers/mutate';

const read = (bytes: Uint8Array) => readNpz(bytes, 'a.npz');
const mtime = new Date(1980, 0, 1);
const npy = (values: Uint8Array) => writeNpy(values, [values.length]);

/** Where the `n`th record with that signature begins. */
function find(bytes: Uint8Array, signature: number, n = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let left = n;
  for (let at = 0; at + 4 <= bytes.length; at++)
    if (view.getUint32(at, true) === signature && left-- === 0) return at;
  throw new Error('no such record');
}

/** `bytes` with a 32-bit field of the `n`th directory entry replaced. */
function patched(bytes: Uint8Array, field: number, value: number, n = 0): Uint8Array {
  const out = bytes.slice();
  new DataView(out.buffer).setUint32(find(out, 0x02014b50, n) + field, value, true);
  return out;
}

describe('npz', () => {
  const arrays = new Map([
    ['x', { values: Float32Array.of(1, 2, 3, 4), shape: [2, 2] }],
    ['deep/y', { values: new Float64Array(1000), shape: [10, 100] }],
    ['__proto__', { values: Int8Array.of(-1), shape: [] }],
  ]);

  it.each([true, false])('comes back (compress: %s), and is deterministic', (compress) => {
    const file = writeNpz(arrays, { compress });
    expect(writeNpz(arrays, { compress })).toEqual(file);
    const back = read(file);
    expect([...back.keys()]).toEqual([...arrays.keys()]);
    for (const [name, { values, shape }] of arrays)
      expect(back.get(name)).toMatchObject({ values, shape });
  });

  it('is read with 64-bit sizes, as NumPy and PyTorch write them', () => {
    // Python: zipfile.ZipFile(..., 'w') with force_zip64, one entry x.npy: extras in the directory.
    const plain = writeNpz(new Map([['x', { values: Uint8Array.of(9), shape: [1] }]]), {
      compress: false,
    });
    const at = find(plain, 0x02014b50);
    const end = find(plain, 0x06054b50);
    const entry = plain.slice(at, end);
    const view = new DataView(entry.buffer);
    const extra = new DataView(new ArrayBuffer(28));
    extra.setUint16(0, 1, true);
    extra.setUint16(2, 24, true);
    [24, 20, 42].forEach((field, i) => {
      extra.setUint32(4 + 8 * i, view.getUint32(field, true), true);
      view.setUint32(field, 0xffffffff, true);
    });
    view.setUint16(30, 28, true);
    const tail = plain.slice(end);
    const size = entry.length + 28;
    const end64 = new DataView(new ArrayBuffer(76));
    end64.setUint32(0, 0x06064b50, true);
    end64.setUint32(32, 1, true);
    end64.setUint32(40, size, true);
    end64.setUint32(48, at, true);
    end64.setUint32(56, 0x07064b50, true);
    end64.setUint32(64, at + size, true);
    const parts = [plain.subarray(0, at), entry, new Uint8Array(extra.buffer)];
    const file = Buffer.concat([...parts, new Uint8Array(end64.buffer), tail]);
    expect([...read(new Uint8Array(file)).get('x')!.values]).toEqual([9]);
  });
});

describe('zip archives', () => {
  const two = zipSync(
    { 'a.npy': npy(Uint8Array.of(1)), 'b.npy': npy(Uint8Array.of(2)) },
    { level: 0, mtime },
  );
  const deflated = zipSync({ 'a.npy': npy(new Uint8Array(99)) }, { level: 9, mtime });
  const named = (from: string, to: string): Uint8Array =>
    new Uint8Array(Buffer.from(Buffer.from(two).toString('latin1').replaceAll(from, to), 'latin1'));

  it.each([
    ['a name twice', named('b.npy', 'a.npy'), 'every name once, got "a.npy" twice'],
    [
      'a name that differs from its header',
      patched(two, 46, 0x706e2e63),
      'the same name in its header',
    ],
    ['a file that is no array', zipSync({ x: Uint8Array.of(1) }, { mtime }), 'only .npy files'],
    ['encrypted entries', patched(two, 8, 1), 'plain data, got encrypted data'],
    ['other methods', patched(two, 10, 14), 'stored or deflated data, got method 14'],
    ['a wrong checksum', patched(two, 16, 1), 'its checksum to hold'],
    ['sizes beyond the file', patched(two, 20, 9999), 'data inside the file'],
    ['sizes that do not fit', patched(two, 24, 99), '99 stored bytes'],
    ['a huge size', patched(deflated, 24, 0xfffffff0), 'at most 67108864 bytes after'],
    ['entries without header', patched(two, 42, 3), 'a local header'],
    ['entries on one place', patched(named('b.npy', 'a.npy').slice(), 42, 0, 1), 'twice'],
    ['a cut file', two.subarray(0, two.length - 1), 'a zip directory at the end, got none'],
    ['nothing', new Uint8Array(0), 'a zip directory at the end'],
  ])('are refused for %s', (_, bytes, expected) => {
    expect(() => read(bytes)).toThrow(EspalierError);
    expect(() => read(bytes)).toThrow(expected);
  });

  it('that share one kernel of data overlap', () => {
    const file = zipSync({ aa: new Uint8Array(5000) }, { level: 9, mtime });
    const at = find(file, 0x02014b50);
    const end = find(file, 0x06054b50);
    // A second directory entry whose local header is the same: the name must then be the same.
    const entries = [file.subarray(at, end), file.subarray(at, end)];
    const bomb = new Uint8Array(
      Buffer.concat([file.subarray(0, at), ...entries, file.subarray(end)]),
    );
    const view = new DataView(bomb.buffer, bomb.byteOffset, bomb.length);
    view.setUint16(bomb.length - 12, 2, true);
    view.setUint32(bomb.length - 10, 2 * (end - at), true);
    expect(() => openZip(bomb, 'b.zip')).toThrow('every name once');
  });

  it('that expand a thousandfold are refused before or while they do', () => {
    const zeros = new Uint8Array(70 << 20);
    const bomb = zipSync({ 'x.npy': zeros }, { level: 9, mtime });
    expect(bomb.length).toBeLessThan(100_000);
    expect(() => read(bomb)).toThrow('at most 67108864 bytes after decompression, got 73400320.');
    // The same, lying about its size: inflating stops where the lie ends.
    for (const size of [1000, 60 << 20]) {
      const lying = patched(bomb, 24, size);
      expect(() => read(lying)).toThrow(`${size} bytes as its directory says, got more`);
    }
  });

  it('that contain themselves are just files that are no arrays', () => {
    const inner = zipSync({ 'x.npy': new Uint8Array(1 << 20) }, { level: 9, mtime });
    const files = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`${i}.zip`, inner]));
    expect(() => read(zipSync(files, { level: 9, mtime }))).toThrow('only .npy files');
  });
});

describe('damaged files', () => {
  it('are refused or read', () => {
    const { accepted, refused } = fuzz(2000, npzSeeds(), read);
    expect(accepted).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(800);
  });
});
