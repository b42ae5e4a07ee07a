/** Cases for the ONNX reader: products, arithmetic, functions. */
import { floats, type NodeCase } from '../helpers/onnx-files';
import { type OperatorCase, of, relu } from './onnx-case';

const arithmetic = (
  title: string,
  input: readonly number[],
  nodes: readonly NodeCase[],
  shape: readonly number[],
  layers?: readonly string[],
): OperatorCase =>
  of(title, input, nodes, {
    tensors: {
      c: floats(
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => 0.5 + i / 8),
      ),
    },
    ...(layers ? { layers: [...layers, ...(input.length > 2 ? ['flatten'] : [])] } : {}),
  });

const binary = (op: string, ...inputs: string[]): NodeCase => ({ op, in: inputs });

const PRODUCT: readonly OperatorCase[] = [
  of('Gemm', [1, 5], [{ op: 'Gemm', in: ['x', 'w'] }], {
    tensors: { w: floats([5, 3]) },
    layers: ['dense'],
  }),
  of(
    'Gemm alpha beta transB',
    [0, 5],
    [
      {
        op: 'Gemm',
        in: ['x', 'w', 'c'],
        attributes: { alpha: { float: 0.5 }, beta: { float: -2 }, transB: 1 },
      },
    ],
    { tensors: { w: floats([3, 5]), c: floats([1, 3]) } },
  ),
  of(
    'Gemm transA, one number as C',
    [5, 1],
    [{ op: 'Gemm', in: ['x', 'w', 'c'], attributes: { transA: 1 } }],
    { tensors: { w: floats([5, 3]), c: floats([], [0.5]) } },
  ),
  of(
    'MatMul and Add',
    [1, 5],
    [{ op: 'MatMul', in: ['x', 'w'] }, { op: 'Add', in: ['b', 'v0'] }, relu],
    { tensors: { w: floats([5, 3]), b: floats([3]) }, layers: ['dense', 'relu'] },
  ),
  of(
    'MatMul and Sub',
    [0, 5],
    [
      { op: 'MatMul', in: ['x', 'w'] },
      { op: 'Sub', in: ['v0', 'b'] },
    ],
    { tensors: { w: floats([5, 3]), b: floats([1, 3]) }, layers: ['dense'] },
  ),
  of(
    'MatMul read twice keeps its Add apart',
    [1, 5],
    [
      { op: 'MatMul', in: ['x', 'w'] },
      { op: 'Add', in: ['v0', 'b'] },
      { op: 'Add', in: ['v0', 'v1'] },
    ],
    { tensors: { w: floats([5, 3]), b: floats([3]) }, layers: ['dense', 'scale', 'add'] },
  ),
  of('MatMul of a vector', [5], [{ op: 'MatMul', in: ['x', 'w'] }], {
    tensors: { w: floats([5, 3]) },
  }),
  of('MatMul with a vector', [1, 5], [{ op: 'MatMul', in: ['x', 'w'] }], {
    tensors: { w: floats([5]) },
  }),
  of('MatMul from the left', [5, 1], [{ op: 'MatMul', in: ['w', 'x'] }], {
    tensors: { w: floats([3, 5]) },
  }),
  of('MatMul from the left of a vector', [5], [{ op: 'MatMul', in: ['w', 'x'] }], {
    tensors: { w: floats([3, 5]) },
  }),
  of(
    'MatMul of a transposed batch',
    [0, 5],
    [
      { op: 'Transpose', in: ['x'] },
      { op: 'MatMul', in: ['w', 'v0'] },
      { op: 'Transpose', in: ['v1'], attributes: { perm: [1, 0] } },
    ],
    { tensors: { w: floats([3, 5]) }, layers: ['dense'] },
  ),
];

const ARITHMETIC: readonly OperatorCase[] = [
  ...['Add', 'Sub', 'Mul', 'Div'].flatMap((op) => [
    arithmetic(`${op} one number`, [1, 2, 3, 3], [binary(op, 'x', 'c')], [], ['scale']),
    arithmetic(`${op} a channel`, [0, 2, 3, 3], [binary(op, 'x', 'c')], [2, 1, 1], ['scale']),
    arithmetic(
      `${op} a value`,
      [1, 2, 3, 3],
      [binary(op, 'x', 'c')],
      [1, 2, 3, 3],
      ['elementwise'],
    ),
    arithmetic(`${op} a column`, [0, 2, 3, 3], [binary(op, 'x', 'c')], [3], ['elementwise']),
    arithmetic(`${op} a unit`, [0, 4], [binary(op, 'x', 'c')], [4], ['scale']),
    arithmetic(`${op} repeats the input`, [1, 2, 1], [binary(op, 'x', 'c')], [3]),
  ]),
  arithmetic('a constant minus', [0, 4], [binary('Sub', 'c', 'x')], [4], ['scale']),
  arithmetic('a constant times', [0, 4], [binary('Mul', 'c', 'x')], [4], ['scale']),
  arithmetic(
    'two values',
    [0, 4],
    [binary('Mul', 'x', 'c'), binary('Sub', 'x', 'v0')],
    [4],
    ['scale', 'scale', 'add'],
  ),
  arithmetic('a value twice', [0, 4], [binary('Add', 'x', 'x')], []),
  arithmetic('a sum', [0, 4], [binary('Mul', 'x', 'c'), binary('Sum', 'v0', 'x', 'c', 'x')], [4]),
  arithmetic(
    'nothing added',
    [0, 4],
    [binary('Sub', 'c', 'c'), binary('Add', 'x', 'v0'), relu],
    [4],
    ['relu'],
  ),
  arithmetic(
    'Sub and Div are two',
    [0, 2, 3, 3],
    [binary('Sub', 'x', 'c'), binary('Div', 'v0', 'c')],
    [2, 1, 1],
    ['scale', 'scale'],
  ),
  arithmetic(
    'Mul and Add are a scale',
    [0, 2, 3, 3],
    [binary('Mul', 'x', 'c'), binary('Add', 'v0', 'c')],
    [2, 1, 1],
    ['scale'],
  ),
  arithmetic(
    'Sub and Mul are two',
    [0, 4],
    [binary('Sub', 'x', 'c'), binary('Mul', 'v0', 'c')],
    [4],
    ['scale', 'scale'],
  ),
];

const POINTWISE: readonly OperatorCase[] = [
  ...['Relu', 'Sigmoid', 'Tanh', 'LeakyRelu', 'Identity'].map((op) => of(op, [1, 4], [{ op }])),
  of('LeakyRelu alpha', [1, 4], [{ op: 'LeakyRelu', attributes: { alpha: { float: 0.3 } } }]),
  of(
    'Clip by attributes',
    [1, 4],
    [{ op: 'Clip', attributes: { min: { float: 0.25 }, max: { float: 0.5 } } }],
    { opset: 7, layers: ['clip'] },
  ),
  of('Clip by inputs', [1, 4], [{ op: 'Clip', in: ['x', 'a', 'b'] }], {
    tensors: { a: floats([], [-0.5]), b: floats([], [0.5]) },
    layers: ['clip'],
  }),
  of('Clip above', [1, 4], [{ op: 'Clip', in: ['x', '', 'b'] }], {
    tensors: { b: floats([], [0.25]) },
  }),
  of('Clip of nothing', [1, 4], [{ op: 'Clip', in: ['x'] }, relu], { layers: ['relu'] }),
  of('Dropout', [1, 4], [{ op: 'Dropout', out: ['d', 'mask'] }, relu], { layers: ['relu'] }),
  of('Dropout with a ratio', [1, 4], [{ op: 'Dropout', in: ['x', 'r'] }, relu], {
    tensors: { r: floats([], [0.5]) },
  }),
  of('Cast', [1, 4], [{ op: 'Cast', attributes: { to: 1 } }, relu], { layers: ['relu'] }),
  ...[9, 14].map((opset) =>
    of(
      `BatchNormalization ${opset}`,
      [0, 3, 2, 2],
      [
        {
          op: 'BatchNormalization',
          in: ['x', 's', 'b', 'm', 'v'],
          attributes: { epsilon: { float: 0.001 }, momentum: { float: 0.8 } },
        },
      ],
      {
        opset,
        tensors: { s: floats([3]), b: floats([3]), m: floats([3]), v: floats([3], [0.5, 1, 2]) },
        layers: ['batch-norm', 'flatten'],
      },
    ),
  ),
];

export const COMPUTE_CASES: readonly OperatorCase[] = [...PRODUCT, ...ARITHMETIC, ...POINTWISE];
