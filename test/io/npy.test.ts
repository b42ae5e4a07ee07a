/**
 * NumPy arrays: round trips, orders, byte orders, and headers that lie.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type NumericArray, readNpy, writeNpy } from '../../src/io/npy';
import { npyOf, npySeeds } from '../helpers/format-seeds';
import { fuzz } from '../helpers/mutate';

const read = (bytes: Uint8Array) => readNpy(bytes, 'a.npy');
const header = (descr: string, shape: string, fortran = 'False') =>
  `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`;
const bytesOf = (values: NumericArray | BigInt64Array | BigUint64Array) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

describe('round trips', () => {
  it.each([
    Float32Array,
    Float64Array,
    Int8Array,
    Uint8Array,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
  ])('%o', (type) => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 4 }), (shape) => {
        const size = shape.reduce((product, length) => product * length, 1);
        const values = new type(size).map((_, i) => 3 * i);
        const file = writeNpy(values, shape);
        expect(file.length % 64).toBe(values.byteLength % 64);
        const back = read(file);
        expect(back.shape).toEqual(shape);
        expect(back.values).toEqual(values);
      }),
      { numRuns: 30 },
    );
  });

  it('writes the bytes NumPy writes', () => {
    const file = writeNpy(Float32Array.of(1, 2, 3), [3]);
    const dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
    expect(Buffer.from(file.subarray(0, 10)).toString('latin1')).toBe('\x93NUMPY\x01\x00v\x00');
    expect(new TextDecoder().decode(file.subarray(10, 128))).toBe(`${dict.padEnd(117)}\n`);
    expect(() => writeNpy(Float32Array.of(1), [2])).toThrow(
      'npy: expected 1 values, got shape [2].',
    );
  });
});

describe('reading', () => {
  const at = (descr: string, data: Uint8Array, shape: string, order?: string) => [
    ...read(npyOf(header(`'${descr}'`, shape, order), data)).values,
  ];

  it('takes every dtype, in either byte order', () => {
    expect(at('|b1', Uint8Array.of(0, 1, 2), '(3,)')).toEqual([0, 1, 1]);
    expect(at('<f2', Uint8Array.of(0, 0x3c, 0, 0xc0), '(2,)')).toEqual([1, -2]);
    expect(at('>f2', Uint8Array.of(0x3c, 0, 0xc0, 0), '(2,)')).toEqual([1, -2]);
    expect(at('>f4', Uint8Array.of(0x3f, 0x80, 0, 0), '(1L,)')).toEqual([1]);
    expect(at('>i2', Uint8Array.of(1, 2), '()')).toEqual([258]);
    expect(at('=u4', bytesOf(Uint32Array.of(2 ** 32 - 1)), '(1,)')).toEqual([2 ** 32 - 1]);
    expect(at('<i8', bytesOf(BigInt64Array.of(-5n)), '(1,)')).toEqual([-5]);
    expect(at('<u8', bytesOf(BigUint64Array.of(2n ** 53n)), '(1,)')).toEqual([2 ** 53]);
    expect(() => at('<u8', bytesOf(BigUint64Array.of(2n ** 60n)), '(1,)')).toThrow(
      'a.npy, item 0: expected at most 2^53, got 1152921504606846976.',
    );
  });

  it('turns Fortran order around', () => {
    const data = Uint8Array.of(0, 1, 2, 3, 4, 5);
    expect(at('|u1', data, '(2, 3)', 'True')).toEqual([0, 2, 4, 1, 3, 5]);
    expect(at('|u1', data, '(3, 1, 2)', 'True')).toEqual([0, 3, 1, 4, 2, 5]);
    expect(at('|u1', new Uint8Array(0), '(0, 4)', 'True')).toEqual([]);
  });

  it('takes versions 2 and 3, double quotes and any order of keys', () => {
    const text = `{"shape": (1,), "descr": "|i1", "fortran_order": False}`;
    for (const version of [1, 2, 3])
      expect([...read(npyOf(text, Uint8Array.of(255), version)).values]).toEqual([-1]);
  });

  const bad = (text: string, data = new Uint8Array(8)) => npyOf(text, data);
  it.each([
    ['another kind', new Uint8Array(20), 'an npy file'],
    ['a cut header', writeNpy(Float32Array.of(1), [1]).subarray(0, 60), 'a header in the file'],
    ['cut data', writeNpy(Float32Array.of(1), [1]).slice(0, -1), '4 bytes for shape [1], got 3'],
    [
      'version 4',
      bad(header("'<f4'", '(2,)')).map((byte, i) => (i === 6 ? 4 : byte)),
      '1, 2 or 3, got 4',
    ],
    ['data beyond the shape', bad(header("'<f4'", '(1,)')), '4 bytes for shape [1], got 8'],
    ['a huge shape', bad(header("'<f4'", '(99999999999, 99999999999)')), 'below 2^53 bytes'],
    ['a negative shape', bad(header("'<f4'", '(-2,)')), 'a dict of descr'],
    ['objects', bad(header("'|O'", '(1,)')), 'Python objects (pickled; nothing is executed)'],
    ['text', bad(header("'<U2'", '(1,)')), 'text'],
    ['complex numbers', bad(header("'<c8'", '(1,)')), 'complex numbers'],
    ['extended floats', bad(header("'<f16'", '(1,)')), 'extended floats'],
    ['records', bad(header("[('a', '<f4')]", '(2,)')), 'records'],
    ['code', bad(header("__import__('os')", '(2,)')), 'a dict of descr, fortran_order and shape'],
    ['a key twice', bad("{'shape': (1,), 'shape': (2,), }"), '"shape" twice'],
    ['a missing key', bad("{'shape': (1,), 'descr': '<f8'}"), 'a dict of descr'],
    ['65 axes', bad(header("'<f4'", `(${'1,'.repeat(65)})`)), 'at most 64 axes'],
  ])('refuses %s', (_, bytes, expected) => {
    expect(() => read(bytes)).toThrow(expected);
  });
});

describe('damaged files', () => {
  it('are refused or read, quickly', () => {
    const { accepted, refused } = fuzz(3000, npySeeds(), read);
    expect(accepted).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(1000);
  });
});
