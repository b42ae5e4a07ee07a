/**
 * The numbers of a TensorProto, in any element type, raw or in typed fields or in a file beside. What
 * is allocated never exceeds what the bytes really hold. Hosts are little-endian, as files are.
 */
import { expect, fail } from '../../errors';
import { type Shape, sizeOf, stridesOf } from '../../tensor/shape';
import { bfloatToNumber, halfToNumber } from '../safetensors';
import type { SparseTensorProto, TensorProto } from './proto.gen';

export type Numbers = Float32Array | Float64Array;

/** Float types of at most 32 bits are held in float32, all others in float64. */
export interface Constant {
  readonly kind: 'constant';
  readonly shape: Shape;
  /** Key of `ELEMENTS`. */
  readonly type: number;
  readonly values: Numbers;
}

type TypedField = 'float_data' | 'int32_data' | 'int64_data' | 'double_data' | 'uint64_data';

interface Element {
  readonly name: string;
  readonly kind: 'float' | 'whole' | 'bool';
  /** Size of one number in raw data; 1/2 where two share a byte. */
  readonly bytes: number;
  /** Least and greatest whole number. */
  readonly range?: readonly [number, number];
  /** Bits of the fraction with the leading one, and the exponent of the smallest number. */
  readonly precision?: readonly [bits: number, least: number];
  /** Held in float32 without loss. */
  readonly single?: true;
  readonly field: TypedField;
  /** Number at place `at` in bytes; of halves of bytes the lower half comes first. */
  raw(view: DataView, at: number): number;
  /** Number of an entry of the typed field, where that is another. */
  typed?(entry: number): number;
}

export const FLOAT = 1;
export const INT64 = 7;
export const BOOL = 9;
const HALF = 10;

/** Element types by the numbers of TensorProto.DataType. */
export const ELEMENTS: Readonly<Record<number, Element>> = {
  [FLOAT]: {
    ...{ name: 'float', kind: 'float', bytes: 4, single: true, field: 'float_data' },
    raw: (v, at) => v.getFloat32(at, true),
  },
  2: {
    ...{ name: 'uint8', kind: 'whole', range: [0, 255], bytes: 1, field: 'int32_data' },
    raw: (v, at) => v.getUint8(at),
  },
  3: {
    ...{ name: 'int8', kind: 'whole', range: [-128, 127], bytes: 1, field: 'int32_data' },
    raw: (v, at) => v.getInt8(at),
  },
  4: {
    ...{ name: 'uint16', kind: 'whole', range: [0, 65535], bytes: 2, field: 'int32_data' },
    raw: (v, at) => v.getUint16(at, true),
  },
  5: {
    ...{ name: 'int16', kind: 'whole', range: [-32768, 32767], bytes: 2, field: 'int32_data' },
    raw: (v, at) => v.getInt16(at, true),
  },
  6: {
    ...{
      name: 'int32',
      kind: 'whole',
      range: [-(2 ** 31), 2 ** 31 - 1],
      bytes: 4,
      field: 'int32_data',
    },
    raw: (v, at) => v.getInt32(at, true),
  },
  [INT64]: {
    ...{ name: 'int64', kind: 'whole', bytes: 8, field: 'int64_data' },
    raw: (v, at) => Number(v.getBigInt64(at, true)),
  },
  9: {
    ...{ name: 'bool', kind: 'bool', bytes: 1, field: 'int32_data' },
    raw: (v, at) => Math.min(v.getUint8(at), 1),
    typed: (entry) => (entry === 0 ? 0 : 1),
  },
  10: {
    ...{ name: 'float16', kind: 'float', bytes: 2, single: true, field: 'int32_data' },
    precision: [11, -24],
    raw: (v, at) => halfToNumber(v.getUint16(at, true)),
    typed: halfToNumber,
  },
  11: {
    ...{ name: 'double', kind: 'float', bytes: 8, field: 'double_data' },
    raw: (v, at) => v.getFloat64(at, true),
  },
  12: {
    ...{ name: 'uint32', kind: 'whole', range: [0, 2 ** 32 - 1], bytes: 4, field: 'uint64_data' },
    raw: (v, at) => v.getUint32(at, true),
  },
  13: {
    ...{ name: 'uint64', kind: 'whole', bytes: 8, field: 'uint64_data' },
    raw: (v, at) => Number(v.getBigUint64(at, true)),
  },
  16: {
    ...{ name: 'bfloat16', kind: 'float', bytes: 2, single: true, field: 'int32_data' },
    precision: [8, -133],
    raw: (v, at) => bfloatToNumber(v.getUint16(at, true)),
    typed: bfloatToNumber,
  },
  21: {
    ...{ name: 'uint4', kind: 'whole', range: [0, 15], bytes: 0.5, field: 'int32_data' },
    raw: nibble,
  },
  22: {
    ...{ name: 'int4', kind: 'whole', range: [-8, 7], bytes: 0.5, field: 'int32_data' },
    raw: (v, at) => (nibble(v, at) << 28) >> 28,
  },
};

/** Four bits of a byte. */
function nibble(view: DataView, at: number): number {
  const byte = view.getUint8(Math.floor(at));
  return Number.isInteger(at) ? byte & 15 : byte >> 4;
}

/** `x` as a number of the type: rounded to the nearest, ties to even; whole numbers cut. */
export function settle(type: number, x: number): number {
  const element = ELEMENTS[type];
  if (element?.kind === 'bool') return x === 0 ? 0 : 1;
  if (element?.kind === 'whole') return Math.trunc(x);
  if (!element?.precision || x === 0 || !Number.isFinite(x))
    return element?.single ? Math.fround(x) : x;
  const [bits, least] = element.precision;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))) - bits + 1, least);
  const rounded = roundEven(x / 2 ** exponent) * 2 ** exponent;
  // Half the greatest number's last place further on is infinity already.
  const limit = type === HALF ? 65504 : 2 ** 128 * (1 - 2 ** -8);
  return Math.abs(rounded) > limit ? Math.sign(x) * Number.POSITIVE_INFINITY : rounded;
}

/** The nearest whole number, of two the even one. */
export function roundEven(x: number): number {
  const whole = Math.round(x);
  return Math.abs(x % 1) === 0.5 && whole % 2 !== 0 ? whole - 1 : whole;
}

export function elementOf(type: number, who: string): Element {
  const hint = 'Export the model with floats, or store quantised weights as integers.';
  return ELEMENTS[type] ?? fail(who, 'numbers of a known type', `type ${typeName(type)}`, hint);
}

/** Types of TensorProto.DataType that are not read, by their numbers. */
const OTHERS: Readonly<Record<number, string>> = {
  ...{ 8: 'string', 14: 'complex64', 15: 'complex128', 17: 'float8e4m3fn', 18: 'float8e4m3fnuz' },
  ...{ 19: 'float8e5m2', 20: 'float8e5m2fnuz', 23: 'float4e2m1' },
};

/** What the type is called. */
export const typeName = (type: number): string => ELEMENTS[type]?.name ?? OTHERS[type] ?? `${type}`;

/** An array for numbers of `type`. */
export function numbers(type: number, size: number): Numbers {
  return ELEMENTS[type]?.single ? new Float32Array(size) : new Float64Array(size);
}

/** Higher ranks are no networks. */
const MAX_RANK = 32;

/** Sizes of a tensor: whole, not negative, and of a product that can be counted. */
export function checkShape(dims: readonly number[], who: string): Shape {
  expect(dims.length <= MAX_RANK, who, `at most ${MAX_RANK} axes`, dims.length);
  const fits = dims.every((size) => size >= 0) && dims.reduce((a, b) => a * b, 1) < 2 ** 31;
  expect(fits, who, 'sizes of a tensor', dims);
  return dims;
}

/** The bytes of a file beside the model, by its name. */
export type External = (name: string) => Uint8Array;

/** The tensor as a constant. Raises EspalierError where sizes and bytes do not agree. */
export function readTensor(t: TensorProto, who: string, external?: External): Constant {
  const shape = checkShape(t.dims, who);
  const size = sizeOf(shape);
  const element = elementOf(t.data_type, who);
  const outside = t.data_location === 1 || t.external_data.length > 0;
  const raw = outside ? externalBytes(t, who, external) : t.raw_data;
  const typed = t[element.field];
  if (raw === undefined || (raw.length === 0 && typed.length > 0)) {
    expect(typed.length === size, who, `${size} numbers in ${element.field}`, typed.length);
    const { typed: convert } = element;
    const values = numbers(t.data_type, size);
    values.set(convert ? typed.map(convert) : typed);
    return { kind: 'constant', shape, type: t.data_type, values };
  }
  const bytes = Math.ceil(size * element.bytes);
  expect(raw.length === bytes, who, `${bytes} bytes of ${element.name}`, raw.length);
  if (t.data_type === FLOAT) {
    const values = new Float32Array(new Uint8Array(raw).buffer);
    return { kind: 'constant', shape, type: FLOAT, values };
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const values = numbers(t.data_type, size);
  for (let i = 0; i < size; i++) values[i] = element.raw(view, i * element.bytes);
  return { kind: 'constant', shape, type: t.data_type, values };
}

/** Numbers that all sparse tensors of a file may stand for; far above what networks have. */
export const MAX_SPARSE = 2 ** 25;

/** The sparse tensor as a constant with its zeros. Raises EspalierError for places outside of it. */
export function readSparse(t: SparseTensorProto, who: string, external?: External): Constant {
  const shape = checkShape(t.dims, who);
  const [stored, places] = [t.values, t.indices];
  if (!stored || !places) return fail(who, 'values and indices', 'none');
  const { type, values } = readTensor(stored, who, external);
  const { values: index, shape: list } = readTensor(places, who, external);
  const size = sizeOf(shape);
  expect(size <= MAX_SPARSE, who, `at most ${MAX_SPARSE} numbers`, size);
  const flat = list.length === 1;
  const width = flat ? 1 : shape.length;
  const fits = index.length === values.length * width && (flat || list[1] === width);
  expect(fits, who, `${values.length} places in [${shape}]`, `indices [${list}]`);
  const dense = numbers(type, size);
  const strides = flat ? [1] : stridesOf(shape);
  const limits = flat ? [size] : shape;
  let last = -1;
  for (let i = 0; i < values.length; i++) {
    let at = 0;
    for (let axis = 0; axis < width; axis++) {
      const place = index[i * width + axis]!;
      if (!(place >= 0 && place < limits[axis]!))
        fail(
          who,
          `places in [${shape}]`,
          flat ? place : index.slice(i * width, (i + 1) * width).join(),
        );
      at += place * strides[axis]!;
    }
    if (at <= last) fail(who, 'places in order, each once', at);
    dense[at] = values[i]!;
    last = at;
  }
  return { kind: 'constant', shape, type, values: dense };
}

/** The named part of a file in the model's own folder. */
function externalBytes(t: TensorProto, who: string, external?: External): Uint8Array {
  const entry = (key: string): string | undefined =>
    t.external_data.find((pair) => pair.key === key)?.value;
  const name = entry('location') ?? '';
  const parts = name.split('/');
  const plain = /^[^\\:\0]+$/.test(name) && !parts.includes('..') && !name.startsWith('/');
  expect(plain, who, "a file inside the model's folder", `"${name}"`);
  const read = external ?? fail(who, 'a file beside the model', 'bytes alone', `It is ${name}.`);
  const file = read(name);
  const [offset, length] = [Number(entry('offset') ?? 0), Number(entry('length') ?? file.length)];
  const whole = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length >= 0;
  const end = entry('length') === undefined ? file.length : offset + length;
  expect(whole && offset <= end && end <= file.length, who, `bytes inside ${name}`, [offset, end]);
  return file.subarray(offset, end);
}
