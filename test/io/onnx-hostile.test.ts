/** ONNX files made to harm: every one is read or refused, in short time and little memory. */
import { describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { readOnnx } from '../../src/io/onnx/reader';
import { encodeModel } from '../../src/io/onnx/wire';
import { fuzz } from '../helpers/mutate';
import { type FileCase, floats, message, onnxFile, wholes } from '../helpers/onnx-files';
import { onnxSeeds } from '../helpers/onnx-seeds';

const read = (bytes: Uint8Array) => readOnnx(bytes, 'x');
const relu = { op: 'Relu' };

it('survives damage', () => {
  const { accepted, refused } = fuzz(4000, onnxSeeds(), read);
  expect(accepted).toBeGreaterThan(200);
  expect(refused).toBeGreaterThan(1000);
});

/** Refused with an EspalierError that matches; what took more than its share would run out of time. */
function refused(bytes: Uint8Array, why: RegExp): void {
  let error: unknown;
  try {
    read(bytes);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(EspalierError);
  expect((error as Error).message).toMatch(why);
}

describe('bytes', () => {
  it.each<[string, readonly number[], RegExp]>([
    ['none', [], /a graph/],
    ['a length of 2^63', [0x3a, ...new Array(8).fill(0xff), 0x7f], /cut short/],
    ['a length past the end', [0x3a, 100, 1, 2], /cut short/],
    ['an endless varint', [0x08, ...new Array(20).fill(0xff)], /broken protobuf/],
    ['a cut varint', [0x08, 0xff], /broken protobuf|cut short/],
    ['a cut tag', [0xff], /broken protobuf|cut short/],
    ['field number 0', [0x00, 0x00], /ends at byte/],
    ['an unknown wire type', [0x7f, 0x00], /broken protobuf/],
    [
      'a message past its parent',
      [0x3a, 2, 0x0a, 8, ...new Array(4).fill([0x22, 0]).flat()],
      /ends at byte/,
    ],
  ])('%s', (_, bytes, why) => {
    refused(Uint8Array.from(bytes), why);
  });

  it('nested a million deep', () => {
    // Attribute.g in Node.attribute in Graph.node, over and over, is unknown and skipped.
    refused(new Uint8Array(2 ** 21).fill(0x3a), /broken protobuf|cut short|ends at byte/);
  });

  it('of very many empty nodes', () => {
    const body = new Uint8Array(2 ** 23);
    for (let i = 0; i < body.length; i += 2) body[i] = 0x0a;
    const head = [0x3a, 0x80, 0x80, 0x80, 0x04];
    refused(Uint8Array.from([...head, ...body]), /at most \d+ fields/);
  });
});

const constant = (nodes: FileCase['nodes'], sizes: readonly number[], input = [1, 4]): Uint8Array =>
  onnxFile({
    input,
    nodes,
    tensors: {
      s: wholes(sizes),
      one: floats([], [1]),
      w: floats([64, 64]),
      p: wholes([0, 2 ** 20, 0, 2 ** 20]),
    },
  });

describe('sizes', () => {
  it.each<[string, Uint8Array, RegExp]>([
    [
      'ConstantOfShape',
      constant(
        [
          { op: 'ConstantOfShape', in: ['s'] },
          { op: 'Add', in: ['x', 'v0'] },
        ],
        [2 ** 30],
      ),
      /in proportion/,
    ],
    [
      'an overflowing product',
      constant(
        [
          { op: 'ConstantOfShape', in: ['s'] },
          { op: 'Add', in: ['x', 'v0'] },
        ],
        [2 ** 40, 2 ** 40],
      ),
      /sizes of a tensor/,
    ],
    ['Expand', constant([{ op: 'Expand', in: ['x', 's'] }], [2 ** 30, 1]), /in proportion/],
    [
      'Expand of many axes',
      constant([{ op: 'Expand', in: ['x', 's'] }], new Array(20).fill(4)),
      /sizes of a tensor|at most/,
    ],
    [
      'Expand of an axis of the input',
      constant([{ op: 'Expand', in: ['x', 's'] }], [1, 2 ** 25], [1, 1]),
      /in proportion|at most/,
    ],
    [
      'Pad',
      constant([{ op: 'Pad', in: ['x', 's'] }], [0, 2 ** 50, 0, 2 ** 50]),
      /at most \d+ values/,
    ],
    ['a border', constant([{ op: 'Pad', in: ['x', 'p', 'one'] }], []), /in proportion/],
    [
      'axes without end',
      constant([{ op: 'Reshape', in: ['x', 's'] }], [4, ...new Array(100_000).fill(1)]),
      /at most 32 axes/,
    ],
    [
      'a Gather of many places',
      constant([{ op: 'Gather', in: ['x', 's'], attributes: { axis: 1 } }], new Array(200).fill(7)),
      /an index in/,
    ],
    ['a huge input', constant([relu], [], [1, 2 ** 31 - 1]), /at most \d+ inputs/],
    [
      'an input of overflowing size',
      constant([relu], [], [1, 2 ** 40, 2 ** 40]),
      /sizes of a tensor/,
    ],
    [
      'a huge kernel',
      constant(
        [{ op: 'MaxPool', attributes: { kernel_shape: [2 ** 40, 1], pads: [2 ** 40, 0, 0, 0] } }],
        [],
        [1, 1, 4, 4],
      ),
      /x: node/,
    ],
    [
      'a huge stride',
      constant(
        [
          {
            op: 'MaxPool',
            attributes: { kernel_shape: [1, 1], auto_pad: 'SAME_UPPER', strides: [2 ** 60, 0] },
          },
        ],
        [],
        [1, 1, 4, 4],
      ),
      /above 0/,
    ],
  ])('%s', (_, bytes, why) => {
    refused(bytes, why);
  });

  it('doubled again and again', () => {
    const nodes = Array.from({ length: 60 }, (_, i) => ({
      op: 'Concat',
      in: [i === 0 ? 'w' : `v${i - 1}`, i === 0 ? 'w' : `v${i - 1}`],
      attributes: { axis: 0 },
    }));
    refused(constant([...nodes, { op: 'MatMul', in: ['x', 'v59'] }], []), /in proportion|sizes/);
    const live = nodes.map((node, i) =>
      i === 0
        ? { ...node, in: ['x', 'x'], attributes: { axis: 1 } }
        : { ...node, attributes: { axis: 1 } },
    );
    refused(constant(live, []), /at most \d+ values/);
  });

  it('of one weight used everywhere', () => {
    const nodes = Array.from({ length: 3000 }, () => ({ op: 'Gemm' }) as const).map((node, i) => ({
      ...node,
      in: [i === 0 ? 'x' : `v${i - 1}`, 'w'],
      attributes: { transB: 1 },
    }));
    refused(constant(nodes, [], [1, 64]), /in proportion/);
  });
});

describe('graphs', () => {
  it('that go round', () => {
    const nodes = [
      { op: 'Add', in: ['x', 'v1'] },
      { op: 'Relu', in: ['v0'] },
    ];
    refused(constant(nodes, []), /inputs made before, got a value that depends on itself/);
    refused(constant([{ op: 'Add', in: ['v0', 'x'] }], []), /depends on itself/);
  });

  it('that branch without end', () => {
    const nodes = Array.from({ length: 5000 }, (_, i) => ({
      op: 'Add',
      in: i === 0 ? ['x', 'x'] : [`v${i - 1}`, `v${i - 1}`],
    }));
    const value = read(constant(nodes, []));
    expect(value.network.nodes.length).toBe(5000);
  });

  it('of 200 000 inputs of a node', () => {
    const many = new Array<string>(200_000).fill('x');
    const { network } = read(constant([{ op: 'Sum', in: many }], []));
    expect(network.nodes[0]?.inputs?.length).toBe(200_000);
    refused(constant([{ op: 'Concat', in: many, attributes: { axis: 7 } }], []), /an axis in/);
    refused(constant([{ op: 'Reshape', in: ['x', ...many] }], []), /a constant input 1/);
  });

  it('of 20 000 nodes in the wrong order, with steps that join', () => {
    const nodes = Array.from({ length: 20_000 }, (_, i) => ({
      op: i % 2 === 0 ? 'Mul' : 'Add',
      in: [i === 0 ? 'x' : `v${i - 1}`, i % 2 === 0 ? 'two' : 'one'],
      out: [`v${i}`],
    })).reverse();
    const tensors = { one: floats([], [1]), two: floats([], [2]) };
    const { network } = read(onnxFile({ input: [1, 4], nodes, tensors, output: 'v19999' }));
    expect(network.nodes.length).toBe(10_000);
  });

  it('of constants that ask for much work', () => {
    const side = 2 ** 9;
    const tensors = { a: floats([side, side], new Array<number>(side ** 2).fill(0)) };
    const nodes = Array.from({ length: 50 }, (_, i) => ({
      op: 'MatMul',
      in: [i === 0 ? 'a' : `v${i - 1}`, 'a'],
    }));
    const file = onnxFile({
      ...{ input: [1, side], nodes: [...nodes, { op: 'MatMul', in: ['x', 'v49'] }], tensors },
    });
    refused(file, /in proportion to the file/);
  });

  it('with names of JavaScript', () => {
    const model = message({
      input: [1, 2],
      nodes: [{ op: 'Relu', name: '__proto__', out: ['__proto__'] }],
    });
    const { network } = read(encodeModel(model));
    expect(network.nodes[0]?.name).toBe('__proto__');
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });
});
