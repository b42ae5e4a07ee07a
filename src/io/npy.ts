/**
 * NumPy `.npy` files, versions 1 to 3: a magic, the length of a header, the header (a Python dict
 * literal of `descr`, `fortran_order` and `shape`, matched here and never evaluated), the items.
 *
 * Read: booleans, integers, and floats of 16, 32 and 64 bits, either byte order, C or Fortran
 * order. Refused by name: objects (they are pickles), text, complex, records, dates. Written:
 * version 1, little-endian, C order. Format: numpy/lib/format.py.
 */
import { expect, fail } from '../errors';
import { type Dtype, ITEM_BYTES, toFloat32 } from './safetensors';
import { rowMajor } from './strided';

/** What arrays of numbers are read into and written from. */
export type NumericArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array;

export interface NpyArray {
  /** As stored. */
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /**
   * Row-major and exact: the dtype's own array; float16 widened to float32; 64-bit integers as
   * float64, of at most 2^53; booleans as bytes of 0 and 1.
   */
  readonly values: NumericArray;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
const MAX_HEADER = 64 << 10;
const MAX_AXES = 64;

const DTYPES: Readonly<Record<string, Dtype>> = {
  b1: 'BOOL',
  i1: 'I8',
  u1: 'U8',
  i2: 'I16',
  u2: 'U16',
  i4: 'I32',
  u4: 'U32',
  i8: 'I64',
  u8: 'U64',
  f2: 'F16',
  f4: 'F32',
  f8: 'F64',
};

/** What other letters of a descr stand for. */
const REFUSED: Readonly<Record<string, string>> = {
  O: 'Python objects (pickled; nothing is executed)',
  U: 'text',
  S: 'byte strings',
  a: 'byte strings',
  c: 'complex numbers',
  V: 'records',
  M: 'dates',
  m: 'time spans',
  f: 'extended floats',
};

/** Whether `bytes` begin as a `.npy` file does. */
export function isNpy(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

/**
 * The array of a `.npy` file; `who`, the file's name, begins every error.
 *
 * Raises EspalierError for another kind of file, a dtype that is refused, a header that is no dict
 * of the three keys, items that do not fill the shape or go beyond it, and integers above 2^53.
 */
export function readNpy(bytes: Uint8Array, who: string): NpyArray {
  const { header, data } = splitFile(bytes, who);
  const { descr, fortran, shape } = parseHeader(header, `${who}, header`);
  const { dtype, bigEndian } = parseDescr(descr, `${who}, descr`);
  const item = ITEM_BYTES[dtype];
  const size = shape.reduce((product, length) => product * length, item);
  const text = `[${shape.join(', ')}]`;
  expect(Number.isSafeInteger(size), `${who}, shape`, 'a size below 2^53 bytes', text);
  expect(data.length === size, `${who}, data`, `${size} bytes for shape ${text}`, data.length);
  const ordered = fortran && size > 0 ? fromFortran(data, item, shape) : data;
  const raw = bigEndian ? swapped(ordered, item) : ordered;
  return { dtype, shape, values: decode(raw, dtype, who) };
}

/** What a `.npy` file holds that is not read, such as text or objects; undefined for numbers. */
export function refusedKind(bytes: Uint8Array, who: string): string | undefined {
  const { descr } = parseHeader(splitFile(bytes, who).header, `${who}, header`);
  if (descr.startsWith('[')) return REFUSED.V;
  return dtypeOf(descr) ? undefined : (REFUSED[letterOf(descr)] ?? 'another type');
}

/** The `.npy` file of row-major `values`; raises EspalierError if they do not fill `shape`. */
export function writeNpy(values: NumericArray, shape: readonly number[]): Uint8Array {
  const size = shape.reduce((product, length) => product * length, 1);
  const sound = shape.every((length) => Number.isSafeInteger(length) && length >= 0);
  expect(sound && size === values.length, 'npy', `${values.length} values`, `shape [${shape}]`);
  const kind = values.constructor.name.startsWith('Float')
    ? 'f'
    : values.constructor.name.startsWith('Uint')
      ? 'u'
      : 'i';
  const width = values.BYTES_PER_ELEMENT;
  const descr = `${width === 1 ? '|' : '<'}${kind}${width}`;
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${axes}), }`;
  const start = Math.ceil((10 + dict.length + 1) / 64) * 64;
  const file = new Uint8Array(start + values.byteLength);
  const header = `${dict.padEnd(start - 11)}\n`;
  file.set([...MAGIC, 1, 0, header.length & 0xff, header.length >> 8]);
  file.set(new TextEncoder().encode(header), 10);
  file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), start);
  return file;
}

function splitFile(bytes: Uint8Array, who: string): { header: string; data: Uint8Array } {
  expect(isNpy(bytes), who, 'an npy file', 'another start');
  const [major] = bytes.subarray(6, 7);
  const version = major ?? 0;
  expect(version >= 1 && version <= 3, `${who}, version`, '1, 2 or 3', version);
  const start = version === 1 ? 10 : 12;
  expect(bytes.length >= start, who, `at least ${start} bytes`, bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const end = start + length;
  expect(length <= MAX_HEADER, `${who}, header length`, `at most ${MAX_HEADER}`, length);
  expect(end <= bytes.length, `${who}, header length`, 'a header in the file', length);
  return {
    header: new TextDecoder().decode(bytes.subarray(start, end)),
    data: bytes.subarray(end),
  };
}

/** One `'key': value` of the header and the comma after it; every branch is linear. */
const ENTRY =
  /\s*(['"])(\w+)\1\s*:\s*(True|False|'[^']*'|"[^"]*"|\([\d\sL,]*\)|\[[^\]]*\])\s*(?:,|(?=\s*\}))/y;

function parseHeader(
  header: string,
  who: string,
): { descr: string; fortran: boolean; shape: readonly number[] } {
  const found = new Map<string, string>();
  const text = header.trim();
  expect(text.startsWith('{') && text.endsWith('}'), who, 'a Python dict', 'something else');
  let at = 1;
  for (;;) {
    ENTRY.lastIndex = at;
    const match = ENTRY.exec(text);
    if (!match) break;
    at = ENTRY.lastIndex;
    expect(!found.has(match[2]!), who, 'every key once', `"${match[2]!.slice(0, 40)}" twice`);
    found.set(match[2]!, match[3]!);
  }
  const complete = found.size === 3 && text.slice(at).trim() === '}';
  const [descr, order, shape] = ['descr', 'fortran_order', 'shape'].map((key) => found.get(key));
  if (!complete || descr === undefined || order === undefined || shape === undefined)
    fail(who, 'a dict of descr, fortran_order and shape', 'something else');
  expect(order === 'True' || order === 'False', who, 'fortran_order True or False', 'another');
  expect(shape.startsWith('('), who, 'a tuple as shape', 'something else');
  const axes = shape
    .slice(1, -1)
    .split(',')
    .map((axis) => axis.trim());
  if (axes.at(-1) === '') axes.pop();
  expect(axes.length <= MAX_AXES, who, `at most ${MAX_AXES} axes`, axes.length);
  const fits = axes.every((axis) => /^\d{1,16}L?$/.test(axis));
  expect(fits, who, 'whole numbers as shape', 'others');
  return { descr, fortran: order === 'True', shape: axes.map((axis) => Number.parseInt(axis, 10)) };
}

function parseDescr(descr: string, who: string): { dtype: Dtype; bigEndian: boolean } {
  if (descr.startsWith('[')) fail(who, 'numbers', REFUSED.V);
  const dtype = dtypeOf(descr);
  if (dtype) return { dtype, bigEndian: descr[1] === '>' && ITEM_BYTES[dtype] > 1 };
  const letter = letterOf(descr);
  const what = Object.hasOwn(REFUSED, letter) ? `, which is ${REFUSED[letter]}` : '';
  return fail(who, 'booleans, integers or floats', `${descr.slice(0, 40)}${what}`);
}

function dtypeOf(descr: string): Dtype | undefined {
  const [, code = ''] = /^['"][<>|=]?([a-zA-Z]\d*)['"]$/.exec(descr.slice(0, 20)) ?? [];
  return Object.hasOwn(DTYPES, code) ? DTYPES[code] : undefined;
}

const letterOf = (descr: string): string => /[a-zA-Z]/.exec(descr.slice(0, 20))?.[0] ?? '';

/** Fortran order is row-major order with the axes reversed. */
function fromFortran(data: Uint8Array, item: number, shape: readonly number[]): Uint8Array {
  const strides: number[] = [];
  let stride = 1;
  for (const length of shape) {
    strides.push(stride);
    stride *= length;
  }
  return rowMajor(data, item, shape, strides);
}

function swapped(data: Uint8Array, item: number): Uint8Array {
  const out = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += item)
    for (let b = 0; b < item; b++) out[at + b] = data[at + item - 1 - b]!;
  return out;
}

/** Row-major little-endian bytes as numbers; always a copy, so any alignment will do. */
function decode(data: Uint8Array, dtype: Dtype, who: string): NumericArray {
  const { buffer } = data.slice();
  const own = ARRAYS[dtype];
  if (own) return new own(buffer);
  if (dtype === 'I64') return exact(new BigInt64Array(buffer), who);
  if (dtype === 'U64') return exact(new BigUint64Array(buffer), who);
  if (dtype === 'BOOL') return new Uint8Array(buffer).map((byte) => (byte === 0 ? 0 : 1));
  return toFloat32({ dtype, shape: [], data });
}

/** The arrays that hold a dtype as it is. */
const ARRAYS: { readonly [D in Dtype]?: new (buffer: ArrayBufferLike) => NumericArray } = {
  ...{ U8: Uint8Array, I8: Int8Array, I16: Int16Array, U16: Uint16Array },
  ...{ I32: Int32Array, U32: Uint32Array, F32: Float32Array, F64: Float64Array },
};

function exact(integers: BigInt64Array | BigUint64Array, who: string): Float64Array {
  const out = new Float64Array(integers.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = Number(integers[i]);
    expect(Math.abs(out[i]!) <= 2 ** 53, `${who}, item ${i}`, 'at most 2^53', integers[i]);
  }
  return out;
}
