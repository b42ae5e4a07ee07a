/**
 * IDX, the format of MNIST and its successors: two zero bytes, an element type, a rank, the
 * dimensions as big-endian u32, then the elements. Only unsigned bytes (type 8) occur in the wild.
 *
 * A folder holds four files, plain or gzip, named with a hyphen or a dot before `idx`.
 */
import { expect, fail } from '../errors';
import { kindOf, readPlainOrGzip } from '../io/files';
import { checkBelow } from './arrays';
import { sha256 } from './sha256';
import type { DataSet, Split } from './types';

/** About twice the largest file of the family (EMNIST's 697 932 training images, 547 MB). */
const MAX_BYTES = 1 << 30;

export interface Idx {
  readonly dims: readonly number[];
  /** A view of the elements. */
  readonly data: Uint8Array;
}

/**
 * Reads an IDX file of unsigned bytes of the given rank; `who` is its name. Raises EspalierError for
 * a wrong magic number, type or rank, or a size that differs from what the dimensions say.
 */
export function parseIdx(bytes: Uint8Array, who: string, rank: number): Idx {
  const { dims, start, size } = parseHeader(bytes, who, rank);
  const hint = 'The file may be cut short; fetch it again.';
  const want = `${size} bytes for ${dims.join(' x ')} elements`;
  expect(bytes.length === size, who, want, `${bytes.length} bytes`, hint);
  return { dims, data: bytes.subarray(start) };
}

/** Dimensions, where the elements begin, and bytes of the whole file, from its first bytes. */
function parseHeader(
  bytes: Uint8Array,
  who: string,
  rank: number,
): { dims: readonly number[]; start: number; size: number } {
  const start = 4 + 4 * rank;
  expect(bytes.length >= start, who, `an IDX header of ${start} bytes`, `${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, start);
  const magic = view.getUint32(0);
  expect(magic === 0x800 + rank, `${who}, magic number`, hex(0x800 + rank), hex(magic));
  const dims: number[] = [];
  // Capped so that the product of up to four sizes cannot leave the safe integers.
  let total = 1;
  for (let d = 0; d < rank; d++) {
    dims.push(view.getUint32(4 + 4 * d));
    total = Math.min(total * dims[d]!, Number.MAX_SAFE_INTEGER);
  }
  return { dims, start, size: start + total };
}

/** Facts that distinguish one data set of the family from another. */
export interface IdxFamily {
  readonly name: string;
  readonly title: string;
  readonly classes: readonly string[];
  /** [C, H, W] with C = 1. */
  readonly shape: readonly [number, number, number];
  /** Provenance in words, completed by where the files were. */
  readonly source: string;
  /** Hint how to get the files, for errors. */
  readonly hint: string;
}

/** Loads the four files in `folder`. Raises EspalierError naming the file that is wrong. */
export async function loadIdx(family: IdxFamily, folder: string, where: string): Promise<DataSet> {
  if ((await kindOf(folder)) !== 'folder')
    fail(family.name, 'a folder with the four IDX files', folder, family.hint);
  const parts: Uint8Array[] = [];
  const train = await loadSplit(family, folder, 'train', parts);
  const test = await loadSplit(family, folder, 't10k', parts);
  const { hint, ...facts } = family;
  const source = `${family.source}; ${where}`;
  return { ...facts, unit: 255, train, test, source, sha256: await sha256(parts) };
}

async function loadSplit(
  family: IdxFamily,
  folder: string,
  prefix: string,
  parts: Uint8Array[],
): Promise<Split> {
  const imageFile = await find(family, folder, prefix, 'images', 3);
  const labelFile = await find(family, folder, prefix, 'labels', 1);
  const read = (file: string, rank: number): Promise<Uint8Array> =>
    readPlainOrGzip(file, MAX_BYTES, (start) => parseHeader(start, file, rank).size);
  const imageBytes = await read(imageFile, 3);
  const labelBytes = await read(labelFile, 1);
  parts.push(imageBytes, labelBytes);
  const images = parseIdx(imageBytes, imageFile, 3);
  const labels = parseIdx(labelBytes, labelFile, 1);
  const [, height, width] = family.shape;
  const [count, rows, columns] = images.dims;
  const fits = rows === height && columns === width;
  expect(fits, imageFile, `images of ${height} x ${width}`, `${rows} x ${columns}`);
  expect(labels.data.length === count, labelFile, `${count} labels`, labels.data.length);
  checkBelow(labels.data, family.classes.length, labelFile, 'labels');
  return { images: images.data, labels: labels.data, count };
}

/** The first name that exists of `train-images-idx3-ubyte`, its dotted form, and both with .gz. */
async function find(
  family: IdxFamily,
  folder: string,
  prefix: string,
  kind: string,
  rank: number,
): Promise<string> {
  const stem = `${folder}/${prefix}-${kind}`;
  for (const separator of ['-', '.'])
    for (const end of ['', '.gz']) {
      const path = `${stem}${separator}idx${rank}-ubyte${end}`;
      if ((await kindOf(path)) === 'file') return path;
    }
  return fail(`${stem}-idx${rank}-ubyte`, 'a file, plain or .gz', 'none', family.hint);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
