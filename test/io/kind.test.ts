/** What a file is, by its first bytes alone. */
import { readdirSync, readFileSync } from 'node:fs';
import { PbfWriter } from 'pbf';
import { describe, expect, it } from 'vitest';
import { describeStart, type FileKind, kindOfModel } from '../../src/io/kind';
import { writeNpy } from '../../src/io/npy';
import { writeNpz } from '../../src/io/npz';
import { encode } from '../../src/io/safetensors';
import { writeZip } from '../../src/io/zip';
import { FOLDER, PRESENT } from '../goldens/goldens';

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
