/**
 * The writer of compact models: what `compact.ts` describes and reads. It loses nothing: it codes
 * tensors as they are, each the way that takes least, by codes of at most 256 values, as its
 * non-zero elements, or as float32. That weights share values is the work of `prune/share.ts`.
 *
 * Deflate data come from zlib without string matching where that is smaller (numbers without
 * structure have no repeats worth a pointer; measured: 1 % above the entropy of both streams, against
 * 8 to 13 % for fflate's level 9), and from fflate where there is no zlib. Every inflater reads both.
 * Cost: some 50 ns an element that is not zero.
 */

import type { Model } from '../nn/model';
import { CHECKSUM, type Coding, SKIP } from './compact';
import { crc32 } from './crc32';
import { COMPACT, type Metadata } from './metadata';
import { encode, type TensorInput } from './safetensors';

export type Deflate = (bytes: Uint8Array) => Uint8Array;

/** The smallest deflate data this runtime can make. */
export async function smallestDeflate(): Promise<Deflate> {
  try {
    const { constants, deflateRawSync } = await import('node:zlib');
    const strategies = [constants.Z_HUFFMAN_ONLY, constants.Z_DEFAULT_STRATEGY];
    return (bytes) =>
      strategies
        .map((strategy) => deflateRawSync(bytes, { strategy, level: 9, memLevel: 9 }))
        .reduce((best, next) => (next.length < best.length ? next : best));
  } catch {
    const { deflateSync } = await import('fflate');
    return (bytes) => deflateSync(bytes, { level: 9 });
  }
}

export interface DenseTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The file of a model and whatever else should be remembered about it. */
export async function compactFile(model: Model, extra: Metadata): Promise<Uint8Array> {
  const tensors = [...model.params].map(
    ([name, t]) => [name, { shape: t.shape, values: t.read() }] as const,
  );
  const metadata = { ...extra, network: model.graph.network };
  return writeCompact(new Map(tensors), metadata, await smallestDeflate());
}

/** The file of `tensors` (the network's parameters by name) and `metadata`, `network` among it. */
export function writeCompact(
  tensors: ReadonlyMap<string, DenseTensor>,
  metadata: Metadata,
  deflate: Deflate,
): Uint8Array {
  const entries = new Map<string, TensorInput>();
  const coded: Record<string, Coding> = {};
  for (const name of [...tensors.keys()].sort()) {
    const { shape, values } = tensors.get(name)!;
    const best = code({ shape, values }, deflate);
    if (!best) entries.set(name, { dtype: 'F32', shape, data: values });
    else {
      coded[name] = best.coding;
      entries.set(name, { dtype: 'U8', shape: [best.data.length], data: best.data });
    }
  }
  // Last of all: U8 is the narrowest type here, and ~ comes after letters and digits.
  entries.set(CHECKSUM, { dtype: 'U8', shape: [4], data: new Uint8Array(4) });
  const json = Object.entries({ ...metadata, coded }).map(([k, v]) => [k, JSON.stringify(v)]);
  const file = encode(entries, { ...Object.fromEntries(json), format: COMPACT });
  const end = file.length - 4;
  new DataView(file.buffer).setUint32(end, crc32(file.subarray(0, end)), true);
  return file;
}

interface Coded {
  readonly coding: Coding;
  readonly data: Uint8Array;
}

/** Bytes that the description of a coded tensor takes, about. */
const DESCRIPTION = 80;

/** The tensor coded, or undefined where float32 takes less. Equal is what has equal bits. */
function code({ shape, values }: DenseTensor, deflate: Deflate): Coded | undefined {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const own = bits.filter((pattern) => pattern !== 0);
  const table = tableOf(own);
  const shared = table.length > 0;
  const places = new Map(table.map((pattern, place) => [pattern, place]));
  const codes = shared ? deflate(Uint8Array.from(own, (p) => places.get(p)!)) : new Uint8Array(0);
  const gaps = gapsOf(bits);
  const head = bytesOf(shared ? Uint32Array.from(table) : own);
  const data = joined([head, codes, deflate(gaps)]);
  if (data.length + DESCRIPTION >= values.byteLength) return undefined;
  const coding = {
    shape,
    nonzero: own.length,
    centroids: shared ? table.length : 0,
    steps: gaps.length,
    codes: codes.length,
  };
  return { coding, data };
}

/** The different values, ascending as numbers; none if there are more than a byte can tell apart. */
function tableOf(own: Uint32Array): number[] {
  const found = new Set<number>();
  for (const pattern of own) if (found.add(pattern).size > 256) return [];
  const patterns = Uint32Array.from(found);
  const numbers = new Float32Array(patterns.buffer);
  const order = [...patterns.keys()].sort((a, b) => numbers[a]! - numbers[b]!);
  return order.map((i) => patterns[i]!);
}

/** Zeros in front of each element that is not zero; what follows the last one is not written. */
function gapsOf(bits: Uint32Array): Uint8Array {
  const gaps = new Uint8Array(bits.length);
  let [count, gap] = [0, 0];
  for (const pattern of bits) {
    if (pattern === 0) {
      gap++;
      continue;
    }
    for (; gap >= SKIP; gap -= SKIP) gaps[count++] = SKIP;
    gaps[count++] = gap;
    gap = 0;
  }
  return gaps.slice(0, count);
}

const bytesOf = (words: Uint32Array): Uint8Array =>
  new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
