/** Numbers in ONNX files: every element type, raw and typed, and data beside the file. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTensor } from '../../src/io/onnx/element';
import { filesBeside } from '../../src/io/onnx/external';
import type { Draft, TensorProto } from '../../src/io/onnx/proto.gen';
import { readOnnx } from '../../src/io/onnx/reader';
import { encodeModel } from '../../src/io/onnx/wire';
import { floats, message, onnxFile } from '../helpers/onnx-files';

const EMPTY: TensorProto = {
  ...{ dims: [], data_type: 1, float_data: [], int32_data: [], int64_data: [], name: '' },
  ...{ raw_data: undefined, double_data: [], uint64_data: [], external_data: [], data_location: 0 },
};
const raw = (data_type: number, values: ArrayBufferView, size: number): TensorProto => ({
  ...EMPTY,
  data_type,
  dims: [size],
  raw_data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});
const typed = (data_type: number, field: Partial<TensorProto>): TensorProto => {
  const [list] = Object.values(field) as number[][];
  return { ...EMPTY, data_type, dims: [list!.length], ...field };
};
const numbers = (t: TensorProto): number[] => [...readTensor(t, 't').values];

/** 1, -2, 0.5, the smallest denormal, infinity. */
const HALF = [0x3c00, 0xc000, 0x3800, 0x0001, 0x7c00];
const HALVES = [1, -2, 0.5, 2 ** -24, Number.POSITIVE_INFINITY];
const BRAIN = [0x3f80, 0xc000, 0x3f00, 0x0001, 0x7f80];
const BRAINS = [1, -2, 0.5, 2 ** -133, Number.POSITIVE_INFINITY];

describe('raw data', () => {
  it.each([
    ['float', 1, Float32Array.of(1.5, -2), [1.5, -2]],
    ['uint8', 2, Uint8Array.of(0, 255), [0, 255]],
    ['int8', 3, Int8Array.of(-128, 127), [-128, 127]],
    ['uint16', 4, Uint16Array.of(0, 65535), [0, 65535]],
    ['int16', 5, Int16Array.of(-32768, 5), [-32768, 5]],
    ['int32', 6, Int32Array.of(-7, 2 ** 31 - 1), [-7, 2 ** 31 - 1]],
    ['int64', 7, BigInt64Array.of(-5n, 2n ** 40n), [-5, 2 ** 40]],
    ['bool', 9, Uint8Array.of(0, 1, 7), [0, 1, 1]],
    ['float16', 10, Uint16Array.from(HALF), HALVES],
    ['double', 11, Float64Array.of(0.1, -1e300), [0.1, -1e300]],
    ['uint32', 12, Uint32Array.of(0, 2 ** 32 - 1), [0, 2 ** 32 - 1]],
    ['uint64', 13, BigUint64Array.of(1n, 2n ** 60n), [1, 2 ** 60]],
    ['bfloat16', 16, Uint16Array.from(BRAIN), BRAINS],
  ] as const)('%s', (_, type, values, expected) => {
    expect(numbers(raw(type, values, expected.length))).toEqual(expected);
  });

  it('may stand at any offset', () => {
    const bytes = new Uint8Array([9, 9, 9, ...new Uint8Array(Float32Array.of(1.5, -2).buffer)]);
    expect(numbers(raw(1, bytes.subarray(3), 2))).toEqual([1.5, -2]);
  });

  it('reads NaN as NaN', () => {
    expect(numbers(raw(10, Uint16Array.of(0x7e00), 1))[0]).toBeNaN();
    expect(numbers(raw(16, Uint16Array.of(0xffc1), 1))[0]).toBeNaN();
  });

  it('must be as long as the shape says', () => {
    const t = raw(1, Float32Array.of(1, 2), 3);
    expect(() => readTensor(t, 'w')).toThrow('w: expected 12 bytes of float, got 8.');
  });
});

describe('typed fields', () => {
  it.each([
    ['float', 1, { float_data: [1.5, -2] }, [1.5, -2]],
    ['uint8', 2, { int32_data: [0, 255] }, [0, 255]],
    ['int8', 3, { int32_data: [-128] }, [-128]],
    ['int32', 6, { int32_data: [-7] }, [-7]],
    ['int64', 7, { int64_data: [-5, 9] }, [-5, 9]],
    ['bool', 9, { int32_data: [0, 1, 3] }, [0, 1, 1]],
    ['float16', 10, { int32_data: HALF }, HALVES],
    ['double', 11, { double_data: [0.1] }, [0.1]],
    ['uint32', 12, { uint64_data: [4e9] }, [4e9]],
    ['uint64', 13, { uint64_data: [2 ** 60] }, [2 ** 60]],
    ['bfloat16', 16, { int32_data: BRAIN }, BRAINS],
  ] as const)('%s', (_, type, field, expected) => {
    expect(numbers(typed(type, field as unknown as Partial<TensorProto>))).toEqual(expected);
  });

  it('must be as many as the shape says', () => {
    const t = { ...typed(7, { int64_data: [1, 2] }), dims: [3] };
    expect(() => readTensor(t, 'w')).toThrow('w: expected 3 numbers in int64_data, got 2.');
  });

  it('come through the bytes of a file with their signs', () => {
    const w: Draft<TensorProto> = { data_type: 6, dims: [2, 2], int32_data: [-1, 2, 3, -4] };
    const nodes = [{ op: 'MatMul', in: ['x', 'w'] }];
    const { weights } = readOnnx(onnxFile({ input: [1, 2], nodes, tensors: { w } }), 'f');
    expect([...weights.get('n0.weight')!.values]).toEqual([-1, 3, 2, -4]);
  });
});

it.each([0, 8, 14, 17, 23, 99])('element type %i is refused', (data_type) => {
  const t = { ...EMPTY, data_type, dims: [0] };
  expect(() => readTensor(t, 'w')).toThrow('w: expected numbers of a known type');
});

it.each([[[-1]], [[2 ** 20, 2 ** 20]], [[2 ** 31]], [new Array<number>(40).fill(1)]])(
  'sizes %j are refused',
  (dims) => {
    expect(() => readTensor({ ...EMPTY, dims }, 'w')).toThrow(/^w: expected (sizes|at most)/);
  },
);

it('notes where weights lose digits', () => {
  const at = (value: number) => {
    const w: Draft<TensorProto> = { data_type: 11, dims: [1, 1], double_data: [value] };
    const nodes = [{ op: 'MatMul', in: ['x', 'w'], name: 'fc' }];
    return readOnnx(onnxFile({ input: [1, 1], nodes, tensors: { w } }), 'f').notes;
  };
  expect(at(0.1)).toEqual(['fc: its float64 numbers were rounded to float32.']);
  expect(at(0.5)).toEqual([]);
});

describe('data beside the file', () => {
  const file = new Uint8Array(32);
  file.set(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer), 8);
  const entry = (pairs: Readonly<Record<string, string>>): Uint8Array => {
    const external_data = Object.entries(pairs).map(([key, value]) => ({ key, value }));
    const w: Draft<TensorProto> = { data_type: 1, dims: [2, 2], data_location: 1, external_data };
    const nodes = [{ op: 'Gemm', in: ['x', 'w'], attributes: { transB: 1 } }];
    return encodeModel(message({ input: [1, 2], nodes, tensors: { w } }));
  };
  const read = (pairs: Readonly<Record<string, string>>) => {
    const asked: string[] = [];
    const external = (name: string): Uint8Array => {
      asked.push(name);
      return file;
    };
    const { weights } = readOnnx(entry(pairs), 'f', { external });
    return { asked, values: [...weights.get('n0.weight')!.values] };
  };

  it('is read by offset and length', () => {
    const pairs = { location: 'parts/w.bin', offset: '8', length: '16', checksum: 'x' };
    expect(read(pairs)).toEqual({ asked: ['parts/w.bin'], values: [1, 2, 3, 4] });
  });

  it('begins at 0 and ends at the end by itself', () => {
    expect(() => read({ location: 'w.bin' })).toThrow('f: w: expected 16 bytes of float, got 32.');
    expect(() => read({ location: 'w.bin', offset: '16' })).not.toThrow();
  });

  it.each(['', '/etc/passwd', '../w', 'a/../../w', 'C:\\w', 'a\\..\\w', 'a\0b'])(
    'stays in the folder: %j is refused',
    (location) => {
      expect(() => read({ location })).toThrow("f: w: expected a file inside the model's folder");
    },
  );

  it.each([
    { offset: '-1' },
    { offset: '33' },
    { offset: '20', length: '16' },
    { length: '-4' },
    { offset: '1e99' },
    { offset: 'x' },
    { offset: '0.5' },
  ])('ends inside the file: %j is refused', (part) => {
    expect(() => read({ location: 'w.bin', ...part })).toThrow('f: w: expected bytes inside w.bin');
  });

  it('cannot be found from bytes alone', () => {
    expect(() => readOnnx(entry({ location: 'w.bin' }), 'f')).toThrow('a file beside the model');
  });

  it('is read once for all tensors', () => {
    const external_data = [
      { key: 'location', value: 'w.bin' },
      { key: 'length', value: '16' },
    ];
    const one: Draft<TensorProto> = { data_type: 1, dims: [2, 2], data_location: 1, external_data };
    const nodes = [
      { op: 'MatMul', in: ['x', 'a'] },
      { op: 'MatMul', in: ['v0', 'b'] },
    ];
    const bytes = onnxFile({ input: [1, 2], nodes, tensors: { a: one, b: one } });
    let count = 0;
    const external = () => {
      count++;
      return file;
    };
    readOnnx(bytes, 'f', { external });
    expect(count).toBe(1);
  });
});

it('reads initialisers that are listed as inputs too', () => {
  const model = message({
    input: [1, 2],
    nodes: [{ op: 'Add', in: ['x', 'c'] }],
    tensors: { c: floats([2]) },
  });
  model.graph!.input!.push({ name: 'c' });
  expect(readOnnx(encodeModel(model), 'f').network.nodes[0]?.layer).toBe('scale');
});

describe('files beside a model', () => {
  it('are plain files of its folder, and no links out of it', async () => {
    const root = await mkdtemp(join(tmpdir(), 'espalier-onnx-'));
    try {
      const folder = join(root, 'model');
      await mkdir(join(folder, 'parts'), { recursive: true });
      await writeFile(join(root, 'secret'), 'no');
      await writeFile(join(folder, 'parts', 'w.bin'), 'yes');
      await symlink(join(root, 'secret'), join(folder, 'out.bin'));
      await symlink('..', join(folder, 'up'));
      await symlink(join('parts', 'w.bin'), join(folder, 'in.bin'));
      const read = await filesBeside(join(folder, 'm.onnx'), 3);
      const text = (name: string) => new TextDecoder().decode(read(name));
      expect([text('parts/w.bin'), text('in.bin')]).toEqual(['yes', 'yes']);
      expect(() => read('out.bin')).toThrow('in its folder, got a link out of it. Copy the data');
      expect(() => read('up/secret')).toThrow('got a link out of it');
      expect(() => read('parts')).toThrow('beside it, got no such file');
      expect(() => read('none')).toThrow('beside it, got no such file');
      expect(() => read('n'.repeat(90_000))).toThrow('beside it, got no such file');
      await writeFile(join(folder, 'parts', 'w.bin'), 'long');
      expect(() => read('in.bin')).toThrow('at most 3 bytes, got 4');
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
