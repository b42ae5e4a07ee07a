/** Cases for the ONNX reader: operators over constants, and what layers make of extremes and choices. */
import { type FileCase, floats, type NodeCase, wholes } from '../helpers/onnx-files';
import { type OperatorCase, of } from './onnx-case';

/** `op` over constants, added to the input. */
const folded = (
  op: string,
  tensors: NonNullable<FileCase['tensors']>,
  attributes: NodeCase['attributes'] = {},
  rest: Partial<OperatorCase> = {},
): OperatorCase =>
  of(
    `${op} of constants`,
    [1, 3],
    [
      { op, in: Object.keys(tensors), attributes: attributes ?? {} },
      { op: 'Cast', attributes: { to: 1 } },
      { op: 'Add', in: ['x', 'v1'] },
    ],
    { opset: 18, tensors, layers: ['scale'], ...rest },
  );

const three = (...values: readonly [number, number, number]) => floats([3], values);
const truths = (...values: readonly number[]) => ({
  data_type: 9,
  dims: [values.length],
  int32_data: [...values],
});

const UNARY: readonly string[] = [
  ...[
    'Abs',
    'Asin',
    'Acos',
    'Asinh',
    'Atan',
    'Atanh',
    'Ceil',
    'Cos',
    'Cosh',
    'Elu',
    'Erf',
    'Exp',
    'Floor',
  ],
  ...[
    'HardSigmoid',
    'HardSwish',
    'LeakyRelu',
    'Mish',
    'Neg',
    'Reciprocal',
    'Relu',
    'Round',
    'Selu',
  ],
  ...[
    'Sigmoid',
    'Sign',
    'Sin',
    'Sinh',
    'Softplus',
    'Softsign',
    'Tan',
    'Tanh',
    'Softmax',
    'LogSoftmax',
  ],
];

const FOLDED: readonly OperatorCase[] = [
  ...UNARY.map((op) => folded(op, { a: three(-0.75, 0.5, 0.9) })),
  folded('Round', { a: three(0.5, 1.5, -2.5) }),
  folded('Erf', { a: three(-3.5, 1.5, 7) }),
  ...['Sqrt', 'Log'].map((op) => folded(op, { a: three(0.25, 1, 3) })),
  folded('Acosh', { a: three(1, 1.5, 3) }),
  ...['none', 'tanh'].map((approximate) =>
    folded('Gelu', { a: three(-1, 0.3, 2) }, { approximate }, { opset: 20 }),
  ),
  folded('IsNaN', { a: three(Number.NaN, 0, 1) }),
  folded('Not', { a: truths(0, 1, 0) }),
  ...['And', 'Or', 'Xor'].map((op) => folded(op, { a: truths(0, 1, 1), b: truths(1, 1, 0) })),
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((op) =>
    folded(op, { a: three(1, 2, 3), b: three(2, 2, 2) }),
  ),
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min', 'Mean', 'Sum', 'PRelu'].map((op) =>
    folded(op, { a: three(1, 2, 3), b: floats([1], [0.7]) }),
  ),
  folded('Mod', { a: wholes([7, -7, 8]), b: wholes([3, 3, -3]) }),
  folded('Mod', { a: three(7.5, -7.5, 8), b: three(3, 3, -3) }, { fmod: 1 }),
  folded('Div', { a: wholes([7, -7, 8]), b: wholes([3, 3, -3]) }),
  folded('Where', { c: truths(1, 0, 1), a: three(1, 2, 3), b: floats([1], [9]) }),
  folded('Clip', { a: wholes([1, 5, 9]), lo: wholes([2], []), hi: wholes([6], []) }),
  folded('Range', { a: wholes([2], []), b: wholes([9], []), c: wholes([3], []) }),
  folded('Size', { a: floats([2, 3]) }),
  folded('CastLike', { a: wholes([1, 2, 3]), b: floats([]) }),
  folded('Expand', { a: floats([1], [2]), s: wholes([1, 3]) }),
  folded('Tile', { a: floats([1, 1], [2]), s: wholes([1, 3]) }),
  folded('ReduceSum', { a: floats([2, 3]), axes: wholes([0]) }, { keepdims: 0 }),
  ...['ReduceL1', 'ReduceL2', 'ReduceLogSumExp', 'ReduceMax', 'ReduceMean'].map((op) =>
    folded(op, { a: floats([2, 3]), axes: wholes([0]) }),
  ),
  ...['ReduceMin', 'ReduceProd', 'ReduceSumSquare'].map((op) =>
    folded(op, { a: floats([3, 2]), axes: wholes([1]) }, { keepdims: 0 }),
  ),
  folded('ReduceLogSum', { a: floats([2, 3], [1, 2, 3, 4, 5, 6]), axes: wholes([-2]) }),
  folded('ReduceMean', { a: floats([2, 3]) }, { keepdims: 0 }),
  folded(
    'EyeLike',
    { a: floats([3, 3]) },
    { k: 1, dtype: 1 },
    { layers: ['reshape', 'select', 'elementwise', 'flatten'], input: [1, 3] },
  ),
  folded('QuantizeLinear', {
    a: three(-1, 0.26, 9),
    s: floats([], [0.05]),
    z: { data_type: 2, dims: [], int32_data: [7] },
  }),
  folded('DequantizeLinear', {
    a: { data_type: 3, dims: [3], int32_data: [-128, 3, 127] },
    s: floats([], [0.05]),
  }),
  folded(
    'DequantizeLinear',
    {
      a: { data_type: 2, dims: [1, 3], int32_data: [0, 3, 255] },
      s: three(0.1, 0.2, 0.3),
      z: { data_type: 2, dims: [3], int32_data: [1, 2, 3] },
    },
    { axis: 1 },
  ),
  folded(
    'DequantizeLinear',
    {
      a: { data_type: 22, dims: [1, 3], raw_data: Uint8Array.of(0x8f, 0x07) },
      s: floats([1, 2], [0.5, 2]),
    },
    { axis: 1, block_size: 2 },
    { opset: 21 },
  ),
  folded('MatMul', { a: floats([2, 3]), b: floats([3]) }, {}, { input: [1, 2] }),
  folded(
    'MatMul',
    { a: floats([2, 1, 4]), b: floats([1, 4, 3]) },
    {},
    { input: [1, 3], layers: ['reshape', 'select', 'elementwise', 'flatten'] },
  ),
  folded(
    'Gemm',
    { a: floats([4, 1]), b: floats([3, 4]), c: floats([3]) },
    { transA: 1, transB: 1, alpha: { float: 0.3 } },
  ),
  folded('Conv', { a: floats([1, 2, 4]), w: floats([1, 2, 3]), b: floats([1]) }, { pads: [1, 0] }),
  folded('MaxPool', { a: floats([1, 1, 5]) }, { kernel_shape: [3] }),
  folded('AveragePool', { a: floats([1, 1, 4]) }, { kernel_shape: [3], pads: [1, 0] }),
  folded('BatchNormalization', {
    a: floats([1, 3]),
    s: floats([3]),
    b: floats([3]),
    m: floats([3]),
    v: three(0.5, 1, 2),
  }),
  folded('Pad', { a: floats([1], [2]), p: wholes([1, 1]), v: floats([], [0.5]) }),
  folded('Concat', { a: floats([1], [2]), b: floats([2], [3, 4]) }, { axis: 0 }),
  folded('Transpose', { a: floats([3, 1]) }),
  folded(
    'GlobalAveragePool',
    { a: floats([1, 3, 2, 2]) },
    {},
    { input: [1, 3, 1, 1], layers: ['scale', 'flatten'] },
  ),
].map((c, i) => ({ ...c, title: `${c.title} (${i})` }));

const VALUES: readonly OperatorCase[] = [
  of('Abs', [0, 3], [{ op: 'Abs' }], { layers: ['abs'] }),
  ...['none', 'tanh'].map((approximate) =>
    of(`Gelu ${approximate}`, [0, 3], [{ op: 'Gelu', attributes: { approximate } }], {
      opset: 20,
      layers: ['gelu'],
    }),
  ),
  of('HardSwish', [0, 3], [{ op: 'HardSwish' }], { opset: 14, layers: ['hard-swish'] }),
  of('silu', [0, 3], [{ op: 'Sigmoid' }, { op: 'Mul', in: ['x', 'v0'] }], { layers: ['silu'] }),
  of('Neg', [0, 3], [{ op: 'Neg' }], { layers: ['scale'] }),
  of('HardSigmoid', [0, 3], [{ op: 'HardSigmoid' }], { layers: ['scale', 'clip'] }),
  of('ThresholdedRelu', [0, 3], [{ op: 'ThresholdedRelu', attributes: { alpha: { float: 0 } } }], {
    layers: ['relu'],
  }),
  of('PRelu of one slope', [0, 3], [{ op: 'PRelu', in: ['x', 's'] }], {
    tensors: { s: floats([1], [0.25]) },
    layers: ['leaky-relu'],
  }),
  of('PRelu of many slopes', [0, 3, 2], [{ op: 'PRelu', in: ['x', 's'] }], {
    tensors: { s: floats([3, 1], [0.25, -1, 2]) },
  }),
  ...['Max', 'Min'].flatMap((op) => [
    of(`${op} and one number`, [0, 3], [{ op, in: ['x', 'c'] }], {
      tensors: { c: floats([], [0.25]) },
      layers: ['clip'],
    }),
    of(`${op} and numbers`, [0, 2, 3], [{ op, in: ['c', 'x', 'd'] }], {
      tensors: { c: floats([3]), d: floats([1]) },
    }),
    of(`${op} of values`, [0, 2, 3], [{ op: 'Tanh' }, { op, in: ['x', 'v0', 'c'] }], {
      tensors: { c: floats([1], [0.1]) },
    }),
  ]),
  of('Mean', [0, 3], [{ op: 'Mean', in: ['x', 'c', 'x'] }], { tensors: { c: floats([3]) } }),
  of('Where', [0, 3], [{ op: 'Tanh' }, { op: 'Where', in: ['c', 'x', 'v0'] }], {
    tensors: { c: truths(1, 0, 1) },
  }),
  of('Where with numbers', [0, 3], [{ op: 'Where', in: ['c', 'n', 'x'] }], {
    tensors: { c: truths(1, 0, 1), n: floats([3], [7, Number.POSITIVE_INFINITY, 9]) },
  }),
  of(
    'Scaler',
    [0, 3],
    [
      {
        op: 'Scaler',
        domain: 'ai.onnx.ml',
        attributes: { offset: { many: [1, 2, 3] }, scale: { many: [0.5, 2, 3] } },
      },
    ],
  ),
  of('Tile', [0, 2, 3], [{ op: 'Tile', in: ['x', 'r'] }], { tensors: { r: wholes([1, 2, 3]) } }),
  of('DepthToSpace', [0, 8, 2, 3], [{ op: 'DepthToSpace', attributes: { blocksize: 2 } }]),
  of('SpaceToDepth', [0, 2, 4, 6], [{ op: 'SpaceToDepth', attributes: { blocksize: 2 } }]),
  of(
    'Upsample',
    [0, 1, 2, 3],
    [{ op: 'Upsample', attributes: { scales: { many: [1, 1, 2, 3] } } }],
    { opset: 8 },
  ),
  of(
    'Resize',
    [0, 1, 2, 3],
    [{ op: 'Resize', in: ['x', '', '', 's'], attributes: { nearest_mode: 'floor' } }],
    {
      tensors: { s: wholes([1, 1, 5, 4]) },
      opset: 13,
    },
  ),
  ...['ReduceMax', 'ReduceMin', 'ReduceL1'].map((op) =>
    of(op, [0, 2, 3, 4], [{ op, attributes: { axes: [1, -1], keepdims: 0 } }]),
  ),
  of(
    'Concat with constants',
    [1, 2, 3],
    [{ op: 'Tanh' }, { op: 'Concat', in: ['c', 'x', 'c', 'v0'], attributes: { axis: 2 } }],
    {
      tensors: { c: floats([1, 2, 2]) },
    },
  ),
  of('MatMul over rows', [0, 4, 3], [{ op: 'MatMul', in: ['x', 'w'] }], {
    tensors: { w: floats([3, 5]) },
    layers: ['permute', 'reshape', 'conv2d', 'reshape', 'permute', 'flatten'],
  }),
  of('MatMul from the left over columns', [0, 4, 3], [{ op: 'MatMul', in: ['w', 'x'] }], {
    tensors: { w: floats([5, 4]) },
    layers: ['reshape', 'conv2d', 'flatten'],
  }),
  of('MatMul of stacks', [1, 2, 4, 3], [{ op: 'MatMul', in: ['x', 'w'] }], {
    tensors: { w: floats([2, 3, 5]) },
  }),
  of('Gemm over rows', [4, 3], [{ op: 'Gemm', in: ['x', 'w', 'b'] }], {
    tensors: { w: floats([3, 5]), b: floats([5]) },
  }),
  of(
    'Gemm from the left',
    [4, 3],
    [{ op: 'Gemm', in: ['w', 'x', 'b'], attributes: { transB: 1 } }],
    {
      tensors: { w: floats([5, 3]), b: floats([5, 1]) },
    },
  ),
];

export const CONSTANT_CASES: readonly OperatorCase[] = [...FOLDED, ...VALUES];
