/**
 * The numbers of a TensorProto, in any element type, raw or in typed fields or in a file beside. What
 * is allocated never exceeds what the bytes really hold. Hosts are little-endian, as files are.
 */
import { expect, fail } from '../../errors';
import { type Shape, sizeOf } from '../../tensor/shape';
import { bfloatToNumber, halfToNumber } from '../safetensors';
import type { TensorProto } from './proto';

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
  readonly bytes: number;
  /** Held in float32 without loss. */
  readonly single?: true;
  readonly field: TypedField;
  raw(view: DataView, at: number): number;
  /** From an entry of the typed field, where that is not the number itself. */
  typed?(entry: number): number;
}

export const FLOAT = 1;
export const INT64 = 7;

/** By the numbers of TensorProto.DataType. */
export const ELEMENTS: Readonly<Record<number, Element>> = {
  [FLOAT]: {
    ...{ name: 'float', kind: 'float', bytes: 4, single: true, field: 'float_data' },
    raw: (v, at) => v.getFloat32(at, true),
  },
  2: {
    ...{ name: 'uint8', kind: 'whole', bytes: 1, field: 'int32_data' },
    raw: (v, at) => v.getUint8(at),
  },
  3: {
    ...{ name: 'int8', kind: 'whole', bytes: 1, field: 'int32_data' },
    raw: (v, at) => v.getInt8(at),
  },
  4: {
    ...{ name: 'uint16', kind: 'whole', bytes: 2, field: 'int32_data' },
    raw: (v, at) => v.getUint16(at, true),
  },
  5: {
    ...{ name: 'int16', kind: 'whole', bytes: 2, field: 'int32_data' },
    raw: (v, at) => v.getInt16(at, true),
  },
  6: {
    ...{ name: 'int32', kind: 'whole', bytes: 4, field: 'int32_data' },
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
    raw: (v, at) => halfToNumber(v.getUint16(at, true)),
    typed: halfToNumber,
  },
  11: {
    ...{ name: 'double', kind: 'float', bytes: 8, field: 'double_data' },
    raw: (v, at) => v.getFloat64(at, true),
  },
  12: {
    ...{ name: 'uint32', kind: 'whole', bytes: 4, field: 'uint64_data' },
    raw: (v, at) => v.getUint32(at, true),
  },
  13: {
    ...{ name: 'uint64', kind: 'whole', bytes: 8, field: 'uint64_data' },
    raw: (v, at) => Number(v.getBigUint64(at, true)),
  },
  16: {
    ...{ name: 'bfloat16', kind: 'float', bytes: 2, single: true, field: 'int32_data' },
    raw: (v, at) => bfloatToNumber(v.getUint16(at, true)),
    typed: bfloatToNumber,
  },
};

export function elementOf(type: number, who: string): Element {
  return ELEMENTS[type] ?? fail(who, 'a float, integer or boolean element type', `type ${type}`);
}

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
  const bytes = size * element.bytes;
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
