/**
 * What a model file is, told by its first bytes and never by its name.
 *
 * Magic numbers and layouts: safetensors (8 bytes of header length, then `{`), zip (PKWARE appnote
 * 4.3.7; PyTorch and NumPy differ in the names inside), pickle (PEP 3154), protobuf (a file of the
 * known fields of `ModelProto` in onnx.proto, which has no magic of its own).
 */
import { PbfReader } from 'pbf';

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
  npz: (bytes) => isZip(bytes) && zipHolds(bytes, '.npy'),
  torch: (bytes) => isPickle(bytes) || (isZip(bytes) && zipHolds(bytes, 'data.pkl')),
  safetensors: isSafetensors,
  onnx: isOnnx,
};

/** Files people have at hand that hold no model this library reads, and what to do with them. */
const FOREIGN: readonly (readonly [test: Test, what: string])[] = [
  [
    startsWith(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59),
    'one NumPy array; save the named arrays by np.savez',
  ],
  [startsWith(0x1f, 0x8b), 'gzip data; unpack it first'],
  [isZip, 'a zip archive with neither a data.pkl (PyTorch) nor .npy files (NumPy)'],
  [startsWith(0x89, 0x48, 0x44, 0x46), 'HDF5 (Keras); export it as ONNX'],
  [text('GGUF'), 'GGUF, a format of language models'],
  [(bytes) => text('TFL3')(bytes.subarray(4)), 'TensorFlow Lite; export it as ONNX'],
  [text('\x7fELF'), 'a program'],
  [text('version https://git-lfs'), 'a Git LFS pointer; run `git lfs pull` to get the file itself'],
  [text('('), 'text such as VNN-LIB, not a model'],
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

function isZip(bytes: Uint8Array): boolean {
  return startsWith(0x50, 0x4b, 3, 4)(bytes) || startsWith(0x50, 0x4b, 5, 6)(bytes);
}

/** Protocol 2 to 5, as torch.save writes. */
function isPickle(bytes: Uint8Array): boolean {
  return bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5;
}

/** Whether a name of the first entry or of the directory at the end of the file ends so. */
function zipHolds(bytes: Uint8Array, name: string): boolean {
  const decoder = new TextDecoder('latin1');
  const ends = [bytes.subarray(0, 512), bytes.subarray(-65_536)];
  return ends.some((part) => decoder.decode(part).includes(name));
}

function isSafetensors(bytes: Uint8Array): boolean {
  // The header of a damaged file may be longer than the file: the reader then says so.
  return bytes.length > 8 && bytes[8] === 0x7b && bytes[6] === 0 && bytes[7] === 0;
}

/** Wire types of the fields of ModelProto that may stand at the top of a file. */
const MODEL_FIELDS: Readonly<Record<number, number>> = {
  ...{ 1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2 },
};
const [IR_VERSION, GRAPH] = [1, 7];

/** Walks the top of the message: only known fields with their wire types, a version or a graph. */
function isOnnx(bytes: Uint8Array): boolean {
  const pbf = new PbfReader(bytes);
  let found = false;
  try {
    for (let fields = 0; pbf.pos < bytes.length && fields < 64; fields++) {
      const tag = pbf.readVarint();
      const field = tag >>> 3;
      if (MODEL_FIELDS[field] !== (tag & 7)) return false;
      found ||= field === IR_VERSION || field === GRAPH;
      pbf.skip(tag);
    }
  } catch {
    // Cut short in a field: the reader says where.
  }
  return found;
}
