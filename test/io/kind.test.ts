/** What a file is, by its first bytes alone. */
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { PbfWriter } from 'pbf';
import { describe, expect, it } from 'vitest';
import { isGzip } from '../../src/io/gzip';
import { describeStart, type FileKind, kindOfModel } from '../../src/io/kind';
import { writeNpy } from '../../src/io/npy';
import { writeNpz } from '../../src/io/npz';
import { encode } from '../../src/io/safetensors';
import { writeZip } from '../../src/io/zip';
import { FOLDER, PRESENT } from '../goldens/goldens';
import { ordered, pickle, torchLegacy, torchZip } from '../helpers/pickle';

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const numbers = { values: Float32Array.of(1, 2), shape: [2] };

function protobuf(...fields: readonly (readonly [field: number, value: number | string])[]) {
  const pbf = new PbfWriter();
  for (const [field, value] of fields)
    if (typeof value === 'number') pbf.writeVarintField(field, value);
    else pbf.writeStringField(field, value);
  return pbf.finish();
}

/** A graph of one node of nothing, and a name. */
const GRAPH = '\n\0\x12\x01g';

const KNOWN: readonly (readonly [string, FileKind, Uint8Array])[] = [
  [
    'safetensors',
    'safetensors',
    encode({ a: { dtype: 'F32', shape: [1], data: new Float32Array(1) } }),
  ],
  ['safetensors without tensors', 'safetensors', encode({})],
  [
    'safetensors cut short',
    'safetensors',
    encode({ a: { dtype: 'U8', shape: [0], data: new Uint8Array(0) } }).subarray(0, 20),
  ],
  ['npz', 'npz', writeNpz(new Map([['a', numbers]]))],
  ['npz cut short', 'npz', writeNpz(new Map([['a', numbers]])).subarray(0, 60)],
  ['zip of PyTorch', 'torch', writeZip(new Map([['archive/data.pkl', ascii('x')]]), false)],
  [
    'zip of PyTorch, other first',
    'torch',
    writeZip(
      new Map([
        ['a/version', ascii('3')],
        ['a/data.pkl', ascii('x')],
      ]),
      true,
    ),
  ],
  ['legacy pickle of PyTorch', 'torch', Uint8Array.of(0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46)],
  ['ONNX', 'onnx', protobuf([1, 8], [2, 'pytorch'], [7, GRAPH], [8, 'opset'])],
  ['ONNX in another order', 'onnx', protobuf([7, GRAPH], [1, 8])],
  ['ONNX cut short', 'onnx', protobuf([1, 8], [7, `${GRAPH}${'x'.repeat(300)}`]).subarray(0, 50)],
];

describe('the kind of a file', () => {
  it.each(KNOWN)('%s', (_, kind, bytes) => {
    expect(kindOfModel(bytes)).toBe(kind);
  });

  it.each([
    ['nothing', new Uint8Array(0), 'an empty file'],
    ['one byte', Uint8Array.of(7), 'a file that starts with 07 (".")'],
    [
      'text',
      ascii('hello, world of nets'),
      '68 65 6c 6c 6f 2c 20 77 6f 72 6c 64 20 6f 66 20 ("hello, world of ")',
    ],
    ['npy', writeNpy(numbers.values, numbers.shape), 'one NumPy array'],
    ['gzip', Uint8Array.of(0x1f, 0x8b, 8, 0), 'gzip data in gzip'],
    [
      'another zip',
      writeZip(new Map([['a.txt', ascii('x')]]), false),
      'a zip archive with neither',
    ],
    ['HDF5', Uint8Array.of(0x89, 0x48, 0x44, 0x46, 13, 10), 'HDF5'],
    ['TFLite', ascii('\x1c\0\0\0TFL3'), 'TensorFlow Lite'],
    ['git-lfs', ascii('version https://git-lfs.github.com/spec/v1'), 'git lfs pull'],
    ['VNN-LIB', ascii('(declare-const X_0 Real)'), 'VNN-LIB'],
    ['JSON', ascii('{"name": "mlp"}'), 'JSON'],
    ['other protobuf', protobuf([1, 8], [9, 4]), '08 08 48 04'],
    ['protobuf without a graph', protobuf([2, 'pytorch']), '12 07'],
    ['protobuf with text for a graph', protobuf([1, 8], [7, 'graph']), '08 08'],
    ['text that is protobuf by chance', ascii('(x: (or x) and more of it'), 'VNN-LIB'],
  ])('is unknown: %s', (_, bytes, said) => {
    expect(kindOfModel(bytes)).toBeUndefined();
    expect(describeStart(bytes)).toContain(said);
  });

  it.skipIf(!PRESENT)('holds for every golden file', () => {
    for (const folder of ['models', 'vnnlib'])
      for (const file of readdirSync(`${FOLDER}/${folder}`)) {
        const kind = kindOfModel(readFileSync(`${FOLDER}/${folder}/${file}`));
        const extension = /\.(onnx|safetensors)$/.exec(file)?.[1];
        expect(kind, file).toBe(extension);
      }
  });
});

describe('files of ours', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9._/-]{0,40}$/);
  const floats = (n: number) => Float32Array.from({ length: n }, (_, i) => i / 8);
  const safetensors = (names: readonly string[], text: string): Uint8Array =>
    encode(
      new Map(names.map((n) => [n, { dtype: 'F32', shape: [2], data: floats(2) } as const])),
      text === '' ? {} : { note: text },
    );
  /** Headers of every length; padded or not, as other writers leave them. */
  const header = (length: number): Uint8Array => {
    const file = new Uint8Array(8 + length + 4).fill(0x20);
    new DataView(file.buffer).setUint32(0, length, true);
    new DataView(file.buffer).setUint32(4, 0);
    file.set(ascii('{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'), 8);
    return file;
  };

  it('safetensors are so at any length of the header', () => {
    const chance = [0x280, 0x380, 0x480, 0x580, 0x4b50, 0x8b1f, 0x0808, 0x030a, 0x3a28];
    for (const length of [...Array.from({ length: 3000 }, (_, i) => i + 56), ...chance])
      expect(kindOfModel(header(length)), String(length)).toBe('safetensors');
    // Lengths whose bytes are the magic numbers of gzip and of a pickle of text.
    for (const length of [0x088b1f, 0x580280]) {
      expect(kindOfModel(header(length))).toBe('safetensors');
      expect(isGzip(header(length))).toBe(false);
    }
  });

  it('are of their own kind only, whatever names and sizes they have', () => {
    const own: Readonly<
      Record<string, (names: string[], text: string) => [Uint8Array, FileKind?]>
    > = {
      safetensors: (names, text) => [safetensors(names, text), 'safetensors'],
      npz: (names) => [writeNpz(new Map(names.map((n) => [n, numbers]))), 'npz'],
      'PyTorch, zip': (names) => [
        torchZip(
          pickle(ordered(Object.fromEntries(names.map((n) => [n, 1])))),
          { 0: new Uint8Array(4) },
          {
            'archive/notes.npy': ascii('x'),
          },
        ),
        'torch',
      ],
      'PyTorch, legacy': (names) => [torchLegacy(pickle([...names]), {}), 'torch'],
      ONNX: ([graph], text) => [onnxFile(graph!, text), 'onnx'],
      npy: (names) => [writeNpy(floats(names.length), [names.length])],
      'another zip': (names, text) => [
        writeZip(new Map(names.map((n) => [`${n}.txt`, ascii(`${text}.npy data.pkl`)])), true),
      ],
      IDX: (names) => [Uint8Array.from([0, 0, 8, 1, 0, 0, 0, names.length, ...names.map(() => 7)])],
      JSON: (names, text) => [ascii(JSON.stringify({ schema: 'certificate', names, text }))],
      'VNN-LIB': (names, text) => [
        ascii(`; ${text}\n${names.map((n) => `(declare-const ${n} Real)`).join('\n')}`),
      ],
      'VNN-LIB without a comment': (names) => [
        ascii(names.map((n) => `(declare-const ${n} Real)`).join('\n')),
      ],
    };
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { minLength: 1, maxLength: 20 }),
        fc.string({ unit: 'binary-ascii', maxLength: 300 }),
        (names, text) => {
          for (const [what, make] of Object.entries(own)) {
            const [bytes, kind] = make(names, text);
            expect(kindOfModel(bytes), what).toBe(kind);
            expect(isGzip(bytes), what).toBe(false);
            expect(kindOfModel(gzipSync(bytes)), what).toBeUndefined();
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

/** A model of one empty graph, by the fields that other tools write. */
function onnxFile(graph: string, doc: string): Uint8Array {
  return protobuf(
    [1, 8],
    [2, doc],
    [7, `\x12${String.fromCharCode(graph.length)}${graph}`],
    [8, 'v'],
  );
}
