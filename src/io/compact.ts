/**
 * The reader of compact models: Deep Compression (Han, Mao, Dally 2016) in a safetensors container.
 *
 * `__metadata__` holds the mark `espalier-compact/1`, the network, and under `coded`, by parameter,
 * `{shape, nonzero, centroids, steps, codes}`. A coded parameter is a U8 tensor of three parts:
 * `centroids` float32 values; `codes` bytes of deflate data that expand to one byte a non-zero
 * weight, the number of its value; the rest, deflate data that expand to `steps` bytes: how many
 * zeros stand in front of each non-zero weight in row-major order, 255 standing for 255 zeros and
 * no weight. With 0 centroids the first part is the non-zero weights themselves and there are no
 * codes. Other parameters are F32 tensors. The last four bytes of the file, the tensor `~crc32`, are
 * the CRC-32 of all bytes before them.
 *
 * Decoding gives the weights that were encoded, bit by bit. The file is treated as hostile: every
 * size is checked before anything of that size is made. Parameters are decoded when asked for, so
 * what is held beside the result is one parameter's codes and steps, 2 bytes a non-zero weight.
 *
 * Deviations from the paper: relative indices are bytes and not 5 or 8 bits, as Huffman codes follow
 * anyway; a gap too long for a byte takes no filler weight; the Huffman codes are deflate's.
 * Cost: one pass over the non-zero weights, about 10 ns each for inflating and placing.
 */
import { expect, fail, quote } from '../errors';
import { crc32 } from './crc32';
import type { Inflate } from './inflate';
import { COMPACT, type Metadata, parseMetadata } from './metadata';
import { type Decoded, decode, floatsOf, type TensorEntry } from './safetensors';

export const CHECKSUM = '~crc32';
/** In the stream of steps: so many zeros and no weight after them. */
export const SKIP = 255;
/** Deflate's largest expansion. */
const MAX_EXPANSION = 1032;
/** Largest size of all parameters as float32, unless the caller sets another. */
const MAX_BYTES = 2 ** 30;
const DAMAGED = 'The file is damaged; fetch it again.';

/** What `coded` says about a parameter. */
export interface Coding {
  readonly shape: readonly number[];
  /** Weights that are not zero. */
  readonly nonzero: number;
  /** Values they share; 0 where each has its own. */
  readonly centroids: number;
  /** Bytes of gaps once inflated. */
  readonly steps: number;
  /** Bytes of codes in the file. */
  readonly codes: number;
}

export interface SparseTensor {
  readonly shape: readonly number[];
  /** Row-major places of the non-zero weights, ascending. */
  readonly positions: Uint32Array;
  readonly values: Float32Array;
}

/** The parts of a coded parameter, each decoded at each call; of its sizes they are sure. */
export interface Parts {
  /** The values that weights share, or the weights where each has its own. */
  table(): Float32Array;
  /** Where values are shared: the number of its value of each weight that is not zero. */
  codes(): Uint8Array;
  /** The gaps. */
  steps(): Uint8Array;
}

export interface CompactTensor {
  readonly shape: readonly number[];
  /** Elements of the dense tensor. */
  readonly size: number;
  /** How it is coded, or undefined for float32. */
  readonly coding: Coding | undefined;
  readonly parts: Parts | undefined;
  /** In the file. */
  readonly bytes: number;
  /** The dense tensor, decoded at each call. */
  readonly values: Float32Array;
  /** The non-zero weights alone, decoded at each call; all elements of one that is not coded. */
  sparse(): SparseTensor;
}

export interface CompactFile {
  readonly metadata: Metadata;
  /** All parameters decoded: value and place of each non-zero weight, the others as float32. */
  readonly decodedBytes: number;
  readonly names: readonly string[];
  has(name: string): boolean;
  tensor(name: string): CompactTensor;
}

/**
 * A compact model; `who` (the file's name) begins every error, `bytes` must stay as they are while it
 * is in use, and `inflate` is what `inflater` gives. `maxBytes` bounds the size of all parameters as
 * float32.
 *
 * Raises EspalierError for a file that is cut, altered, of another version, or whose sizes disagree;
 * what lies inside the deflate data is checked when a parameter is decoded.
 */
export function readCompact(
  bytes: Uint8Array,
  who: string,
  inflate: Inflate,
  { maxBytes = MAX_BYTES }: { readonly maxBytes?: number } = {},
): CompactFile {
  const decoded = decode(bytes, who);
  const { coded, ...metadata } = parseMetadata(decoded, COMPACT, who);
  checkSum(bytes, decoded, who);
  expect(isObject(coded), `${who}: coded`, 'an object', typeof coded);
  const tensors = new Map<string, CompactTensor>();
  let [total, decodedBytes] = [0, 0];
  for (const [name, entry] of decoded.tensors) {
    if (name === CHECKSUM) continue;
    const field = `${who}, tensor ${quote(name)}`;
    const tensor = Object.hasOwn(coded, name)
      ? codedTensor(entry, coded[name], inflate, field)
      : plainTensor(entry, field);
    total += 4 * tensor.size;
    expect(total <= maxBytes, field, `parameters of at most ${maxBytes} bytes in all`, total);
    decodedBytes += tensor.coding ? 8 * tensor.coding.nonzero : 4 * tensor.size;
    tensors.set(name, tensor);
  }
  const missing = Object.keys(coded).find((name) => !tensors.has(name));
  expect(missing === undefined, `${who}: coded`, 'tensors of the file', missing);
  return {
    metadata,
    decodedBytes,
    names: [...tensors.keys()],
    has: (name) => tensors.has(name),
    tensor: (name) => tensors.get(name) ?? fail(who, `a tensor ${name}`, 'none'),
  };
}

function checkSum(bytes: Uint8Array, { tensors }: Decoded, who: string): void {
  const entry = [...tensors].at(-1);
  const last = entry?.[0] === CHECKSUM && entry[1].data.length === 4;
  expect(last, who, `a checksum as the last tensor, ${CHECKSUM}`, entry?.[0] ?? 'no tensor');
  const end = bytes.length - 4;
  const stored = new DataView(bytes.buffer, bytes.byteOffset + end, 4).getUint32(0, true);
  const found = crc32(bytes.subarray(0, end));
  expect(stored === found, who, `the checksum ${hex(stored)}`, hex(found), DAMAGED);
}

const hex = (value: number): string => value.toString(16).padStart(8, '0');

function plainTensor(entry: TensorEntry, who: string): CompactTensor {
  const { dtype, shape, data } = entry;
  expect(dtype === 'F32', `${who}.dtype`, 'F32, as it is not coded', dtype);
  const size = data.length / 4;
  return {
    shape,
    size,
    coding: undefined,
    parts: undefined,
    bytes: data.length,
    get values() {
      return floatsOf(data);
    },
    sparse: () => ({
      shape,
      positions: Uint32Array.from({ length: size }, (_, i) => i),
      values: floatsOf(data),
    }),
  };
}

function codedTensor(
  { dtype, data }: TensorEntry,
  value: unknown,
  inflate: Inflate,
  who: string,
): CompactTensor {
  expect(dtype === 'U8', `${who}.dtype`, 'U8, as it is coded', dtype);
  const coding = checkCoding(value, data.length, who);
  const { shape } = coding;
  const size = product(shape);
  const parts = partsOf(coding, data, inflate, who);
  const sparse = (): SparseTensor => ({
    shape,
    positions: placesOf(coding, parts.steps(), size, who),
    values: valuesOf(coding, parts, who),
  });
  return {
    shape,
    size,
    coding,
    parts,
    bytes: data.length,
    get values() {
      const { positions, values } = sparse();
      const dense = new Float32Array(size);
      for (let i = 0; i < positions.length; i++) dense[positions[i]!] = values[i]!;
      return dense;
    },
    sparse,
  };
}

function partsOf(coding: Coding, data: Uint8Array, inflate: Inflate, who: string): Parts {
  const { nonzero, centroids, steps, codes } = coding;
  const head = 4 * (centroids || nonzero);
  const inflated = (packed: Uint8Array, size: number, part: string): Uint8Array =>
    exactly(inflate, packed, size, `${who}: ${part}`);
  return {
    table: () => floatsOf(data.subarray(0, head)),
    codes: () => inflated(data.subarray(head, head + codes), nonzero, 'codes'),
    steps: () => inflated(data.subarray(head + codes), steps, 'steps'),
  };
}

/** The description of a coded parameter whose tensor has `length` bytes, every size checked. */
function checkCoding(value: unknown, length: number, who: string): Coding {
  expect(isObject(value), who, 'its coding, an object', typeof value);
  const { shape } = value;
  const sized = Array.isArray(shape) && shape.every(isSize) && product(shape) < 2 ** 32;
  expect(sized, `${who}: shape`, 'sizes with a product below 2^32', JSON.stringify(shape));
  const size = product(shape);
  const upTo = (key: string, max: number): number => {
    const n = value[key];
    expect(isSize(n) && n <= max, `${who}: ${key}`, `a whole number in [0, ${max}]`, `${n}`);
    return n;
  };
  const nonzero = upTo('nonzero', size);
  const centroids = upTo('centroids', 256);
  const rest = length - 4 * (centroids || nonzero);
  expect(rest >= 0, who, `at least ${length - rest} bytes`, length, DAMAGED);
  const codes = upTo('codes', rest);
  const steps = upTo('steps', Math.min(size, MAX_EXPANSION * (rest - codes)));
  const enough = centroids === 0 || nonzero <= MAX_EXPANSION * codes;
  expect(enough, `${who}: nonzero`, `at most ${MAX_EXPANSION * codes}, by the codes`, nonzero);
  return { shape, nonzero, centroids, steps, codes };
}

function placesOf({ nonzero }: Coding, gaps: Uint8Array, size: number, who: string): Uint32Array {
  const positions = new Uint32Array(nonzero);
  let [at, count] = [0, 0];
  // By index: iterators are slow before they are compiled, which is when a fresh process is here.
  for (let i = 0; i < gaps.length; i++) {
    const gap = gaps[i]!;
    at += gap;
    if (gap === SKIP) continue;
    if (count < nonzero) positions[count] = at;
    count++;
    at++;
  }
  expect(count === nonzero, `${who}: steps`, `${nonzero} weights`, count, DAMAGED);
  expect(at <= size, `${who}: steps`, `places below ${size}`, at, DAMAGED);
  return positions;
}

function valuesOf({ nonzero, centroids }: Coding, parts: Parts, who: string): Float32Array {
  const table = parts.table();
  if (centroids === 0) return table;
  const numbers = parts.codes();
  const values = new Float32Array(nonzero);
  for (let i = 0; i < nonzero; i++) {
    const code = numbers[i]!;
    if (code >= centroids) fail(`${who}: codes`, `numbers below ${centroids}`, code, DAMAGED);
    values[i] = table[code]!;
  }
  return values;
}

/** Deflate data that must expand to exactly `size` bytes; memory for one more byte is all it gets. */
function exactly(inflate: Inflate, packed: Uint8Array, size: number, who: string): Uint8Array {
  if (size === 0 && packed.length === 0) return packed;
  let out: Uint8Array | undefined;
  try {
    out = inflate(packed, size + 1);
  } catch (error) {
    const more = (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE';
    if (!more)
      fail(who, 'deflate data', error instanceof Error ? error.message : 'damage', DAMAGED);
  }
  const got = !out || out.length > size ? 'more' : out.length;
  expect(out?.length === size, who, `${size} bytes once inflated`, got, DAMAGED);
  return out;
}

const product = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);

const isSize = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
