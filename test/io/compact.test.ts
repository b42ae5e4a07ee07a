/** Compact models: what is written comes back bit by bit; what is damaged or lies is refused. */
import fc from 'fast-check';
import { deflateSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { EspalierError } from '../../src/errors';
import { type Coding, type CompactFile, readCompact } from '../../src/io/compact';
import {
  type Deflate,
  type DenseTensor,
  smallestDeflate,
  writeCompact,
} from '../../src/io/compact-write';
import { crc32 } from '../../src/io/crc32';
import { type Inflate, inflater } from '../../src/io/inflate';
import { decode, encode, type TensorInput } from '../../src/io/safetensors';
import { bits } from '../helpers/engine';
import { compactSeeds, signed } from '../helpers/format-seeds';
import { fuzz } from '../helpers/mutate';

const fast: Deflate = (bytes) => deflateSync(bytes, { level: 1 });
const product = (shape: readonly number[]): number => shape.reduce((n, s) => n * s, 1);

const NASTY = [-0, Number.NaN, Infinity, -Infinity, 1e-45, -1e-40, 3.4e38, 1, -1, 0.1];

/** A tensor of the given share of zeros whose other elements come from `pool` or are all their own. */
const tensors = fc
  .record({
    shape: fc.array(fc.integer({ min: 0, max: 17 }), { maxLength: 3 }),
    pool: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 })),
    zeros: fc.constantFrom(0, 0.5, 0.9, 0.999, 1),
    seed: fc.integer(),
  })
  .map(({ shape, pool, zeros, seed }): DenseTensor => {
    let state = seed;
    const draw = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
    const values = Array.from({ length: pool }, (_, i) => NASTY[i] ?? draw() - 0.5);
    const one = (): number => (pool > 0 ? values[Math.floor(draw() * pool)]! : draw() - 0.5);
    const length = product(shape);
    return { shape, values: Float32Array.from({ length }, () => (draw() < zeros ? 0 : one())) };
  });

const WITHOUT_ZLIB = 'without a zlib of the runtime';

let inflate: Inflate;

/** Takes the runtime's zlib away during the tests of this block, if asked to. */
function bareRuntime(runtime: string): void {
  beforeAll(async () => {
    if (runtime === WITHOUT_ZLIB)
      vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined as never);
    inflate = await inflater();
  });
  afterAll(() => void vi.restoreAllMocks());
}

const read = (bytes: Uint8Array): CompactFile => readCompact(bytes, 'x', inflate);

const sparseBits = (file: CompactFile, name: string): Uint32Array => {
  const { shape, positions, values } = file.tensor(name).sparse();
  const dense = new Float32Array(product(shape));
  positions.forEach((at, i) => {
    dense[at] = values[i]!;
  });
  return bits(dense);
};

describe.each(['with a zlib of the runtime', WITHOUT_ZLIB])('round trips %s', (runtime) => {
  bareRuntime(runtime);

  it('give back every bit, dense and sparse, with any deflate', async () => {
    const seen = { shared: 0, own: 0, plain: 0 };
    const small = await smallestDeflate();
    const named = fc.dictionary(fc.stringMatching(/^[\w-]{1,8}\.weight$/), tensors, { maxKeys: 4 });
    fc.assert(
      fc.property(named, fc.boolean(), (record, smallest) => {
        const given = new Map(Object.entries(record));
        const metadata = { network: { name: 'x' }, config: { a: [1, 'ü'] } };
        const file = read(writeCompact(given, metadata, smallest ? small : fast));
        expect(file.metadata).toEqual(metadata);
        expect([...file.names].sort()).toEqual([...given.keys()].sort());
        let decoded = 0;
        for (const [name, { shape, values }] of given) {
          const tensor = file.tensor(name);
          expect(tensor.shape).toEqual(shape);
          expect(bits(tensor.values)).toEqual(bits(values));
          expect(sparseBits(file, name)).toEqual(bits(values));
          const kind = !tensor.coding ? 'plain' : tensor.coding.centroids > 0 ? 'shared' : 'own';
          seen[kind]++;
          const own = tensor.sparse();
          decoded += own.values.byteLength + (tensor.coding ? own.positions.byteLength : 0);
        }
        expect(file.decodedBytes).toBe(decoded);
      }),
      { numRuns: 100 },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(10);
  });

  it('has the checksum of zip and gzip', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
  });

  it('read from Buffers and from the middle of other bytes', () => {
    const given = signed(600, 0.9);
    const made = writeCompact(new Map([['w', given]]), {}, fast);
    const shifted = new Uint8Array(made.length + 3);
    shifted.set(made, 3);
    for (const bytes of [Buffer.from(made), shifted.subarray(3)])
      expect(read(bytes).tensor('w').values).toEqual(given.values);
  });

  it('codes gaps of 254 to 511 zeros, and none', () => {
    for (const gap of [0, 1, 254, 255, 256, 509, 510, 511]) {
      const values = new Float32Array(gap + 1000);
      values[gap] = 2;
      const made = writeCompact(new Map([['w', { shape: [gap + 1000], values }]]), {}, fast);
      const tensor = read(made).tensor('w');
      expect(tensor.coding).toMatchObject({ nonzero: 1, steps: Math.floor(gap / 255) + 1 });
      expect(tensor.sparse().positions).toEqual(Uint32Array.of(gap));
      expect(tensor.values).toEqual(values);
    }
  });

  it('the same tensors give the same bytes, whatever their order', () => {
    const [a, b] = [signed(300, 0.9), signed(50, 0)];
    const one = writeCompact(
      new Map([
        ['a', a],
        ['b', b],
      ]),
      { x: 1, y: 2 },
      fast,
    );
    const other = writeCompact(
      new Map([
        ['b', b],
        ['a', a],
      ]),
      { y: 2, x: 1 },
      fast,
    );
    expect(Buffer.compare(one, other)).toBe(0);
  });
});

const sound = (): Uint8Array => {
  const given = new Map([
    ['a.weight', signed(600, 0.9)],
    ['a.bias', signed(20, 0)],
  ]);
  return writeCompact(given, { network: { name: 'x' } }, fast);
};

/** The file of other tensors and metadata, its checksum in order. */
function forged(
  change: (tensors: Map<string, TensorInput>, metadata: Record<string, string>) => void,
): Uint8Array {
  const { tensors, metadata } = decode(sound(), 'x');
  const entries = new Map<string, TensorInput>(tensors);
  const texts = { ...metadata };
  change(entries, texts);
  return sealed(encode(entries, texts));
}

function sealed(file: Uint8Array): Uint8Array {
  const end = file.length - 4;
  new DataView(file.buffer, file.byteOffset).setUint32(end, crc32(file.subarray(0, end)), true);
  return file;
}

const withCoding = (change: Partial<Record<keyof Coding, unknown>>): Uint8Array =>
  forged((_, metadata) => {
    const coded = JSON.parse(metadata.coded!);
    Object.assign(coded['a.weight'], change);
    metadata.coded = JSON.stringify(coded);
  });

const decodeAll = (bytes: Uint8Array): void => {
  const file = readCompact(bytes, 'm.compact', inflate, { maxBytes: 2 ** 24 });
  for (const name of file.names) file.tensor(name).sparse();
};

describe.each(['with a zlib of the runtime', WITHOUT_ZLIB])('a bad file %s', (runtime) => {
  bareRuntime(runtime);

  it('cut anywhere is refused', () => {
    const file = sound();
    for (let end = 0; end < file.length; end++)
      expect(() => decodeAll(file.subarray(0, end)), `${end}`).toThrow(EspalierError);
  });

  it('with any bit flipped is refused', () => {
    const file = sound();
    for (let bit = 0; bit < 8 * file.length; bit++) {
      file[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decodeAll(file), `bit ${bit}`).toThrow(EspalierError);
      file[bit >> 3]! ^= 1 << (bit & 7);
    }
    decodeAll(file);
  });

  it('altered, newer, foreign or without a checksum is named as such', () => {
    const altered = sound();
    altered[altered.length - 40]! ^= 1;
    expect(() => decodeAll(altered)).toThrow(
      /^m\.compact: expected the checksum [0-9a-f]{8}, got [0-9a-f]{8}\. The file is damaged/,
    );
    const format = (mark: string) =>
      forged((_, metadata) => {
        metadata.format = mark;
      });
    expect(() => decodeAll(format('espalier-compact/2'))).toThrow(
      /format espalier-compact\/2\. The file is of a newer version: update espalier/,
    );
    expect(() => decodeAll(format('espalier/1'))).toThrow(/got format espalier\/1\.$/);
    const bare = forged((tensors) => tensors.delete('~crc32'));
    expect(() => decodeAll(bare)).toThrow(/expected a checksum as the last tensor/);
    expect(() => decodeAll(forged((tensors) => tensors.delete('a.weight')))).toThrow(
      /coded: expected tensors of the file, got a\.weight/,
    );
    expect(() =>
      decodeAll(forged((_, metadata) => Reflect.deleteProperty(metadata, 'coded'))),
    ).toThrow(/coded: expected an object, got undefined/);
  });

  it('that lies about its sizes is refused before anything of that size is made', () => {
    const { nonzero, centroids, steps, codes } = read(sound()).tensor('a.weight').coding!;
    const lies: [Partial<Record<keyof Coding, unknown>>, RegExp][] = [
      [{ shape: [2 ** 16, 2 ** 16] }, /shape: expected sizes with a product below 2\^32/],
      [{ shape: [-1, -600] }, /shape: expected sizes/],
      [{ shape: 'big' }, /shape: expected sizes/],
      [{ shape: [2 ** 30] }, /parameters of at most 16777216 bytes in all/],
      [{ shape: [nonzero - 1] }, /nonzero: expected a whole number in \[0, /],
      [{ nonzero: nonzero + 1 }, /steps: expected 61 weights, got 60/],
      [{ nonzero: nonzero - 1 }, /steps: expected 59 weights, got 60/],
      [{ nonzero: 1e9, shape: [4e9] }, /nonzero: expected at most \d+, by the codes/],
      [{ steps: 4e9, shape: [4e9] }, /steps: expected a whole number in \[0, \d+\]/],
      [{ steps: steps + 1 }, /steps: expected \d+ bytes once inflated/],
      [{ steps: steps - 1 }, /steps: expected \d+ bytes once inflated, got more/],
      [{ centroids: 257 }, /centroids: expected a whole number in \[0, 256\]/],
      [{ centroids: centroids - 1 }, /codes: expected|deflate data/],
      [{ centroids: 0, nonzero: 599 }, /expected at least \d+ bytes/],
      [{ codes: codes + 1e6 }, /codes: expected a whole number/],
      [{ codes: 1.5 }, /codes: expected a whole number/],
      [{ nonzero: '7' }, /nonzero: expected a whole number/],
    ];
    for (const [lie, message] of lies)
      expect(() => decodeAll(withCoding(lie)), JSON.stringify(lie)).toThrow(message);
  });

  it('whose streams disagree is refused when decoded', () => {
    const rebuilt = (numbers: number[], gaps: number[], shape = [600]): Uint8Array =>
      forged((tensors, metadata) => {
        const [codes, steps] = [numbers, gaps].map((list) => fast(Uint8Array.from(list)));
        const data = Uint8Array.of(0, 0, 128, 63, ...codes!, ...steps!);
        tensors.set('a.weight', { dtype: 'U8', shape: [data.length], data });
        const coding: Coding = {
          ...{ shape, centroids: 1, nonzero: numbers.length },
          ...{ steps: gaps.length, codes: codes!.length },
        };
        metadata.coded = JSON.stringify({ 'a.weight': coding });
      });
    decodeAll(rebuilt([0, 0], [3, 594, 255, 255].slice(0, 2)));
    expect(() => decodeAll(rebuilt([0, 1], [3, 4]))).toThrow(
      /codes: expected numbers below 1, got 1/,
    );
    expect(() => decodeAll(rebuilt([0, 0], [3, 4, 5]))).toThrow(/steps: expected 2 weights, got 3/);
    expect(() => decodeAll(rebuilt([0, 0], [3, 255]))).toThrow(/steps: expected 2 weights, got 1/);
    expect(() => decodeAll(rebuilt([0, 0], [254, 245, 255], [500]))).toThrow(/places below 500/);
    expect(() => decodeAll(rebuilt([0, 0], [254, 245], [500]))).toThrow(
      /places below 500, got 501/,
    );
  });

  it('of 3000 kinds of damage is refused or read', () => {
    const { accepted, refused } = fuzz(3000, compactSeeds(), decodeAll);
    expect(accepted + refused).toBe(3000);
    expect(accepted).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(2000);
  });
});
