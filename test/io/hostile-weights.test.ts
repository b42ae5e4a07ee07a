/** Small files of weights and data that are made to cost much: each ends in a sentence. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { mnist } from '../../src/data/mnist';
import { npz } from '../../src/data/npz';
import { EspalierError } from '../../src/errors';
import { kindOfModel } from '../../src/io/kind';
import { readNumbers } from '../../src/io/npz';
import { readTorch } from '../../src/io/torch/read';
import { matchWeights } from '../../src/io/weights/match';
import type { WeightFile } from '../../src/io/weights/types';
import { writeZip } from '../../src/io/zip';
import { buildNetwork } from '../../src/nn/zoo';
import { floats, op, ordered, type Pickled, pickle, tensor, torchZip } from '../helpers/pickle';

const folder = mkdtempSync(join(tmpdir(), 'espalier-hostile-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NET = buildNetwork('mlp', { hidden: [2] }, [2], 2);
const one = { shape: [1], values: new Float32Array(1) };
const names = (count: number, name: (i: number) => string): WeightFile =>
  new Map(Array.from({ length: count }, (_, i) => [name(i), one]));

const sentence = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(EspalierError);
    const { message } = error as Error;
    expect(message.split('\n').length).toBeLessThan(60);
    expect(message.length).toBeLessThan(12_000);
    return message;
  }
  return expect.fail('accepted');
};

describe('names', () => {
  const cases: readonly (readonly [string, WeightFile])[] = [
    ['20 000 of one end', names(20_000, (i) => `p${i}.dense1.weight`)],
    ['of 1000 parts', names(500, (i) => `${'a.'.repeat(500)}${i}.dense1.weight`)],
    ['of separators', names(2000, (i) => `${'-'.repeat(1000)}${i}.weight`)],
    ['of dots', names(2000, (i) => `${'.'.repeat(1000)}${i}`)],
    ['of parts of weights', names(10_000, (i) => `d${i}.weight_orig_orig_mask`)],
    ['of parametrisations', names(2000, (i) => `${'parametrizations.'.repeat(40)}${i}.original`)],
  ];
  it.each(cases)('%s', (_, file) => {
    const keys = ['', ...Array.from({ length: 200 }, (__, i) => `p${i}`)];
    for (const options of [{}, { keys }, { byOrder: true }, { ignore: ['*a*e*i*'] }])
      sentence(() => matchWeights(NET, file, 'w', { order: 'name', ...options }));
  });
});

describe('pickles', () => {
  const zip = (...code: number[][]) => torchZip(Uint8Array.from([0x80, 2, ...code.flat()]), {});

  it('20 000 levels deep', () => {
    const deep = [...op(']'), ...Array.from({ length: 20_000 }, () => op(']')).flat()];
    const closed = Array.from({ length: 20_000 }, () => op('a')).flat();
    expect(sentence(() => readTorch(zip(deep, closed, op('.')), 'x'))).toContain('100 levels');
  });

  it('a dict of 250 000 keys', () => {
    const items = Array.from({ length: 250_000 }, (_, i) => [
      ...op('J', i & 255, (i >> 8) & 255, i >> 16, 0),
      ...op('N'),
    ]).flat();
    const code = zip(op('}'), op('('), items, op('u'), op('.'));
    expect(sentence(() => readTorch(code, 'x'))).toContain('at most 200000 values');
  });

  it('a list of numbers under many names is looked at once', () => {
    const w = tensor('0', 'FloatStorage', [1]);
    const list: Pickled = { kind: 'raw', bytes: [...op('h', 0)] };
    const first: Pickled = {
      kind: 'raw',
      bytes: [...op(']'), ...op('q', 0), ...op('('), ...Array(150_000).fill(0x4e), ...op('e')],
    };
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`h${i}`, list]));
    const file = torchZip(pickle(ordered({ a: first, ...many, w })), { 0: floats(1) });
    expect(readTorch(file, 'x').notes[0]).toContain('a, h0, h1');
  });
});

describe('archives', () => {
  it('of 20 000 entries are listed shortly, or left', () => {
    const files = new Map(
      Array.from({ length: 20_000 }, (_, i) => [`${i}.txt`, new Uint8Array(0)] as const),
    );
    const zip = writeZip(files, false);
    expect(kindOfModel(zip)).toBeUndefined();
    expect(readNumbers(zip, 'x').notes[0]!.length).toBeLessThan(500);
  });

  it('a gzip of 64 MiB and more is refused by IDX and npz before it is unpacked', async () => {
    const bomb = gzipSync(new Uint8Array(70 << 20));
    writeFileSync(join(folder, 'train-images-idx3-ubyte.gz'), bomb);
    writeFileSync(join(folder, 'train-labels-idx1-ubyte.gz'), bomb);
    await expect(mnist.load({ path: folder })).rejects.toThrow(/magic number: expected 0x00000803/);
    const path = join(folder, 'bomb.npz');
    writeFileSync(path, bomb);
    await expect(npz.load({ path })).rejects.toThrow('at most 67108864 bytes after decompression');
  });
});
