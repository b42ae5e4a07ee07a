/** Model files of all formats. */
import { deflateRawSync, gzipSync } from 'node:zlib';
import { writeCompact } from '../../../src/io/compact-write';
import { crc32 } from '../../../src/io/crc32';
import { writeNpz } from '../../../src/io/npz';
import { encodeModel } from '../../../src/io/onnx/wire';
import { encode } from '../../../src/io/safetensors';
import { writeZip } from '../../../src/io/zip';
import { compactSeeds, npyOf, npzSeeds, safetensorsSeeds } from '../format-seeds';
import { type FileCase, floats, message, onnxFile, wholes } from '../onnx-files';
import { onnxSeeds } from '../onnx-seeds';
import { op, ordered, pickle, tensor, torchZip, floats as values } from '../pickle';
import { torchSeeds } from '../torch-seeds';
import {
  ESCAPES,
  f32,
  type Hostile,
  type Kind,
  LONG,
  list,
  modelFile,
  NAMES,
  NESTED,
  NESTED_OBJECT,
  pick,
  withHeader,
} from './file';

const NET = JSON.stringify({
  name: 'n',
  input: [2],
  nodes: [{ name: 'a', layer: 'dense', options: { units: 2 } }],
});

/** Weights alone need a network: they are matched against one, or their names are listed. */
const weights =
  (file: string) =>
  (name: string, bytes: Uint8Array, i = 0): Hostile =>
    i % 2 === 0
      ? {
          name,
          files: { [file]: bytes, 'net.json': NET },
          argv: ['inspect', file, '--network', 'net.json'],
        }
      : { name, files: { [file]: bytes }, argv: ['convert', file, 'out.npz'] };

const model =
  (file: string) =>
  (name: string, bytes: Uint8Array): Hostile => ({
    name,
    files: { [file]: bytes },
    argv: ['inspect', file],
  });

const SHAPE = '"shape":[1],"data_offsets":[0,4]';
const wide = weights('w.safetensors');

export const safetensorsFiles: Kind = {
  traps: () => [
    wide('nested header', withHeader(`{"a":${NESTED}}`)),
    wide('nested objects', withHeader(NESTED_OBJECT)),
    wide('nested metadata', withHeader(`{"__metadata__":${NESTED}}`)),
    wide('metadata of ours, nested', modelFile(NET, {}, { config: NESTED })),
    wide('metadata of ours, nested objects', modelFile(NESTED_OBJECT)),
    wide('metadata of no pairs', withHeader('{"__metadata__":{"a":1}}')),
    wide(
      'metadata of 5000 pairs',
      encode({}, Object.fromEntries(list(5000, (i) => [`k${i}`, 'v']))),
    ),
    wide('1200 tensors', encode(Object.fromEntries(list(1200, (i) => [`t${i}.weight`, f32([1])])))),
    wide(
      '1200 tensors of nothing',
      encode(Object.fromEntries(list(1200, (i) => [`t${i}.weight`, f32([0])]))),
      1,
    ),
    wide(
      'a shape of 20 000 sizes',
      withHeader(
        `{"a":{"dtype":"F32","shape":[${list(20_000, () => 1)}],"data_offsets":[0,4]}}`,
        4,
      ),
    ),
    wide(
      'a shape that overflows',
      withHeader(
        '{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}',
        4,
      ),
    ),
    wide(
      'a shape of no bytes',
      withHeader('{"a":{"dtype":"F32","shape":[9007199254740991,0],"data_offsets":[0,0]}}'),
    ),
    wide('a key 8000 times', withHeader(`{${list(8000, () => '"a":1')}}`)),
    wide('dtype of escapes', withHeader(`{"a":{"dtype":${JSON.stringify(ESCAPES)},${SHAPE}}}`, 4)),
    wide('no JSON', withHeader(`{${ESCAPES}`)),
    wide('a format of escapes', encode({}, { format: 'espalier/\x1b[31m' })),
    wide('a newer format', encode({}, { format: `espalier/${LONG}` })),
    ...NAMES.filter((name) => !/\p{Surrogate}/u.test(name)).flatMap((name, i) => [
      wide(`a tensor ${name.slice(0, 12)}`, encode(new Map([[name, f32([2, 2])]])), i),
      wide(
        `a tensor ${name.slice(0, 12)}`,
        encode(new Map([[`${name}.weight`, f32([2, 2])]])),
        i + 1,
      ),
    ]),
    ...NAMES.map((name) =>
      wide(
        `a raw name ${name.slice(0, 12)}`,
        withHeader(`{${JSON.stringify(name)}:{"dtype":"F32",${SHAPE}}}`, 4),
      ),
    ),
  ],
  damaged: (s) => wide('damaged', safetensorsSeeds()(s), s.whole(2)),
};

const deflate = (bytes: Uint8Array): Uint8Array => deflateRawSync(bytes, { level: 9 });
const compactModel = model('m.compact');

/** A compact file with its header replaced: length, header, data, and a checksum that holds. */
const compactHeader = (header: string, rest = 0): Uint8Array => {
  const body = withHeader(header, rest + 4);
  const end = body.length - 4;
  new DataView(body.buffer).setUint32(end, crc32(body.subarray(0, end)), true);
  return body;
};
const coded = (meta: Record<string, string>): string =>
  JSON.stringify({ __metadata__: { format: 'espalier-compact/1', ...meta } });

export const compactFiles: Kind = {
  traps: () => [
    compactModel('nested network', compactHeader(coded({ network: NESTED, coded: '{}' }))),
    compactModel('nested coded', compactHeader(coded({ network: NET, coded: NESTED_OBJECT }))),
    compactModel(
      'zeros that inflate to much',
      writeCompact(
        new Map([
          ['a.weight', { shape: [3000, 3000], values: new Float32Array(9e6) }],
          ['a.bias', { shape: [3000], values: new Float32Array(3000) }],
        ]),
        {
          network: {
            name: 'n',
            input: [3000],
            nodes: [{ name: 'a', layer: 'dense', options: { units: 3000 } }],
          },
        },
        deflate,
      ),
    ),
    compactModel(
      'a hostile coded name',
      compactHeader(coded({ network: NET, coded: JSON.stringify({ [ESCAPES]: { shape: [1] } }) })),
    ),
    ...[2 ** 31, 2 ** 32 - 1, 2 ** 40, -1, 0.5].map((size) =>
      compactModel(
        `a coded shape of ${size}`,
        compactHeader(
          coded({
            network: NET,
            coded: JSON.stringify({ 'a.weight': { shape: [size, 2], bits: 8, k: 3, zeros: 0 } }),
          }),
        ),
      ),
    ),
  ],
  damaged: (s) => compactModel('damaged', compactSeeds()(s)),
};

const onnx = model('m.onnx');
const relu = { op: 'Relu' };
const flat = (nodes: FileCase['nodes'], more: Partial<FileCase> = {}): Uint8Array =>
  onnxFile({ input: [1, 4], nodes, ...more });

/** Bytes of the protobuf field of a message, as given. */
const nested = (depth: number): Uint8Array => {
  let bytes: number[] = [];
  for (let i = 0; i < depth; i++) {
    const length = bytes.length;
    bytes = [
      0x3a,
      (length & 0x7f) | 0x80,
      ((length >> 7) & 0x7f) | 0x80,
      (length >> 14) & 0x7f,
      ...bytes,
    ];
  }
  return Uint8Array.from(bytes);
};

export const onnxFiles: Kind = {
  traps: () => [
    onnx('3400 activations', flat(list(3400, () => relu))),
    onnx('2500 unknown operators', flat(list(2500, (i) => ({ op: `Strange${i}` })))),
    onnx('2500 of one unknown operator', flat(list(2500, () => ({ op: 'Strange' })))),
    onnx(
      'a chain in the wrong order',
      flat(
        list(2500, (i) => ({ op: 'Relu', in: [i === 2499 ? 'x' : `v${i + 1}`] })),
        { output: 'v0' },
      ),
    ),
    onnx('a circle', flat(list(2500, (i) => ({ op: 'Relu', in: [`v${(i + 1) % 2500}`] })))),
    onnx('40 000 inputs of one node', flat([{ op: 'Sum', in: list(30_000, () => 'x') }])),
    onnx(
      '40 000 inputs of a join',
      flat([{ op: 'Concat', in: list(30_000, () => 'x'), attributes: { axis: 1 } }]),
    ),
    onnx('30 000 missing inputs', flat([{ op: 'Sum', in: list(30_000, () => 'y') }])),
    onnx(
      '13 000 outputs',
      flat([{ op: 'Split', attributes: { axis: 1 }, out: list(13_000, (i) => `o${i}`) }]),
    ),
    onnx(
      '60 doublings',
      flat(
        list(60, (i) => ({
          op: 'Concat',
          in: i ? [`v${i - 1}`, `v${i - 1}`] : ['x', 'x'],
          attributes: { axis: 1 },
        })),
      ),
    ),
    onnx(
      '2000 doublings by sums',
      flat(list(2000, (i) => ({ op: 'Add', in: i ? [`v${i - 1}`, `v${i - 1}`] : ['x', 'x'] }))),
    ),
    onnx(
      '3000 constants',
      flat(list(1000, () => ({ op: 'Constant', in: [], attributes: { value: floats([1], [1]) } }))),
    ),
    onnx(
      'a constant of 2^31',
      flat(
        [
          { op: 'ConstantOfShape', in: ['s'] },
          { op: 'Add', in: ['x', 'v0'] },
        ],
        { tensors: { s: wholes([2 ** 31]) } },
      ),
    ),
    onnx(
      'constants that double',
      flat(
        [
          ...list(60, (i) => ({
            op: 'Concat',
            in: i ? [`v${i - 1}`, `v${i - 1}`] : ['c', 'c'],
            attributes: { axis: 0 },
          })),
          { op: 'Add', in: ['x', 'v59'] },
        ],
        { tensors: { c: floats([4]) } },
      ),
    ),
    onnx(
      'constants that grow by products',
      flat(
        [
          ...list(40, (i) => ({ op: 'Mul', in: [i ? `v${i - 1}` : 'c', `s${i % 2}`] })),
          { op: 'Add', in: ['x', 'v39'] },
        ],
        { tensors: { c: floats([1]), s0: floats([2000, 1]), s1: floats([1, 2000]) } },
      ),
    ),
    onnx(
      'expanded to 2^40',
      flat(
        [
          { op: 'Expand', in: ['c', 's'] },
          { op: 'Add', in: ['x', 'v0'] },
        ],
        { tensors: { c: floats([1]), s: wholes([2 ** 20, 2 ** 20]) } },
      ),
    ),
    onnx('an input of 2^40', flat([relu], { input: [1, 2 ** 20, 2 ** 20] })),
    onnx(
      'a wide product',
      flat([{ op: 'Gemm', in: ['x', 'w'] }], { tensors: { w: floats([4, 4000]) } }),
    ),
    onnx(
      'pads of 2^40',
      onnxFile({
        input: [1, 1, 4, 4],
        nodes: [{ op: 'MaxPool', attributes: { kernel_shape: [2, 2], pads: [2 ** 40, 0, 0, 0] } }],
      }),
    ),
    onnx(
      'a kernel of 2^31',
      onnxFile({
        input: [1, 1, 4, 4],
        nodes: [{ op: 'AveragePool', attributes: { kernel_shape: [2 ** 31, 2 ** 31] } }],
      }),
    ),
    onnx(
      'many attributes',
      flat([{ op: 'Relu', attributes: Object.fromEntries(list(5000, (i) => [`a${i}`, i])) }]),
    ),
    onnx('nested', nested(600)),
    onnx('dashes', flat([{ ...relu, name: `${'-'.repeat(90_000)}a` }])),
    onnx('names alike', flat(list(1500, () => ({ ...relu, name: 'same' })))),
    onnx(
      'names alike but for signs',
      flat(list(1500, (i) => ({ ...relu, name: `same${'/'.repeat(i % 40)}` }))),
    ),
    ...NAMES.map((name) => onnx(`a node ${name.slice(0, 12)}`, flat([{ ...relu, name }]))),
    ...NAMES.filter((name) => name.length < 30_000).map((name) =>
      onnx(
        `a value ${name.slice(0, 12)}`,
        flat([
          { op: 'Relu', out: [name] },
          { op: 'Relu', in: [name] },
        ]),
      ),
    ),
    ...NAMES.map((name) => onnx(`an operator ${name.slice(0, 12)}`, flat([{ op: name }]))),
    ...NAMES.map((name) =>
      onnx(
        `an attribute ${name.slice(0, 12)}`,
        flat([{ op: 'Softmax', attributes: { [name]: 1 } }]),
      ),
    ),
    ...[ESCAPES, LONG, '../../etc/passwd', '/etc/passwd'].map((location) => {
      const made = message({
        input: [1, 4],
        nodes: [{ op: 'Add', in: ['x', 'w'] }],
        tensors: { w: floats([4]) },
      });
      const tensors = made.graph?.initializer ?? [];
      Object.assign(tensors[0] ?? {}, {
        float_data: [],
        raw_data: new Uint8Array(0),
        data_location: 1,
        external_data: [{ key: 'location', value: location }],
      });
      return onnx(`external data ${location.slice(0, 12)}`, encodeModel(made));
    }),
  ],
  damaged: (s) => onnx('damaged', onnxSeeds()(s)),
};

const torch = weights('w.pth');
const state = (entries: Parameters<typeof ordered>[0]): Uint8Array =>
  torchZip(pickle(ordered(entries)), { 0: values(1, 2, 3, 4) });
const raw = (...parts: readonly (readonly number[])[]): Uint8Array =>
  torchZip(Uint8Array.from([[0x80, 2], ...parts].flat()), {});
const repeat = (count: number, bytes: readonly number[]): number[] =>
  list(count, () => bytes).flat();

export const torchFiles: Kind = {
  traps: () => [
    torch('nested lists', raw(repeat(40_000, op(']')), repeat(39_999, op('a')), op('.'))),
    torch('nested tuples', raw(op('N'), repeat(80_000, [0x85]), op('.'))),
    torch(
      'nested dicts',
      raw(
        repeat(10_000, [...op('}'), ...op('X', 1, 0, 0, 0, 0x61)]),
        op('N'),
        repeat(10_000, op('s')),
        op('.'),
      ),
    ),
    torch('a list in itself', raw(op(']'), op('q', 0), op('h', 0), op('a'), op('.'))),
    torch('doubling tuples', raw(op('N'), repeat(9000, [...op('2'), 0x86]), op('.'))),
    torch(
      'doubling of doublings',
      raw(op('N'), list(90, (i) => [...op('2'), 0x86, ...op('q', i)]).flat(), op('.')),
    ),
    torch('long digits', raw(op('I'), repeat(90_000, [0x31]), [0x0a], op('.'))),
    torch('a long integer', raw([0x8b, 0xff, 0xff, 0, 0], repeat(65_535, [255]), op('.'))),
    torch('many marks', raw(repeat(90_000, op('(')), op('.'))),
    torch('a memo far away', raw(op('N'), op('r', 255, 255, 255, 127), op('.'))),
    torch('a string past the end', raw(op('X', 255, 255, 255, 127), op('.'))),
    torch(
      'many storages',
      state(
        Object.fromEntries(list(400, (i) => [`t${i}.weight`, tensor('0', 'FloatStorage', [2, 2])])),
      ),
    ),
    torch(
      'views of one storage, expanded',
      state({
        'a.weight': tensor('0', 'FloatStorage', [2 ** 20, 2 ** 10], { count: 4, strides: [0, 0] }),
      }),
    ),
    torch('a storage that is not there', state({ a: tensor('9', 'FloatStorage', [2]) })),
    torch('a storage too large', state({ a: tensor('0', 'FloatStorage', [2 ** 40]) })),
    torch(
      'zeros deflated',
      Buffer.from(
        writeZip(
          new Map([
            ['archive/data.pkl', pickle(null)],
            ['archive/data/0', new Uint8Array(60e6)],
          ]),
          true,
        ),
      ),
    ),
    ...NAMES.map((name) =>
      torch(
        `a tensor ${name.slice(0, 12)}`,
        state({ [name]: tensor('0', 'FloatStorage', [2, 2]) }),
      ),
    ),
    ...NAMES.map((name) =>
      torch(
        `a class ${name.slice(0, 12)}`,
        torchZip(pickle({ kind: 'global', module: name.replaceAll('\n', ''), name: 'x' }), {}),
        1,
      ),
    ),
  ],
  damaged: (s) => torch('damaged', torchSeeds()(s), s.whole(2)),
};

const npz = weights('w.npz');

export const npzFiles: Kind = {
  traps: () => [
    npz(
      'zeros deflated',
      writeZip(
        new Map([
          [
            'a.npy',
            npyOf(
              "{'descr': '<f4', 'fortran_order': False, 'shape': (15000000,), }\n",
              new Uint8Array(60e6),
            ),
          ],
        ]),
        true,
      ),
    ),
    npz(
      'a shape of 2^40',
      writeZip(
        new Map([
          [
            'a.npy',
            npyOf(
              "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }\n",
              new Uint8Array(8),
            ),
          ],
        ]),
        true,
      ),
    ),
    npz(
      'a shape of many',
      writeZip(
        new Map([
          [
            'a.npy',
            npyOf(
              `{'descr': '<f4', 'fortran_order': False, 'shape': (${'1,'.repeat(20_000)}), }\n`,
              new Uint8Array(4),
              2,
            ),
          ],
        ]),
        true,
      ),
    ),
    npz(
      'a header of spaces',
      writeZip(
        new Map([['a.npy', npyOf(`{${' '.repeat(60_000)}'descr'`, new Uint8Array(4), 2)]]),
        false,
      ),
    ),
    npz(
      'a header of brackets',
      writeZip(new Map([['a.npy', npyOf('['.repeat(90_000), new Uint8Array(4), 2)]]), false),
    ),
    npz(
      'a dtype of lists',
      writeZip(
        new Map([
          ['a.npy', npyOf(`{'descr': ${'['.repeat(40_000)}, 'shape': ()}`, new Uint8Array(4), 2)],
        ]),
        false,
      ),
    ),
    npz(
      '600 arrays',
      writeZip(
        new Map(
          list(600, (i) => [
            `t${i}.npy`,
            npyOf("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n", new Uint8Array(4)),
          ]),
        ),
        false,
      ),
    ),
    ...NAMES.filter((name) => name.length < 60_000 && !/\p{Surrogate}/u.test(name)).map((name, i) =>
      npz(
        `an array ${name.slice(0, 12)}`,
        writeZip(
          new Map([
            [
              `${name}.npy`,
              npyOf(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }\n",
                new Uint8Array(8),
              ),
            ],
          ]),
          false,
        ),
        i,
      ),
    ),
  ],
  damaged: (s) => npz('damaged', npzSeeds()(s), s.whole(2)),
};

/** Files of no kind, or of several. */
export const strangeFiles: Kind = {
  traps: () => [
    ...['', '\x1b[31m', ESCAPES, '\0'.repeat(90_000), '{', '[', 'PK', '%PDF-1.4', NESTED].map(
      (text, i) => model('m')(`bytes ${i}`, new TextEncoder().encode(text)),
    ),
    model('m.gz')('gzip of gzip', gzipSync(gzipSync(new Uint8Array(60e6)))),
    model('m.gz')('gzip of zeros', gzipSync(new Uint8Array(60e6))),
    ...NAMES.filter((name) => name.length < 200 && !/[\0/]|^\.*$|\p{Surrogate}/u.test(name)).map(
      (name) => ({
        name: `a file ${name.slice(0, 12)}`,
        files: { [name]: '?' },
        argv: ['inspect', name],
      }),
    ),
  ],
  damaged: (s) =>
    model('m')(
      'noise',
      Uint8Array.from(
        list(s.whole(2000), () =>
          pick([0, 0x50, 0x4b, 3, 4, 0x80, 2, 8, 0x93, 0x1f, 0x8b, 255], s),
        ),
      ),
    ),
};

export const sound = writeNpz(
  new Map([
    ['a.weight', { values: Float32Array.of(1, 2, 3, 4), shape: [2, 2] }],
    ['a.bias', { values: Float32Array.of(0, 0), shape: [2] }],
  ]),
);
