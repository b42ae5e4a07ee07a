/**
 * Zip archives for the readers of `.npz` and `.pt`: the directory is walked and checked here,
 * deflate and writing are fflate's.
 *
 * fflate's own `unzipSync` is not used, as for a hostile file it is too trusting: it fills a plain
 * object (of two equal names the last one wins), inflates without a limit and checks no checksum.
 * Here: one disk, no encryption, every name once, ranges inside the file and without overlap (which
 * rules out the bombs whose entries share one kernel of data), the local header under the same
 * name, stored or deflated only, and a cap on what all entries expand to. Nothing is inflated
 * before it is asked for, and inflating stops at the size the directory promised.
 */
import { Inflate, zipSync } from 'fflate';
import { EspalierError, expect, fail, quote } from '../errors';
import { crc32 } from './crc32';
import { expansionCap } from './limits';

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const UNSET = 0xffffffff;
const UTF8 = new TextDecoder();

/** Bytes inflated at a time: at most 1032 times as many come out before the next check. */
const CHUNK = 16 << 10;
export interface Zip {
  /** In the order of the directory; each once. */
  readonly names: readonly string[];
  /** The content of an entry: a view of the file if stored. Checks the CRC-32 unless told not to. */
  read(name: string, options?: { readonly checksum?: boolean }): Uint8Array;
}

interface Entry {
  readonly name: string;
  readonly stored: boolean;
  readonly crc: number;
  /** Bytes once inflated. */
  readonly size: number;
  /** Where the packed bytes begin and end in the file. */
  readonly begin: number;
  readonly end: number;
}

/** Whether `bytes` begin as a zip archive does (an empty one has no first entry). */
export function isZip(bytes: Uint8Array): boolean {
  if (bytes.length < 22) return false;
  const start = viewOf(bytes).getUint32(0, true);
  return start === LOCAL || start === END;
}

/**
 * Names in an archive that may be damaged: those of its directory, or of its first entry where there is
 * none. Nothing is checked; for telling kinds of archives apart.
 */
export function zipNames(bytes: Uint8Array): string[] {
  const view = viewOf(bytes);
  const names: string[] = [];
  const end = endOf(view);
  let at = end === undefined ? bytes.length : directoryAt(view, end).begin;
  while (at + 46 <= bytes.length && view.getUint32(at, true) === CENTRAL) {
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    names.push(UTF8.decode(bytes.subarray(at + 46, nameEnd)));
    at = nameEnd + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  if (names.length === 0 && bytes.length >= 30)
    names.push(UTF8.decode(bytes.subarray(30, 30 + view.getUint16(26, true))));
  return names;
}

/** The checked directory of an archive; raises EspalierError for whatever the header rules out. */
export function openZip(bytes: Uint8Array, who: string): Zip {
  const entries = new Map<string, Entry>();
  let total = 0;
  for (const entry of readDirectory(bytes, who)) {
    expect(!entries.has(entry.name), who, 'every name once', `${quote(entry.name)} twice`);
    entries.set(entry.name, entry);
    total += entry.size;
  }
  const cap = expansionCap(bytes.length);
  expect(total <= cap, who, `at most ${cap} bytes after decompression`, total);
  let free = 0;
  for (const { name, begin, end } of [...entries.values()].sort((a, b) => a.begin - b.begin)) {
    expect(begin >= free, `${who}, ${quote(name)}`, 'data of its own', 'an overlap with another');
    free = end;
  }
  return {
    names: [...entries.keys()],
    read(name, { checksum = true } = {}) {
      const entry = entries.get(name) ?? fail(who, `an entry ${quote(name)}`, 'none');
      const field = `${who}, ${quote(name)}`;
      const packed = bytes.subarray(entry.begin, entry.end);
      const content = entry.stored ? packed : inflate(packed, entry.size, field);
      if (checksum)
        expect(crc32(content) === entry.crc, field, 'its checksum to hold', 'another', DAMAGED);
      return content;
    },
  };
}

/** An archive of `files`; equal content gives equal bytes (the time stamp is always 1980). */
export function writeZip(files: ReadonlyMap<string, Uint8Array>, compress: boolean): Uint8Array {
  return zipSync(Object.fromEntries(files), {
    level: compress ? 6 : 0,
    mtime: new Date(1980, 0, 1),
  });
}

const DAMAGED = 'The file is damaged; fetch it again.';

function readDirectory(bytes: Uint8Array, who: string): Entry[] {
  const view = viewOf(bytes);
  const { count, begin, end } = findDirectory(view, who);
  const entries: Entry[] = [];
  let at = begin;
  for (let i = 0; i < count; i++) {
    const whole = at + 46 <= end && view.getUint32(at, true) === CENTRAL;
    expect(whole, `${who}, zip directory`, `${count} entries`, `${i}`, DAMAGED);
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    expect(next <= end, `${who}, zip directory`, 'entries inside of it', 'one beyond', DAMAGED);
    entries.push(readEntry(bytes, at, { nameEnd, extraEnd }, who));
    at = next;
  }
  return entries;
}

/** Where the record at the file's end begins; undefined if there is none. */
function endOf(view: DataView): number | undefined {
  const size = view.byteLength;
  for (let at = size - 22; at >= 0 && at >= size - 22 - 0xffff; at--)
    if (view.getUint32(at, true) === END && at + 22 + view.getUint16(at + 20, true) === size)
      return at;
  return undefined;
}

interface Directory {
  readonly count: number;
  readonly length: number;
  readonly begin: number;
  /** Where it must end. */
  readonly limit: number;
}

/** What the record at `end`, or its 64-bit companion, says; a limit of -1 where that is missing. */
function directoryAt(view: DataView, end: number): Directory {
  if (end >= 20 && view.getUint32(end - 20, true) === LOCATOR64) {
    const at = uint64(view, end - 12);
    const found = at + 56 <= end - 20 && view.getUint32(at, true) === END64;
    if (!found) return { count: 0, length: 0, begin: Number.POSITIVE_INFINITY, limit: -1 };
    const [count, length, begin] = [32, 40, 48].map((offset) => uint64(view, at + offset));
    return { count: count!, length: length!, begin: begin!, limit: at };
  }
  const count = view.getUint16(end + 10, true);
  const [length, begin] = [12, 16].map((offset) => view.getUint32(end + offset, true));
  return { count, length: length!, begin: begin!, limit: end };
}

function findDirectory(view: DataView, who: string): { count: number; begin: number; end: number } {
  const hint = 'The file may be cut short; fetch it again.';
  const at = endOf(view) ?? fail(who, 'a zip directory at the end', 'none', hint);
  const { count, length, begin, limit } = directoryAt(view, at);
  expect(limit >= 0, who, 'a 64-bit zip directory', 'a pointer to none', DAMAGED);
  const fits = begin + length <= limit && count * 46 <= length;
  expect(fits, `${who}, zip directory`, 'to lie inside the file', 'it does not', DAMAGED);
  return { count, begin, end: begin + length };
}

/** One entry of the directory at `at`, checked against its local header. */
function readEntry(
  bytes: Uint8Array,
  at: number,
  { nameEnd, extraEnd }: { nameEnd: number; extraEnd: number },
  who: string,
): Entry {
  const view = viewOf(bytes);
  const name = UTF8.decode(bytes.subarray(at + 46, nameEnd));
  const field = `${who}, ${quote(name)}`;
  expect((view.getUint16(at + 8, true) & 1) === 0, field, 'plain data', 'encrypted data');
  const method = view.getUint16(at + 10, true);
  expect(method === 0 || method === 8, field, 'stored or deflated data', `method ${method}`);
  const [size, packed, local] = sizesOf(view, at, nameEnd, extraEnd);
  const hasLocal = local + 30 <= bytes.length && view.getUint32(local, true) === LOCAL;
  expect(hasLocal, field, 'a local header', 'none at its place', DAMAGED);
  const localNameEnd = local + 30 + view.getUint16(local + 26, true);
  const begin = localNameEnd + view.getUint16(local + 28, true);
  const localName = UTF8.decode(bytes.subarray(local + 30, localNameEnd));
  expect(localName === name, field, 'the same name in its header', quote(localName), DAMAGED);
  const end = begin + packed;
  expect(end <= bytes.length, field, 'data inside the file', `an end at ${end}`, DAMAGED);
  const stored = method === 0;
  expect(!stored || packed === size, field, `${size} stored bytes`, packed, DAMAGED);
  return { name, stored, crc: view.getUint32(at + 16, true), size, begin, end };
}

/** Size, packed size and place of the local header; values of 2^32 and more stand in the extras. */
function sizesOf(
  view: DataView,
  at: number,
  extra: number,
  extraEnd: number,
): [number, number, number] {
  const short = [24, 20, 42].map((offset) => view.getUint32(at + offset, true));
  let field = extra;
  while (field + 4 <= extraEnd && view.getUint16(field, true) !== 1)
    field += 4 + view.getUint16(field + 2, true);
  let from = field + 4;
  const values = short.map((value) => {
    if (value !== UNSET || from + 8 > extraEnd) return value;
    from += 8;
    return uint64(view, from - 8);
  });
  return [values[0]!, values[1]!, values[2]!];
}

function inflate(packed: Uint8Array, size: number, who: string): Uint8Array {
  const out = new Uint8Array(size);
  let filled = 0;
  const stream = new Inflate((part) => {
    expect(filled + part.length <= size, who, `${size} bytes as its directory says`, 'more');
    out.set(part, filled);
    filled += part.length;
  });
  try {
    for (let at = 0; at < packed.length; at += CHUNK)
      stream.push(packed.subarray(at, at + CHUNK), at + CHUNK >= packed.length);
  } catch (error) {
    if (error instanceof EspalierError) throw error;
    fail(who, 'deflated data', error instanceof Error ? error.message : 'damage', DAMAGED);
  }
  expect(filled === size, who, `${size} bytes as its directory says`, filled, DAMAGED);
  return out;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Exact below 2^53; what is above fails every check against the file's size. */
function uint64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}
