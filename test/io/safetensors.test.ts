/**
 * safetensors: round trips, every rule broken once, and thousands of damaged files.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import {
  type Dtype,
  decode,
  encode,
  type TensorInput,
  type TypedArray,
  toFloat32,
} from '../../src/io/safetensors';
import { philox } from '../../src/tensor/philox';

const MAKE: Record<Dtype, { size: number; of: (buffer: ArrayBuffer) => TypedArray }> = {
  BOOL: { size: 1, of: (b) => new Uint8Array(b) },
  U8: { size: 1, of: (b) => new Uint8Array(b) },
  I8: { size: 1, of: (b) => new Int8Array(b) },
  I16: { size: 2, of: (b) => new Int16Array(b) },
  U16: { size: 2, of: (b) => new Uint16Array(b) },
  F16: { size: 2, of: (b) => new Uint16Array(b) },
  BF16: { size: 2, of: (b) => new Uint16Array(b) },
  I32: { size: 4, of: (b) => new Int32Array(b) },
  U32: { size: 4, of: (b) => new Uint32Array(b) },
  F32: { size: 4, of: (b) => new Float32Array(b) },
  F64: { size: 8, of: (b) => new Float64Array(b) },
  I64: { size: 8, of: (b) => new BigInt64Array(b) },
  U64: { size: 8, of: (b) => new BigUint64Array(b) },
};
const dtypes = Object.keys(MAKE) as Dtype[];

const tensor: fc.Arbitrary<TensorInput> = fc
  .tuple(
    fc.constantFrom(...dtypes),
    fc.array(fc.nat(4), { maxLength: 4 }),
    fc.boolean(),
    fc.nat(0xffffffff),
  )
  .map(([dtype, shape, raw, seed]) => {
    const { size, of } = MAKE[dtype];
    const bytes = new Uint8Array(shape.reduce((a, b) => a * b, 1) * size);
    for (let i = 0; i < bytes.length; i++) bytes[i] = philox([i, 0, 0, 0], [seed, 0])[0] & 255;
    return { dtype, shape, data: raw ? bytes : of(bytes.buffer) };
  });
const text = fc.string({ unit: 'binary', maxLength: 12 });
const name = fc
  .oneof(text, fc.constantFrom('__proto__', 'constructor', '0', 'a"b\\', 'toString', ''))
  .filter((key) => key !== '__metadata__');
const tensorMap = fc
  .uniqueArray(fc.tuple(name, tensor), { selector: ([key]) => key, maxLength: 6 })
  .map((pairs) => new Map(pairs));
const metadata = fc.uniqueArray(fc.tuple(name, text), { selector: ([key]) => key, maxLength: 4 });

const rawBytes = ({ data }: { data: TypedArray }) =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** A file with this header text and this many data bytes. */
function file(header: string, dataBytes = 0): Uint8Array {
  const body = new TextEncoder().encode(header);
  const out = new Uint8Array(8 + body.length + dataBytes);
  new DataView(out.buffer).setUint32(0, body.length, true);
  out.set(body, 8);
  return out;
}
const message = (bytes: Uint8Array) => {
  try {
    decode(bytes, 'f');
  } catch (error) {
    expect(error).toBeInstanceOf(EspalierError);
    return (error as Error).message;
  }
  return 'no error';
};

describe('round trip', () => {
  it('gives back every dtype, shape, name and metadata', () => {
    fc.assert(
      fc.property(tensorMap, metadata, (tensors, pairs) => {
        const record: Record<string, string> = Object.create(null);
        for (const [key, value] of pairs) record[key] = value;
        const bytes = encode(tensors, record);
        const back = decode(bytes, 'f');
        expect([...back.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
        for (const [key, input] of tensors) {
          const entry = back.tensors.get(key)!;
          expect(entry.dtype).toBe(input.dtype);
          expect(entry.shape).toEqual(input.shape);
          expect(Buffer.compare(entry.data, rawBytes(input))).toBe(0);
          expect(entry.data.byteOffset % MAKE[entry.dtype].size).toBe(0);
        }
        expect(Object.entries(back.metadata).sort()).toEqual(Object.entries(record).sort());
        expect(encode(back.tensors, back.metadata)).toEqual(bytes);
      }),
      { numRuns: 200 },
    );
  });

  it('does not depend on the order of insertion', () => {
    fc.assert(
      fc.property(tensorMap, metadata, (tensors, pairs) => {
        const reversed = new Map([...tensors].reverse());
        const a = encode(tensors, Object.fromEntries(pairs));
        expect(encode(reversed, Object.fromEntries(pairs.toReversed()))).toEqual(a);
      }),
      { numRuns: 50 },
    );
  });

  it('orders wide items first, then names, and pads the header to 8 bytes', () => {
    const bytes = encode({
      a: { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
      c: { dtype: 'F32', shape: [], data: Float32Array.of(1.5) },
      b: { dtype: 'F32', shape: [1], data: Float32Array.of(2) },
      d: { dtype: 'F64', shape: [1], data: Float64Array.of(3) },
    });
    expect([...decode(bytes, 'f').tensors.keys()]).toEqual(['d', 'b', 'c', 'a']);
    const length = new DataView(bytes.buffer).getUint32(0, true);
    expect(length % 8).toBe(0);
    expect(bytes.length).toBe(8 + length + 8 + 4 + 4 + 3);
  });

  it('reads from the middle of a larger buffer', () => {
    const inner = encode({ w: { dtype: 'F32', shape: [2], data: Float32Array.of(1, -2) } });
    const outer = new Uint8Array(inner.length + 3);
    outer.set(inner, 3);
    const { tensors } = decode(outer.subarray(3), 'f');
    expect([...toFloat32(tensors.get('w')!)]).toEqual([1, -2]);
  });

  it('writes the empty file and reads trailing spaces', () => {
    expect(decode(encode({}), 'f').tensors.size).toBe(0);
    expect(decode(file('{}   '), 'f').tensors.size).toBe(0);
  });

  it('touches no prototype', () => {
    const { tensors, metadata: meta } = decode(
      file(
        '{"__proto__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"__metadata__":{"__proto__":"x"}}',
      ),
      'f',
    );
    expect(tensors.has('__proto__')).toBe(true);
    expect(Object.keys(meta)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  const goldens = new URL('../../../shared/goldens/models/', import.meta.url);
  const present = existsSync(goldens);
  it.skipIf(!present)(
    `reads and rewrites files of another writer${present ? '' : ' (skipped: ../shared/goldens is absent)'}`,
    () => {
      const names = readdirSync(goldens).filter((file) => file.endsWith('.safetensors'));
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) {
        const bytes = new Uint8Array(readFileSync(new URL(name, goldens)));
        const { tensors, metadata: meta } = decode(bytes, name);
        const again = decode(encode(tensors, meta), name);
        expect(again.metadata).toEqual(meta);
        expect(again.tensors.size).toBe(tensors.size);
        for (const [key, { shape, data }] of again.tensors) {
          expect(shape).toEqual(tensors.get(key)!.shape);
          expect(Buffer.compare(data, tensors.get(key)!.data)).toBe(0);
        }
      }
    },
  );
});

describe('the reader refuses', () => {
  const entry = (dtype: string, shape: string, offsets: string) =>
    `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;
  const one = (dtype: string, shape: string, offsets: string, dataBytes = 4) =>
    file(`{"w":${entry(dtype, shape, offsets)}}`, dataBytes);
  const withLength = (low: number, high: number) => {
    const bytes = file('{}');
    new DataView(bytes.buffer).setUint32(0, low, true);
    new DataView(bytes.buffer).setUint32(4, high, true);
    return bytes;
  };
  const u8 = (offsets: string, n: number) => entry('"U8"', `[${n}]`, offsets);
  const cases: [string, Uint8Array, string][] = [
    ['a file below 8 bytes', new Uint8Array(7), 'f: expected at least 8 bytes'],
    [
      'a header beyond the file',
      withLength(3, 0),
      'f, header length: expected at most the 2 bytes',
    ],
    ['a header above 100 MB', withLength(100_000_001, 0), 'expected at most 100000000'],
    ['a header length of 2^63', withLength(0, 0x80000000), 'expected at most 100000000'],
    ['an empty header', file(''), 'expected to start with "{", got nothing'],
    ['a leading space', file(' {}'), 'expected to start with "{", got byte 32'],
    ['a byte order mark', file('\ufeff{}'), 'expected to start with "{"'],
    ['a list', file('[]'), 'expected to start with "{"'],
    ['broken JSON', file('{"a":}'), 'expected a JSON object in UTF-8'],
    ['text after the object', file('{}x'), 'expected a JSON object in UTF-8'],
    ['bytes that are not UTF-8', Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d), 'UTF-8'],
    ['a repeated name', file(`{"w":${u8('[0,0]', 0)},"w":${u8('[0,0]', 0)}}`), '"w" twice'],
    [
      'a repeated name, escaped',
      file(`{"w":${u8('[0,0]', 0)},"\\u0077":${u8('[0,0]', 0)}}`),
      '"w" twice',
    ],
    ['repeated metadata', file('{"__metadata__":{"k":"a","k":"b"}}'), '"k" twice'],
    [
      'a repeated field',
      file('{"w":{"dtype":"U8","shape":[0],"shape":[0],"data_offsets":[0,0]}}'),
      '"shape" twice',
    ],
    ['a tensor that is no object', file('{"w":[1]}'), 'tensor "w": expected an object, got [1]'],
    ['a null tensor', file('{"w":null}'), 'expected an object, got null'],
    ['an unknown dtype', one('"F33"', '[1]', '[0,4]'), 'tensor "w".dtype: expected one of BOOL'],
    ['a dtype of the prototype', one('"toString"', '[1]', '[0,4]'), 'got "toString"'],
    ['a dtype that is no string', one('7', '[1]', '[0,4]'), 'got 7'],
    ['no dtype', file('{"w":{}}'), 'got nothing'],
    ['a shape that is no list', one('"F32"', '1', '[0,4]'), 'shape: expected a list'],
    ['a negative size', one('"F32"', '[-1]', '[0,4]'), 'shape: expected a list'],
    ['a minus zero', one('"F32"', '[-0]', '[0,4]'), 'shape: expected a list'],
    ['a fractional size', one('"F32"', '[1.5]', '[0,4]'), 'shape: expected a list'],
    ['a size above 2^53', one('"F32"', '[9007199254740993]', '[0,4]'), 'shape: expected a list'],
    ['a product above 2^53', one('"F32"', '[4294967296,4294967296]', '[0,4]'), 'below 2^53 bytes'],
    ['offsets that are no pair', one('"F32"', '[1]', '[0]'), 'expected two non-negative integers'],
    ['negative offsets', one('"F32"', '[1]', '[-4,0]'), 'expected two non-negative integers'],
    ['backward offsets', one('"F32"', '[1]', '[4,0]'), 'begin <= end'],
    [
      'an end outside',
      one('"F32"', '[2]', '[0,8]'),
      'expected an end within the 4 data bytes, got 8',
    ],
    ['bytes that do not fit', one('"F32"', '[2]', '[0,4]'), 'expected 8 bytes for its shape'],
    ['a gap', file(`{"a":${u8('[0,1]', 1)},"b":${u8('[2,3]', 1)}}`, 3), 'expected to begin at 1'],
    ['a gap at the start', one('"U8"', '[3]', '[1,4]'), 'expected to begin at 0'],
    [
      'an overlap',
      file(`{"a":${u8('[0,2]', 2)},"b":${u8('[1,3]', 2)}}`, 3),
      'expected to begin at 2',
    ],
    [
      'an alias',
      file(`{"a":${u8('[0,2]', 2)},"b":${u8('[0,2]', 2)}}`, 2),
      'expected to begin at 2',
    ],
    ['bytes left over', one('"F32"', '[1]', '[0,4]', 5), 'f, data: expected 4 bytes'],
    ['data without tensors', file('{}', 1), 'f, data: expected 0 bytes'],
    ['metadata that is a string', file('{"__metadata__":"x"}'), 'expected an object of strings'],
    [
      'metadata of numbers',
      file('{"__metadata__":{"k":1}}'),
      '__metadata__ "k": expected a string, got 1',
    ],
    ['a lone surrogate', file(`{"\\ud800":${u8('[0,0]', 0)}}`), 'well-formed Unicode'],
    ['deep nesting', file(`{"w":${'['.repeat(200_000)}${']'.repeat(200_000)}}`), 'f, '],
    [
      'deep nesting in a shape',
      one('"U8"', `[${'['.repeat(200_000)}${']'.repeat(200_000)}]`, '[0,4]'),
      'f, ',
    ],
  ];
  it.each(cases)('%s', (_, bytes, expected) => {
    expect(message(bytes)).toContain(expected);
  });

  it('a damaged file, with an EspalierError and nothing else', () => {
    const good = encode(
      {
        'layer.weight': { dtype: 'F32', shape: [2, 3], data: new Float32Array(6) },
        'layer.bias': { dtype: 'F16', shape: [2], data: new Uint16Array(2) },
        mask: { dtype: 'BOOL', shape: [5], data: new Uint8Array(5) },
      },
      { config: '{"a":[1,"\\u00e4"]}', step: '12' },
    );
    let readable = 0;
    const runs = 5000;
    for (let run = 0; run < runs; run++) {
      const [kind, where, what, other] = philox([run, 0, 0, 0], [2024, 0]);
      let bytes = good.slice();
      const at = where % bytes.length;
      if (kind % 4 === 0) bytes[at] = what & 255;
      else if (kind % 4 === 1) bytes[at]! ^= 1 << (what & 7);
      else if (kind % 4 === 2) bytes = bytes.slice(0, at);
      else bytes.copyWithin(at, other % bytes.length, (other % bytes.length) + (what % 20));
      try {
        const { tensors } = decode(bytes, 'f');
        for (const value of tensors.values()) toFloat32(value);
        readable++;
      } catch (error) {
        if (!(error instanceof EspalierError)) throw error;
      }
    }
    expect(readable).toBeGreaterThan(0);
    expect(readable).toBeLessThan(runs);
  });

  it('random JSON in the header, with an EspalierError and nothing else', () => {
    const offsets = fc.array(fc.oneof(fc.integer({ min: -1, max: 9 }), fc.double()), {
      maxLength: 3,
    });
    const almost = fc.dictionary(
      fc.string(),
      fc.oneof(
        fc.jsonValue(),
        fc.record({
          dtype: fc.oneof(fc.constantFrom(...dtypes), fc.string()),
          shape: fc.oneof(offsets, fc.jsonValue()),
          data_offsets: offsets,
        }),
      ),
    );
    fc.assert(
      fc.property(almost, fc.nat(16), (header, dataBytes) => {
        try {
          decode(file(JSON.stringify(header), dataBytes), 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(EspalierError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('the writer refuses', () => {
  const f32 = (data: TypedArray, shape = [1]) => ({ dtype: 'F32' as const, shape, data });
  it('what it could not read back', () => {
    const ok = Float32Array.of(1);
    expect(() => encode({ w: f32(ok, [2]) })).toThrow(
      'tensor "w".data: expected 8 bytes for F32 of shape [2], got 4.',
    );
    expect(() => encode({ w: f32(new Int32Array(1)) })).toThrow(
      'expected Float32Array or raw bytes in a Uint8Array, got Int32Array',
    );
    expect(() => encode({ w: f32(ok, [-1]) })).toThrow('tensor "w".shape');
    expect(() => encode({ __metadata__: f32(ok) })).toThrow('a name other than __metadata__');
    expect(() => encode({ '\ud800': f32(ok) })).toThrow('well-formed Unicode');
    expect(() => encode({}, { k: '\udc00' })).toThrow('well-formed Unicode');
    expect(() => encode({ w: { ...f32(ok), dtype: 'F33' as Dtype } })).toThrow('tensor "w".dtype');
  });
});

describe('toFloat32', () => {
  const of = (dtype: Dtype, data: TypedArray) => [
    ...toFloat32({ dtype, shape: [], data: rawBytes({ data }) }),
  ];
  it('widens and rounds every dtype', () => {
    expect(of('BOOL', Uint8Array.of(0, 1, 7))).toEqual([0, 1, 1]);
    expect(of('U8', Uint8Array.of(255))).toEqual([255]);
    expect(of('I8', Int8Array.of(-128))).toEqual([-128]);
    expect(of('I16', Int16Array.of(-32768))).toEqual([-32768]);
    expect(of('U16', Uint16Array.of(65535))).toEqual([65535]);
    expect(of('I32', Int32Array.of(-7))).toEqual([-7]);
    expect(of('U32', Uint32Array.of(4294967295))).toEqual([4294967296]);
    expect(of('F64', Float64Array.of(0.1, 1e300))).toEqual([Math.fround(0.1), Infinity]);
    expect(of('I64', BigInt64Array.of(-5n))).toEqual([-5]);
    expect(of('U64', BigUint64Array.of(2n ** 63n))).toEqual([2 ** 63]);
    expect(of('BF16', Uint16Array.of(0x3f80, 0xc040, 0x7f80, 0x0001))).toEqual([
      1,
      -3,
      Infinity,
      2 ** -133,
    ]);
    expect(
      of('F16', Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x8000, 0xfc00)),
    ).toEqual([1, -2, 65504, 2 ** -24, 2 ** -14, -0, -Infinity]);
    expect(of('F16', Uint16Array.of(0x7e00))[0]).toBeNaN();
  });

  it('keeps float32 bits at any alignment, as a copy', () => {
    fc.assert(
      fc.property(fc.float32Array(), fc.nat(7), (values, shift) => {
        const buffer = new Uint8Array(values.byteLength + shift);
        buffer.set(rawBytes({ data: values }), shift);
        const out = toFloat32({ dtype: 'F32', shape: [], data: buffer.subarray(shift) });
        expect(Buffer.compare(rawBytes({ data: out }), rawBytes({ data: values }))).toBe(0);
        expect(out.buffer).not.toBe(buffer.buffer);
      }),
      { numRuns: 50 },
    );
  });

  it('refuses bytes that are not whole items', () => {
    expect(() => toFloat32({ dtype: 'F32', shape: [], data: new Uint8Array(5) })).toThrow(
      EspalierError,
    );
  });
});
