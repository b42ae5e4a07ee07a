/**
 * What a model file is, told by its layout and never by its name or by chance bytes.
 *
 * safetensors: 8 bytes of header length (at most 100 MB, so that four of them are zero), then `{`; the
 * strictest of all, and so tried first, as a length may look like any magic number. Zip (PKWARE appnote
 * 4.3): PyTorch and NumPy differ in the names of its entries. Pickle (PEP 3154): a protocol, then an
 * opcode. Protobuf has no magic: a file of the known fields of `ModelProto` (onnx.proto), with a graph
 * that begins with a field of `GraphProto`. Cost: linear, in the directory of a zip and the top fields of
 * a protobuf.
 */
import { PbfReader } from 'pbf';
import { isGzip } from './gzip';
import { isNpy } from './npy';
import { isZip, zipNames } from './zip';

/** Kinds of files that hold models or their weights. */
export type FileKind = 'safetensors' | 'onnx' | 'torch' | 'npz';

type Test = (bytes: Uint8Array) => boolean;

const startsWith =
  (...prefix: number[]): Test =>
  (bytes) =>
    prefix.every((byte, i) => bytes[i] === byte);
const text = (word: string): Test => startsWith(...[...word].map((c) => c.charCodeAt(0)));

/** In order of trial. */
const KINDS: Readonly<Record<FileKind, Test>> = {
  safetensors: isSafetensors,
  torch: (bytes) => isPickle(bytes) || entriesOf(bytes).some(isTorchEntry),
  npz: (bytes) => entriesOf(bytes).some((name) => name.endsWith('.npy')),
  onnx: isOnnx,
};

const entriesOf = (bytes: Uint8Array): readonly string[] => (isZip(bytes) ? zipNames(bytes) : []);
const isTorchEntry = (name: string): boolean => /^([^/]*\/)?data\.pkl$/.test(name);

/** Files people have at hand that hold no model this library reads, and what to do with them. */
const FOREIGN: readonly (readonly [test: Test, what: string])[] = [
  [isNpy, 'one NumPy array; save the named arrays by np.savez'],
  [isGzip, 'gzip data in gzip; unpack it first'],
  [isZip, 'a zip archive with neither a data.pkl (PyTorch) nor .npy files (NumPy)'],
  [startsWith(0x89, 0x48, 0x44, 0x46), 'HDF5 (Keras); export it as ONNX'],
  [text('GGUF'), 'GGUF, a format of language models'],
  [(bytes) => text('TFL3')(bytes.subarray(4)), 'TensorFlow Lite; export it as ONNX'],
  [text('\x7fELF'), 'a program'],
  [text('version https://git-lfs'), 'a Git LFS pointer; run `git lfs pull` to get the file itself'],
  [text('('), 'text such as VNN-LIB, not a model'],
  [text(';'), 'text such as VNN-LIB, not a model'],
  [text('{'), 'JSON, not a model'],
];

/** The kind of a file, or undefined. */
export function kindOfModel(bytes: Uint8Array): FileKind | undefined {
  const kinds = Object.keys(KINDS) as FileKind[];
  return kinds.find((kind) => KINDS[kind](bytes));
}

/** What stands at the start of a file, in words: its kind if that is known, bytes and text. */
export function describeStart(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file';
  const start = bytes.subarray(0, 16);
  const hex = [...start].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const shown = [...start]
    .map((b) => (b > 0x1f && b < 0x7f ? String.fromCharCode(b) : '.'))
    .join('');
  const known = FOREIGN.find(([test]) => test(bytes));
  return `a file that starts with ${hex} ("${shown}")${known ? `: ${known[1]}` : ''}`;
}

export const UNDERSTOOD =
  'safetensors, ONNX, PyTorch (.pt, .pth: zip or legacy pickle) or NumPy .npz';

/** Protocol 2 to 5, as torch.save writes, and no zero, which is no opcode, after it. */
function isPickle(bytes: Uint8Array): boolean {
  return bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5 && bytes[2]! > 0;
}

/** The header of a damaged file may be longer than the file: the reader then says so. */
function isSafetensors(bytes: Uint8Array): boolean {
  return bytes.length > 8 && bytes[8] === 0x7b && bytes.subarray(4, 8).every((b) => b === 0);
}

/** Wire types of the fields of ModelProto and GraphProto that may stand at the top of each. */
const MODEL_FIELDS: Readonly<Record<number, number>> = {
  ...{ 1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2 },
};
const GRAPH_FIELDS: ReadonlySet<number> = new Set([1, 2, 5, 10, 11, 12, 13, 14, 15, 16]);
const GRAPH = 7;

/** Walks the top of the message: only known fields with their wire types, and a graph. */
function isOnnx(bytes: Uint8Array): boolean {
  const pbf = new PbfReader(bytes);
  let found = false;
  try {
    while (pbf.pos < bytes.length) {
      const tag = pbf.readVarint();
      const field = tag >>> 3;
      if (MODEL_FIELDS[field] !== (tag & 7)) return false;
      if (field === GRAPH) {
        if (!isGraph(bytes, pbf.pos)) return false;
        found = true;
      }
      pbf.skip(tag);
    }
  } catch {
    // Cut short in a field: the reader says where.
  }
  return found;
}

/** Whether a graph of a length and a first field stands at `at`; cut off right there, too. */
function isGraph(bytes: Uint8Array, at: number): boolean {
  const pbf = new PbfReader(bytes.subarray(at, at + 24));
  const length = pbf.readVarint();
  if (length === 0 || pbf.pos >= bytes.length - at) return true;
  const tag = pbf.readVarint();
  return (tag & 7) === 2 && GRAPH_FIELDS.has(tag >>> 3);
}
