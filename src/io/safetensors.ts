/**
 * safetensors, written from the published description of the format: 8 bytes of header length
 * (little-endian u64), a JSON header `{name: {dtype, shape, data_offsets: [begin, end]}}` with
 * optional string pairs in `__metadata__`, then the tensors' bytes, row-major and little-endian.
 *
 * The reader treats the file as hostile and checks, one sentence each:
 * the header's length is at most 100 MB and inside the file; the header is UTF-8, starts with `{`,
 * is a JSON object (spaces may follow) and no object in it repeats a key; a dtype is known; a shape
 * is a list of non-negative safe integers; offsets tile the data in order, without gap, overlap or
 * rest; a tensor's bytes are the product of its shape times its item size; metadata maps strings to
 * strings. Names live in Maps and null-prototype objects, so none of them is special.
 *
 * The writer is deterministic and orders as the reference implementation does (dtype, then name;
 * wide items first, so every tensor is aligned; header padded to 8 bytes with spaces).
 * Deviation: the sub-byte and 8-bit float types and complex numbers are not known here.
 *
 * Hosts are little-endian, as everywhere WebAssembly runs in practice. Cost: the header is walked
 * three times, the data never copied by `decode`.
 */
import { expect, fail, quote } from '../errors';
import { parseJson } from '../json';

/** The dtypes, in the reference implementation's order of alignment; the values are item bytes. */
export const ITEM_BYTES = {
  ...{ BOOL: 1, U8: 1, I8: 1 },
  ...{ I16: 2, U16: 2, F16: 2, BF16: 2 },
  ...{ I32: 4, U32: 4, F32: 4 },
  ...{ F64: 8, I64: 8, U64: 8 },
} as const;

export type Dtype = keyof typeof ITEM_BYTES;

const DTYPES = Object.keys(ITEM_BYTES) as readonly Dtype[];
const MAX_HEADER_BYTES = 100_000_000;
const METADATA = '__metadata__';

/** Any typed array. */
export type TypedArray =
  | Uint8Array
  | Int8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/**
 * A tensor to write. `data` is the dtype's own array (F16, BF16: their bits in a Uint16Array; BOOL:
 * a Uint8Array of 0 and 1), or the raw little-endian bytes in a Uint8Array.
 */
export interface TensorInput {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** A tensor as read. `data` is a view of the file's bytes, of any alignment. */
export interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export interface Decoded {
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The string pairs of `__metadata__`, on an object without prototype; empty if absent. */
  readonly metadata: Readonly<Record<string, string>>;
}

type ArrayConstructor = { readonly name: string };

const ARRAYS: Readonly<Record<Dtype, ArrayConstructor>> = {
  ...{ BOOL: Uint8Array, U8: Uint8Array, I8: Int8Array },
  ...{ I16: Int16Array, U16: Uint16Array, F16: Uint16Array, BF16: Uint16Array },
  ...{ I32: Int32Array, U32: Uint32Array, F32: Float32Array },
  ...{ F64: Float64Array, I64: BigInt64Array, U64: BigUint64Array },
};

/**
 * The file of `tensors` (a plain object or a Map) and `metadata`; equal content gives equal bytes
 * whatever the order of insertion.
 *
 * Raises EspalierError for an unknown dtype, a shape that does not fit the data, data of another
 * array type, a name or metadata that is not well-formed text, or a header above 100 MB.
 */
export function encode(
  tensors: Readonly<Record<string, TensorInput>> | ReadonlyMap<string, TensorInput>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const entries: [string, TensorInput][] =
    tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  entries.sort(([nameA, a], [nameB, b]) => {
    const byDtype = DTYPES.indexOf(b.dtype) - DTYPES.indexOf(a.dtype);
    return byDtype || compare(nameA, nameB);
  });
  const parts: string[] = [];
  const pairs = Object.entries(metadata).sort(([a], [b]) => compare(a, b));
  for (const [key, value] of pairs) {
    checkText(key, `metadata key ${quote(key)}`);
    checkText(value, `metadata ${quote(key)}`);
  }
  if (pairs.length > 0) {
    const body = pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    parts.push(`"${METADATA}":{${body.join(',')}}`);
  }
  let end = 0;
  for (const [name, tensor] of entries) {
    const begin = end;
    end += checkInput(name, tensor);
    const { dtype, shape } = tensor;
    parts.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],` +
        `"data_offsets":[${begin},${end}]}`,
    );
  }
  const header = new TextEncoder().encode(`{${parts.join(',')}}`);
  const length = Math.ceil(header.length / 8) * 8;
  expect(length <= MAX_HEADER_BYTES, 'safetensors header', 'at most 100 MB', `${length} bytes`);
  const file = new Uint8Array(8 + length + end);
  new DataView(file.buffer).setUint32(0, length, true);
  file.set(header, 8);
  file.fill(0x20, 8 + header.length, 8 + length);
  let at = 8 + length;
  for (const [, { data }] of entries) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/** Checks one tensor to write; its byte length. */
function checkInput(name: string, { dtype, shape, data }: TensorInput): number {
  const who = `tensor ${quote(name)}`;
  checkText(name, who);
  expect(name !== METADATA, who, `a name other than ${METADATA}`, name);
  expect(isDtype(dtype), `${who}.dtype`, `one of ${DTYPES.join(', ')}`, dtype);
  const bytes = byteLength(shape, dtype, `${who}.shape`);
  const type = Object.prototype.toString.call(data).slice(8, -1);
  const fits = type === ARRAYS[dtype].name || type === 'Uint8Array';
  expect(fits, `${who}.data`, `${ARRAYS[dtype].name} or raw bytes in a Uint8Array`, type);
  expect(
    data.byteLength === bytes,
    `${who}.data`,
    `${bytes} bytes for ${dtype} of shape [${shape.join(', ')}]`,
    data.byteLength,
  );
  return bytes;
}

/**
 * The tensors and metadata of a safetensors file; `who` (the file's name) begins every error. The
 * data are views: keep `bytes` unchanged while they are in use.
 *
 * Raises EspalierError for anything that breaks a rule in this file's header, and nothing else.
 */
export function decode(bytes: Uint8Array, who: string): Decoded {
  const { header, data } = splitFile(bytes, who);
  const metadata: Record<string, string> = Object.create(null);
  const found: { name: string; entry: TensorEntry; begin: number; end: number }[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA) readMetadata(value, metadata, who);
    else found.push(readTensor(name, value, data, who));
  }
  found.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const tensors = new Map<string, TensorEntry>();
  let at = 0;
  for (const { name, entry, begin, end } of found) {
    const field = `${who}, tensor ${quote(name)}.data_offsets`;
    expect(begin === at, field, `to begin at ${at}, where the tensor before ends`, begin);
    at = end;
    tensors.set(name, entry);
  }
  expect(at === data.length, `${who}, data`, `${at} bytes, as the header says`, data.length);
  return { tensors, metadata };
}

/** Cuts the file into its checked JSON header and its data. */
function splitFile(
  bytes: Uint8Array,
  who: string,
): { header: Record<string, unknown>; data: Uint8Array } {
  const field = `${who}, header`;
  expect(bytes.length >= 8, who, 'at least 8 bytes', `${bytes.length}`, 'The file is cut short.');
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const length = view.getUint32(4, true) * 0x100000000 + view.getUint32(0, true);
  expect(length <= MAX_HEADER_BYTES, `${field} length`, `at most ${MAX_HEADER_BYTES}`, length);
  const rest = bytes.length - 8;
  expect(length <= rest, `${field} length`, `at most the ${rest} bytes that follow`, length);
  const raw = bytes.subarray(8, 8 + length);
  expect(raw[0] === 0x7b, field, 'to start with "{"', raw.length ? `byte ${raw[0]}` : 'nothing');
  const what = 'a JSON object in UTF-8';
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
  } catch (error) {
    return fail(field, what, error instanceof Error ? error.message : error);
  }
  const header = parseJson(text, field, what);
  // JSON.parse silently keeps the last of two equal keys; another reader may keep the first.
  const repeated = repeatedKey(text);
  expect(repeated === undefined, field, 'every key once', `${repeated} twice`);
  expect(isObject(header), field, 'a JSON object', 'something else');
  return { header, data: bytes.subarray(8 + length) };
}

/** Copies `__metadata__` into `into`, checked. */
function readMetadata(value: unknown, into: Record<string, string>, who: string): void {
  const field = `${who}, ${METADATA}`;
  expect(isObject(value), field, 'an object of strings', describe(value));
  for (const [key, text] of Object.entries(value)) {
    checkText(key, `${field} key`);
    checkText(text, `${field} ${quote(key)}`);
    into[key] = text;
  }
}

/** Checks one header entry; its offsets lie inside the data and fit its shape and dtype. */
function readTensor(
  name: string,
  value: unknown,
  data: Uint8Array,
  who: string,
): { name: string; entry: TensorEntry; begin: number; end: number } {
  const field = `${who}, tensor ${quote(name)}`;
  checkText(name, field);
  expect(isObject(value), field, 'an object', describe(value));
  const { dtype, shape, data_offsets: offsets } = value;
  expect(isDtype(dtype), `${field}.dtype`, `one of ${DTYPES.join(', ')}`, describe(dtype));
  const bytes = byteLength(shape, dtype, `${field}.shape`);
  const where = `${field}.data_offsets`;
  const fits = Array.isArray(offsets) && offsets.length === 2 && offsets.every(isSize);
  expect(fits, where, 'two non-negative integers', describe(offsets));
  const [begin, end] = offsets as [number, number];
  expect(begin <= end, where, 'begin <= end', `${begin}, ${end}`);
  expect(end <= data.length, where, `an end within the ${data.length} data bytes`, end);
  expect(end - begin === bytes, where, `${bytes} bytes for its shape and dtype`, end - begin);
  const entry = { dtype, shape: shape as readonly number[], data: data.subarray(begin, end) };
  return { name, entry, begin, end };
}

/** Item size times the product of `shape`, checked against overflow. */
function byteLength(shape: unknown, dtype: Dtype, who: string): number {
  const fits = Array.isArray(shape) && shape.every(isSize);
  expect(fits, who, 'a list of non-negative integers', describe(shape));
  let bytes: number = ITEM_BYTES[dtype];
  for (const size of shape as number[]) {
    bytes *= size;
    expect(Number.isSafeInteger(bytes), who, 'a size below 2^53 bytes', describe(shape));
  }
  return bytes;
}

/**
 * The first key that occurs twice in one object of `text`, which is known to be valid JSON; in
 * quotes. Keys are compared after unescaping.
 */
function repeatedKey(text: string): string | undefined {
  // One entry a level: the keys of an object so far, or null for an array.
  const levels: (Set<string> | null)[] = [];
  let keyNext = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x7b || char === 0x5b) {
      levels.push(char === 0x7b ? new Set() : null);
      keyNext = char === 0x7b;
    } else if (char === 0x7d || char === 0x5d) {
      levels.pop();
      keyNext = false;
    } else if (char === 0x2c) {
      keyNext = levels.at(-1) !== null;
    } else if (char === 0x22) {
      const start = i++;
      while (text.charCodeAt(i) !== 0x22) i += text.charCodeAt(i) === 0x5c ? 2 : 1;
      const keys = levels.at(-1);
      if (!keyNext || !keys) continue;
      const quoted = text.slice(start, i + 1);
      const key: string = JSON.parse(quoted);
      if (keys.has(key)) return quote(key);
      keys.add(key);
      keyNext = false;
    }
  }
  return undefined;
}

/** A copy of the float32 numbers in whole words of bytes, wherever these lie. */
export function floatsOf(data: Uint8Array): Float32Array {
  const out = new Float32Array(data.length / 4);
  new Uint8Array(out.buffer).set(data);
  return out;
}

/**
 * A tensor's values as float32, rounded to nearest (64-bit integers by way of float64). BOOL: 0 is
 * 0, any other byte 1. A copy always, so the result outlives the file.
 */
export function toFloat32({ dtype, data }: TensorEntry): Float32Array {
  const size = ITEM_BYTES[dtype];
  expect(data.length % size === 0, `${dtype} data`, `a multiple of ${size} bytes`, data.length);
  if (dtype === 'F32') return floatsOf(data);
  const out = new Float32Array(data.length / size);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const read = READERS[dtype];
  for (let i = 0; i < out.length; i++) out[i] = read(view, i * size);
  return out;
}

const READERS: Readonly<Record<Dtype, (view: DataView, at: number) => number>> = {
  BOOL: (view, at) => (view.getUint8(at) === 0 ? 0 : 1),
  U8: (view, at) => view.getUint8(at),
  I8: (view, at) => view.getInt8(at),
  I16: (view, at) => view.getInt16(at, true),
  U16: (view, at) => view.getUint16(at, true),
  F16: (view, at) => halfToNumber(view.getUint16(at, true)),
  BF16: (view, at) => bfloatToNumber(view.getUint16(at, true)),
  I32: (view, at) => view.getInt32(at, true),
  U32: (view, at) => view.getUint32(at, true),
  F32: (view, at) => view.getFloat32(at, true),
  F64: (view, at) => view.getFloat64(at, true),
  I64: (view, at) => Number(view.getBigInt64(at, true)),
  U64: (view, at) => Number(view.getBigUint64(at, true)),
};

/** The value of IEEE 754 binary16 bits: 1 sign, 5 exponent, 10 fraction; exact. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

const SCRATCH = new DataView(new ArrayBuffer(4));

/** The value of bfloat16 bits, which are the upper half of a float32. */
export function bfloatToNumber(bits: number): number {
  SCRATCH.setUint32(0, bits << 16);
  return SCRATCH.getFloat32(0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(ITEM_BYTES, value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
}

/** Text without lone surrogates, which UTF-8 cannot hold. */
function checkText(value: unknown, who: string): asserts value is string {
  expect(typeof value === 'string', who, 'a string', describe(value));
  expect(!/\p{Surrogate}/u.test(value), who, 'well-formed Unicode', 'a lone surrogate');
}

/** Code point order, which is the order of the UTF-8 bytes. */
function compare(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  for (let i = 0; i < left.length && i < right.length; i++) {
    const step = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (step !== 0) return step;
  }
  return left.length - right.length;
}

/** A value from a hostile file in a few words; never walks into it, as it may be nested deeply. */
function describe(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) {
    const flat = value.length <= 8 && value.every((item) => typeof item === 'number');
    return flat ? `[${value.join(', ')}]` : `a list of ${value.length} items`;
  }
  if (typeof value === 'object' && value !== null) return 'an object';
  return value === undefined ? 'nothing' : String(value);
}
