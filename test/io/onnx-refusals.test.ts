/** What the ONNX reader refuses, in which words, and how it reads the edges of a model. */
import { describe, expect, it } from 'vitest';
import { readOnnx } from '../../src/io/onnx/reader';
import { encodeModel } from '../../src/io/onnx/wire';
import { type FileCase, floats, message, onnxFile, wholes } from '../helpers/onnx-files';

const read = (given: FileCase) => readOnnx(onnxFile(given), 'f');
const relu = { op: 'Relu' };

describe('nodes at fault', () => {
  it('are listed at once, with names and operators, but not those behind them', () => {
    const nodes = [
      { op: 'Relu', name: 'ok' },
      { op: 'Erf', name: 'first' },
      { op: 'Relu', name: 'behind' },
      { op: 'LSTM', name: 'loop', in: ['x'] },
      { op: 'Fancy', name: 'second', domain: 'com.example', in: ['x'] },
      { op: 'Conv', name: 'third', in: ['x', 'w'] },
      { op: 'Sum', name: 'all', in: ['v2', 'v3', 'v4', 'v5'] },
    ];
    const given = { input: [1, 3, 4, 4], nodes, tensors: { w: floats([2, 2, 3, 3]) } };
    expect(() => read(given)).toThrow(
      [
        'f: node first (Erf): expected constants, as no layer computes it of values that depend on the input, got such values. Choose an output before it (--output), or a network without it.',
        'f: node loop (LSTM): expected a known operator, got LSTM. Recurrent networks are not read; unroll it. docs/formats.md lists the operators that are read.',
        'f: node second (Fancy): expected a known operator, got com.example.Fancy. docs/formats.md lists the operators that are read.',
        'f: node third (Conv): expected 2 x 1 input channels, got 3.',
      ].join('\n'),
    );
  });

  it('do not matter where the output does not need them', () => {
    const nodes = [relu, { op: 'Erf', in: ['x'], out: ['e'] }];
    expect(read({ input: [1, 2], nodes, output: 'v0' }).network.nodes.length).toBe(1);
  });

  it('are given where a softmax mixes samples, before operator set 13 by its first axis', () => {
    const nodes = [{ op: 'Softmax', attributes: { axis: 0 } }];
    expect(() => read({ input: [0, 2], nodes, opset: 11 })).toThrow('samples apart');
    expect(() => read({ input: [0, 1], nodes, opset: 13 })).toThrow('samples apart');
    expect(read({ input: [1, 2], nodes, opset: 11 }).leftOut).toBe('softmax');
    const last = [{ op: 'Softmax', attributes: { axis: 1 } }];
    expect(read({ input: [0, 2], nodes: last, opset: 11 }).leftOut).toBe('softmax');
  });

  it('are not what Object has of its own', () => {
    expect(() => read({ input: [1], nodes: [{ op: 'constructor' }] })).toThrow('a known operator');
  });

  const w = { w: floats([2, 2]), c: floats([2]), i: wholes([0]), p: wholes([0, 0, 1, 1]) };
  it.each<[string, FileCase['nodes'], string]>([
    ['a product of two values', [{ op: 'Mul', in: ['x', 'x'] }], 'a constant factor or divisor'],
    ['a matrix product of two values', [{ op: 'MatMul', in: ['x', 'x'] }], 'a constant factor'],
    ['a division by a value', [{ op: 'Div', in: ['c', 'x'] }], 'a constant factor or divisor'],
    ['a missing input', [{ op: 'Relu', in: ['nowhere'] }], 'inputs made before, got "nowhere"'],
    [
      'a use of itself',
      [{ op: 'Add', in: ['v1', 'x'] }, relu],
      'node n0 (Add): expected inputs made before, got a value that depends on itself',
    ],
    ['no input', [{ op: 'Add', in: ['x', ''] }], 'an input 1, got none'],
    [
      'an attribute of another type',
      [{ op: 'LeakyRelu', attributes: { alpha: 1 } }],
      'of type float',
    ],
    ['a root of a value', [{ op: 'Sqrt' }], 'expected constants, as no layer computes it'],
    ['a divisor of 0', [{ op: 'Div', in: ['x', 'lo'] }], 'divisors with reciprocals in float32'],
    ['quantised activations', [{ op: 'QuantizeLinear', in: ['x', 'hi'] }], 'Only weights may be'],
    [
      'a cast to half',
      [{ op: 'Cast', attributes: { to: 10 } }],
      'got a cast to float16. The network',
    ],
    [
      'a cast to double',
      [{ op: 'Cast', attributes: { to: 11 } }],
      'got a cast to double. The network',
    ],
    ['Upsample in new sets', [{ op: 'Upsample', in: ['x', 'c'] }], 'Resize, which took its place'],
    ['an axis too far', [{ op: 'Flatten', attributes: { axis: 7 } }], 'an axis in [-2, 2), got 7'],
    ['a mixing of samples', [{ op: 'ReduceMean', attributes: { axes: [0] } }], 'samples apart'],
    ['a choice of samples', [{ op: 'Gather', in: ['x', 'i'] }], 'samples apart'],
    ['padding of the batch', [{ op: 'Pad', in: ['x', 'p'] }], 'samples apart'],
    [
      'mirrored padding',
      [{ op: 'Pad', in: ['x', 'p'], attributes: { mode: 'reflect' } }],
      'samples apart',
    ],
    [
      'unknown padding',
      [{ op: 'Pad', in: ['x', 'p'], attributes: { mode: 'magic' } }],
      'a known mode, got magic',
    ],
    ['a convolution of a vector', [{ op: 'Conv', in: ['x', 'w'] }], 'one or two spatial axes'],
    ['an integer cast', [{ op: 'Cast', attributes: { to: 7 } }], 'got a cast to int64'],
    ['a shape that does not fit', [{ op: 'Reshape', in: ['x', 'three'] }], 'a shape of 2 values'],
    [
      'the mask of a dropout',
      [
        { op: 'Dropout', out: ['d', 'm'] },
        { op: 'Relu', in: ['m'] },
      ],
      'n1 (Relu): expected inputs made before, got "m"',
    ],
    ['training', [{ op: 'Dropout', in: ['x', '', 'one'] }], 'dropout in inference'],
    ['softmax in the middle', [{ op: 'Softmax' }, relu], 'Softmax at the end'],
    [
      'softmax over a part',
      [
        { op: 'Unsqueeze', in: ['x', 'i'] },
        { op: 'Softmax', attributes: { axis: 0 } },
      ],
      'a softmax over all classes',
    ],
    [
      'a constant output',
      [{ op: 'Relu', in: ['x'] }, { op: 'Shape' }, { op: 'Cast', attributes: { to: 1 } }],
      'to depend on the input',
    ],
  ])('%s', (_, nodes, message_) => {
    const tensors = {
      ...w,
      hi: floats([], [1]),
      lo: floats([], [0]),
      one: wholes([1], []),
      three: wholes([3]),
    };
    expect(() => read({ input: [0, 2], nodes, tensors })).toThrow(message_);
  });

  it('with a fixed batch of more than 1 are told how to export', () => {
    const tensors = { k: floats([2, 3, 1, 1]) };
    expect(() =>
      read({ input: [7, 3, 2, 2], nodes: [{ op: 'Conv', in: ['x', 'k'] }], tensors }),
    ).toThrow('Export the model with a batch of 1 or an open one.');
  });

  it('are named to a limit, in messages of a limited length', () => {
    const nodes = Array.from({ length: 3000 }, (_, i) => ({
      ...{ op: 'Reshape', in: ['x', 'wide'], name: `n${i}`.repeat(3000) },
      out: [`v${i}`],
    }));
    const all = { op: 'Sum', in: nodes.map(({ out }) => out[0]!) };
    const tensors = { wide: wholes(new Array<number>(10_000).fill(1)) };
    let message_ = '';
    try {
      read({ input: [1, 2], nodes: [...nodes, all], tensors });
    } catch (error) {
      message_ = (error as Error).message;
    }
    const lines = message_.split('\n');
    expect(lines.length).toBe(41);
    expect(lines.at(-1)).toBe('f: further nodes were not looked at.');
    expect(message_.length).toBeLessThan(41 * 700);
  });
});

describe('the ends of a model', () => {
  it.each<[readonly number[], readonly number[]]>([
    [
      [0, 3, 4, 4],
      [3, 4, 4],
    ],
    [
      [1, 3, 4, 4],
      [3, 4, 4],
    ],
    [
      [1, 1, 1, 5],
      [1, 1, 5],
    ],
    [
      [1, 6, 1],
      [6, 1],
    ],
    [[5], [5]],
    [[1], [1]],
    [[0], [1]],
    [[], [1]],
    [
      [3, 4],
      [3, 4],
    ],
  ])('an input [%s] is a sample [%s]', (shape, sample) => {
    expect(read({ input: shape, nodes: [relu] }).network.input).toEqual(sample);
  });

  it('are flat', () => {
    const names = (given: FileCase) => read(given).network.nodes.map(({ layer }) => layer);
    expect(names({ input: [1, 2, 3], nodes: [relu] })).toEqual(['relu', 'flatten']);
    expect(names({ input: [1, 2], nodes: [{ op: 'Identity' }] })).toEqual(['flatten']);
    expect(names({ input: [1, 2], nodes: [], output: 'x' })).toEqual(['flatten']);
  });

  it.each(['Softmax', 'LogSoftmax'])('lose a last %s, with a note', (op) => {
    const nodes = [relu, { op, name: 'end' }, { op: 'Identity' }];
    const { network, notes } = read({ input: [0, 4], nodes });
    expect(network.nodes.map(({ layer }) => layer)).toEqual(['relu']);
    expect(notes).toEqual([`end: the final ${op} is left out; outputs are logits.`]);
  });

  it('take the softmax of older opsets over all axes behind its own', () => {
    const nodes = [{ op: 'Softmax', attributes: { axis: 1 } }];
    expect(read({ input: [0, 4, 1, 1], nodes, opset: 11 }).notes.length).toBe(1);
    expect(read({ input: [0, 4, 1, 1], nodes, opset: 13 }).notes.length).toBe(1);
    expect(read({ input: [0, 4, 3, 1], nodes, opset: 11 }).notes.length).toBe(1);
    expect(() => read({ input: [0, 4, 3, 1], nodes, opset: 13 })).toThrow('a softmax over all');
  });

  it.each([7, 21, 23, 25])('are of opset %i', (opset) => {
    expect(read({ input: [1], nodes: [relu], opset }).network.nodes.length).toBe(1);
  });

  it.each([6, 26, 0])('are of opset 7 to 25, not %i', (opset) => {
    expect(() => read({ input: [1], nodes: [relu], opset })).toThrow(
      `f: expected operator set 7 to 25, got ${opset}.`,
    );
  });

  it('have one input of fixed sizes and one output', () => {
    expect(() => read({ input: [1, 0, 3], nodes: [relu] })).toThrow(
      'f: input x: expected sizes fixed behind the batch, got [1, N, 3].',
    );
    const two = message({ input: [1], nodes: [relu] });
    two.graph!.input!.push({ name: 'y' });
    expect(readOnnx(encodeModel(two), 'f').network.input).toEqual([1]);
    two.graph!.node!.splice(0, 1, { op_type: 'Add', input: ['x', 'y'], output: ['v0'] });
    expect(() => readOnnx(encodeModel(two), 'f')).toThrow('f: expected one input, got [x, y].');
    const half = message({ input: [1], nodes: [relu] });
    const type = { tensor_type: { elem_type: 10, shape: {} } };
    half.graph!.input!.splice(0, 1, { name: 'x', type });
    expect(() => readOnnx(encodeModel(half), 'f')).toThrow(
      'f: input x: expected float, got float16. The network is read and proved in float32 alone',
    );
    const none = message({ input: [1], nodes: [relu] });
    none.graph!.output!.pop();
    expect(() => readOnnx(encodeModel(none), 'f')).toThrow('f: expected one output, got [].');
    const shapeless = message({ input: [1], nodes: [relu] });
    shapeless.graph!.input!.splice(0, 1, { name: 'x' });
    expect(() => readOnnx(encodeModel(shapeless), 'f')).toThrow('f: input x: expected a shape');
  });

  it('give every name once', () => {
    expect(() => read({ input: [1], nodes: [relu, { op: 'Tanh', out: ['v0'] }] })).toThrow(
      'every value made once',
    );
    expect(() => read({ input: [1], nodes: [{ op: 'Relu', out: ['x'] }] })).toThrow('made once');
    const twice = message({ input: [1], nodes: [relu], tensors: { a: floats([1]) } });
    twice.graph!.initializer!.push({ ...floats([1]), name: 'a' });
    expect(() => readOnnx(encodeModel(twice), 'f')).toThrow('initialisers of different names');
  });

  it('make names of ours of any names', () => {
    const names = ['/a/Relu', '/a/Relu', 'input', '...', 'ключ', '__proto__'];
    const nodes = names.map((name) => ({ op: 'Relu', name }));
    expect(read({ input: [1], nodes }).network.nodes.map(({ name }) => name)).toEqual([
      ...['a-Relu', 'a-Relu-2', 'input-2', 'relu', 'relu-2', '__proto__'],
    ]);
  });
});
