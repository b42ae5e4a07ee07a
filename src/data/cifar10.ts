/**
 * CIFAR-10 (Krizhevsky 2009): 50 000 + 10 000 colour pictures, 32 x 32, in the published binary
 * layout: records of one label byte and 3072 pixel bytes (R, G and B planes, row-major), 10 000 a
 * file. Read from a folder of the six files, or from `cifar-10-binary.tar.gz` as it was published.
 *
 * Copies of other pixels are in circulation (JPEG, rescaled), and a figure obtained on them is not a
 * CIFAR-10 figure: the title says so, decided by the hash of the first 1017 test records.
 * Cost: the archive takes about 550 MB of memory while it is unpacked.
 */
import { expect, fail } from '../errors';
import { kindOf, readFile, readPlainOrGzip } from '../io/files';
import { checkBelow } from './arrays';
import { sha256 } from './sha256';
import type { DataOptions, DataSet, DataSource, Split } from './types';

const CLASSES = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ');
const TRAIN = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`);
const TEST = 'test_batch.bin';
const FOLDER = 'cifar-10-batches-bin';
const ARCHIVE = 'cifar-10-binary.tar.gz';
const RECORDS = 10_000;
const PIXELS = 3072;
/** The published archive is 184.4 MB unpacked. */
const MAX_ARCHIVE_BYTES = 256_000_000;
const PROBE_RECORDS = 1017;
/** Hashes of the probe that tell the pixels; any other copy is "altered". */
const PUBLISHED = 'c77ad46116beb3508f55d38aa34893560beae9515f9aca4a4dd0ea3617ac289e';
const JPEG = 'd3cd71f9f4a28f228c1baa51e5c693bd6d83bb8c1fde732180f80eff68498949';
const HINT =
  `Download ${ARCHIVE} ("CIFAR-10 binary version") from Alex Krizhevsky's CIFAR page and give it, ` +
  `or the folder it unpacks to, as path.`;

export const cifar10: DataSource = {
  title: 'CIFAR-10',
  about: `32 x 32 colour pictures, 50 000 + 10 000; path to ${ARCHIVE} or the folder it unpacks to.`,
  load: ({ path }: DataOptions) => loadCifar10(path, RECORDS),
};

/**
 * The loader, with the number of records a file as a parameter so that tests can use small files.
 * Raises EspalierError naming the file, the bytes expected and the bytes found.
 */
export async function loadCifar10(path: string | undefined, records: number): Promise<DataSet> {
  if (path === undefined) return fail('cifar10', 'a path', 'none', HINT);
  const read = await opener(path);
  const files: Uint8Array[] = [];
  for (const name of [...TRAIN, TEST]) files.push(await read(name, records));
  const test = files.at(-1)!;
  const probe = test.subarray(0, PROBE_RECORDS * (1 + PIXELS));
  const hash = await sha256([probe]);
  const copy = hash === PUBLISHED ? '' : hash === JPEG ? 'JPEG copy' : 'altered copy';
  return {
    name: 'cifar10',
    title: copy === '' ? cifar10.title : `${cifar10.title} (${copy})`,
    shape: [3, 32, 32],
    classes: CLASSES,
    unit: 255,
    train: toSplit(files.slice(0, -1)),
    test: toSplit([test]),
    source:
      `CIFAR-10, A. Krizhevsky 2009; binary files in ${path}` +
      (copy === '' ? '' : `; ${copy}: the pixels are not the published ones`),
    sha256: await sha256(files),
  };
}

type Reader = (name: string, records: number) => Promise<Uint8Array>;

/** Finds out what `path` is and returns a reader of the files by name, sizes and labels checked. */
async function opener(path: string): Promise<Reader> {
  const kind = await kindOf(path);
  if (kind === 'file') return archiveReader(path);
  if (kind === undefined) return fail(path, `${ARCHIVE} or a folder`, 'nothing there', HINT);
  for (const folder of [path, `${path}/${FOLDER}`])
    if ((await kindOf(`${folder}/${TEST}`)) === 'file') return folderReader(folder);
  if ((await kindOf(`${path}/${ARCHIVE}`)) === 'file') return archiveReader(`${path}/${ARCHIVE}`);
  return fail(path, `${TEST}, ${FOLDER}/ or ${ARCHIVE} in it`, 'none of them', HINT);
}

function folderReader(folder: string): Reader {
  return async (name, records) => {
    const file = `${folder}/${name}`;
    if ((await kindOf(file)) !== 'file') fail(file, 'a file', 'none', HINT);
    return checkRecords(await readFile(file, MAX_ARCHIVE_BYTES), file, records);
  };
}

async function archiveReader(path: string): Promise<Reader> {
  const entries = untar(await readPlainOrGzip(path, MAX_ARCHIVE_BYTES), path);
  return async (name, records) => {
    const bytes = entries.get(name);
    if (bytes === undefined) return fail(path, `${name} in the archive`, 'none', HINT);
    return checkRecords(bytes, `${path}, ${name}`, records);
  };
}

/** Checks size and labels of one file's records; returns them. */
function checkRecords(bytes: Uint8Array, who: string, records: number): Uint8Array {
  const want = records * (1 + PIXELS);
  expect(bytes.length === want, who, `${want} bytes`, `${bytes.length} bytes`, HINT);
  const labels = new Uint8Array(records);
  for (let i = 0; i < records; i++) labels[i] = bytes[i * (1 + PIXELS)]!;
  checkBelow(labels, CLASSES.length, who, 'labels');
  return bytes;
}

/** Takes labels and images of the files apart. */
function toSplit(files: readonly Uint8Array[]): Split {
  const count = files.reduce((sum, file) => sum + file.length / (1 + PIXELS), 0);
  const images = new Uint8Array(count * PIXELS);
  const labels = new Uint8Array(count);
  let i = 0;
  for (const file of files)
    for (let at = 0; at < file.length; at += 1 + PIXELS) {
      labels[i] = file[at]!;
      images.set(file.subarray(at + 1, at + 1 + PIXELS), i * PIXELS);
      i++;
    }
  return { images, labels, count };
}

/**
 * The regular files of a tar archive by the last part of their names. Reads the plain ustar headers
 * of the published archive; here and not from a library because a size field in the file must not be
 * able to move the reader backwards.
 */
function untar(bytes: Uint8Array, who: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (at: number, length: number) => {
    const field = bytes.subarray(at, at + length);
    const end = field.indexOf(0);
    return String.fromCharCode(...(end < 0 ? field : field.subarray(0, end)));
  };
  let at = 0;
  // An empty name is the zero block that ends an archive.
  while (at + 512 <= bytes.length && bytes[at] !== 0) {
    const octal = text(at + 124, 12).trim();
    expect(/^[0-7]{1,11}$/.test(octal), `${who}, tar header at ${at}`, 'an octal size', octal);
    const begin = at + 512;
    const end = begin + Number.parseInt(octal, 8);
    expect(end <= bytes.length, who, `${end} bytes or more unpacked`, bytes.length, HINT);
    const kind = text(at + 156, 1);
    if (kind === '0' || kind === '') files.set(baseName(text(at, 100)), bytes.subarray(begin, end));
    at = Math.ceil(end / 512) * 512;
  }
  return files;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
