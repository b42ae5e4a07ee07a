/** One file or more for every operator and attribute that is understood. */
import { type FileCase, floats, type NodeCase, wholes } from '../helpers/onnx-files';

export interface OperatorCase extends FileCase {
  readonly title: string;
  /** The layers it becomes, where that matters. */
  readonly layers?: readonly string[];
}

const of = (
  title: string,
  input: readonly number[],
  nodes: readonly NodeCase[],
  rest: Partial<OperatorCase> = {},
): OperatorCase => ({ title, input, nodes, ...rest });

const relu: NodeCase = { op: 'Relu' };
const window = (op: string, attributes: NodeCase['attributes'], extra: readonly string[] = []) => ({
  ...{ op, in: ['x', ...extra], attributes: attributes ?? {} },
});

const CONV: readonly OperatorCase[] = [
  ['plain', [1, 2, 5, 6], [3, 2, 3, 3], {}],
  ['groups', [1, 4, 5, 5], [6, 2, 3, 3], { group: 2 }],
  ['depthwise', [1, 3, 5, 5], [3, 1, 2, 2], { group: 3, strides: [2, 1] }],
  ['dilations and pads', [1, 2, 7, 6], [2, 2, 3, 2], { dilations: [2, 3], pads: [1, 0, 2, 3] }],
  ['SAME_UPPER', [1, 1, 5, 6], [2, 1, 4, 3], { auto_pad: 'SAME_UPPER', strides: [2, 2] }],
  ['SAME_LOWER', [1, 1, 5, 6], [2, 1, 4, 2], { auto_pad: 'SAME_LOWER', strides: [2, 1] }],
  ['VALID', [1, 1, 5, 6], [2, 1, 2, 3], { auto_pad: 'VALID', kernel_shape: [2, 3] }],
  ['one dimension', [1, 3, 9], [2, 3, 4], { pads: [2, 1], strides: [2] }],
  ['open batch', [0, 2, 5, 6], [3, 2, 3, 3], { auto_pad: 'NOTSET' }],
].map(([title, input, w, attributes]) => {
  const shape = w as number[];
  return of(
    `Conv ${title}`,
    input as number[],
    [window('Conv', attributes as NodeCase['attributes'], ['w', 'b'])],
    {
      tensors: { w: floats(shape), b: floats([shape[0]!]) },
    },
  );
});

const POOL: readonly OperatorCase[] = ['MaxPool', 'AveragePool'].flatMap((op) =>
  (
    [
      ['plain', [1, 2, 6, 6], { kernel_shape: [2, 2], strides: [2, 2] }],
      ['stride 1 by default', [1, 2, 5, 4], { kernel_shape: [2, 3] }],
      ['pads', [1, 2, 5, 6], { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 2, 1] }],
      [
        'SAME_UPPER',
        [1, 1, 5, 6],
        { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_UPPER' },
      ],
      ['SAME_LOWER', [1, 1, 5, 6], { kernel_shape: [2, 2], auto_pad: 'SAME_LOWER' }],
      ['ceil_mode', [1, 1, 6, 7], { kernel_shape: [3, 2], strides: [2, 2], ceil_mode: 1 }],
      [
        'ceil_mode with pads',
        [1, 1, 6, 6],
        { kernel_shape: [3, 3], strides: [3, 2], pads: [1, 1, 1, 1], ceil_mode: 1 },
      ],
      [
        'ceil_mode with a window to drop',
        [1, 1, 4, 4],
        { kernel_shape: [2, 2], strides: [3, 3], pads: [0, 0, 1, 1], ceil_mode: 1 },
      ],
      ['one dimension', [1, 3, 9], { kernel_shape: [3], strides: [2], pads: [1, 1] }],
    ] as const
  ).map(([title, input, attributes]) =>
    of(`${op} ${title}`, input, [window(op, attributes as NodeCase['attributes'])], {
      layers: [op === 'MaxPool' ? 'max-pool' : 'avg-pool', 'flatten'],
    }),
  ),
);

const COUNTED: readonly OperatorCase[] = (
  [
    ['pads', [1, 2, 5, 6], { pads: [1, 0, 2, 1], strides: [2, 2] }],
    ['ceil_mode', [1, 1, 6, 6], { pads: [1, 1, 1, 1], strides: [3, 2], ceil_mode: 1 }],
  ] as const
).map(([title, input, attributes]) =>
  of(
    `AveragePool count_include_pad ${title}`,
    input,
    [
      window('AveragePool', {
        kernel_shape: [3, 3],
        count_include_pad: 1,
        ...attributes,
      } as object),
    ],
    { opset: 19 },
  ),
);

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
    'Sub and Div are a normalise',
    [0, 2, 3, 3],
    [binary('Sub', 'x', 'c'), binary('Div', 'v0', 'c')],
    [2, 1, 1],
    ['normalise'],
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

const STRUCTURE: readonly OperatorCase[] = [
  of('Flatten', [0, 2, 3], [{ op: 'Flatten' }, relu], { layers: ['flatten', 'relu'] }),
  of('Flatten axis', [1, 2, 3], [{ op: 'Flatten', attributes: { axis: 2 } }]),
  of('Flatten negative axis', [1, 1, 3], [{ op: 'Flatten', attributes: { axis: -1 } }]),
  of('Reshape', [0, 2, 6], [{ op: 'Reshape', in: ['x', 's'] }], {
    tensors: { s: wholes([0, 3, -1]) },
  }),
  of('Reshape to a fixed batch', [1, 2, 6], [{ op: 'Reshape', in: ['x', 's'] }], {
    tensors: { s: wholes([1, 12]) },
  }),
  of(
    'Reshape by computed shape',
    [0, 2, 6],
    [
      { op: 'Shape', in: ['x'] },
      { op: 'Gather', in: ['v0', 'zero'] },
      { op: 'Unsqueeze', in: ['v1', 'axes'] },
      { op: 'Constant', in: [], attributes: { value: wholes([-1]) } },
      { op: 'Concat', in: ['v2', 'v3'], attributes: { axis: 0 } },
      { op: 'Cast', in: ['v4'], attributes: { to: 7 } },
      { op: 'Reshape', in: ['x', 'v5'] },
    ],
    { tensors: { zero: wholes([0], []), axes: wholes([0]) }, layers: ['flatten'] },
  ),
  of(
    'Reshape by arithmetic of shapes',
    [0, 2, 6],
    [
      { op: 'Shape', in: ['x'] },
      { op: 'Slice', in: ['v0', 'one', 'two'] },
      { op: 'Slice', in: ['v0', 'two', 'far'] },
      { op: 'Mul', in: ['v1', 'v2'] },
      { op: 'Div', in: ['v3', 'five'] },
      { op: 'Concat', in: ['minus', 'v4', 'minus6'], attributes: { axis: 0 } },
      { op: 'Reshape', in: ['x', 'v5'] },
    ],
    {
      tensors: {
        one: wholes([1]),
        two: wholes([2]),
        far: wholes([2 ** 53]),
        five: wholes([5]),
        minus: wholes([1]),
        minus6: wholes([-1]),
      },
    },
  ),
  of(
    'Shape from start to end',
    [0, 2, 6],
    [
      { op: 'Shape', in: ['x'], attributes: { start: 1 } },
      { op: 'Concat', in: ['m', 'v0'], attributes: { axis: 0 } },
      { op: 'Reshape', in: ['x', 'v1'] },
    ],
    { opset: 15, tensors: { m: wholes([-1]) } },
  ),
  of(
    'Squeeze and Unsqueeze by attributes',
    [1, 1, 3, 1],
    [
      { op: 'Squeeze', attributes: { axes: [1, 3] } },
      { op: 'Unsqueeze', attributes: { axes: [1, 3] } },
      { op: 'Squeeze' },
      { op: 'Unsqueeze', attributes: { axes: [0] } },
      relu,
    ],
    { opset: 11 },
  ),
  of(
    'Squeeze and Unsqueeze by inputs',
    [1, 1, 3, 1],
    [{ op: 'Squeeze', in: ['x', 'a'] }, { op: 'Unsqueeze', in: ['v0', 'b'] }, relu],
    { tensors: { a: wholes([-1, 1]), b: wholes([-1]) } },
  ),
  of('Transpose', [0, 2, 3, 4], [{ op: 'Transpose', attributes: { perm: [0, 3, 1, 2] } }], {
    layers: ['permute', 'flatten'],
  }),
  of(
    'Transpose of ones is a new name',
    [0, 1, 3],
    [{ op: 'Transpose', attributes: { perm: [0, 2, 1] } }, relu],
    { layers: ['relu', 'flatten'] },
  ),
  of(
    'Transpose of weights',
    [1, 5],
    [
      { op: 'Transpose', in: ['w'] },
      { op: 'MatMul', in: ['x', 'v0'] },
    ],
    { tensors: { w: floats([3, 5]) }, layers: ['dense'] },
  ),
  of(
    'Transpose of three axes of a constant',
    [1, 2, 3, 4],
    [
      { op: 'Transpose', in: ['c'], attributes: { perm: [1, 2, 0] } },
      { op: 'Add', in: ['x', 'v0'] },
    ],
    { tensors: { c: floats([4, 2, 3]) } },
  ),
  of(
    'Concat of channels',
    [0, 2, 3, 3],
    [
      { op: 'Relu', in: ['x'] },
      { op: 'Concat', in: ['v0', 'x'], attributes: { axis: 1 } },
    ],
    { layers: ['relu', 'concat', 'flatten'] },
  ),
  of(
    'Concat of columns',
    [0, 2, 3, 3],
    [
      { op: 'Relu', in: ['x'] },
      { op: 'Concat', in: ['v0', 'x', 'v0'], attributes: { axis: -1 } },
    ],
  ),
  of(
    'Concat after reshaping',
    [0, 6],
    [
      { op: 'Reshape', in: ['x', 's'] },
      { op: 'Sigmoid', in: ['v0'] },
      { op: 'Concat', in: ['v1', 'v0'], attributes: { axis: 2 } },
    ],
    { tensors: { s: wholes([-1, 2, 3]) } },
  ),
  ...[
    of(
      'Split in halves',
      [0, 4, 2],
      [
        { op: 'Split', attributes: { axis: 1 }, out: ['p', 'q'] },
        { op: 'Add', in: ['q', 'p'] },
      ],
      { opset: 11 },
    ),
    of(
      'Split by attribute',
      [0, 4],
      [
        { op: 'Split', attributes: { axis: 1, split: [1, 3] }, out: ['p', 'q'] },
        { op: 'Relu', in: ['q'] },
      ],
      { opset: 11 },
    ),
    of(
      'Split by input',
      [0, 2, 5],
      [
        { op: 'Split', in: ['x', 's'], attributes: { axis: -1 }, out: ['p', 'q'] },
        { op: 'Relu', in: ['p'] },
      ],
      { tensors: { s: wholes([2, 3]) } },
    ),
    of(
      'Split unevenly',
      [0, 5],
      [
        { op: 'Split', attributes: { axis: 1, num_outputs: 2 }, out: ['p', 'q'] },
        { op: 'Relu', in: ['q'] },
      ],
      { opset: 18 },
    ),
  ],
  of(
    'Slice by attributes',
    [0, 4, 5],
    [{ op: 'Slice', attributes: { starts: [1, -3], ends: [3, 100], axes: [1, 2] } }],
    { opset: 9 },
  ),
  of('Slice backwards', [0, 4, 5], [{ op: 'Slice', in: ['x', 'a', 'b', 'axes', 'steps'] }], {
    tensors: {
      a: wholes([-1, 0]),
      b: wholes([-100, 5]),
      axes: wholes([1, 2]),
      steps: wholes([-2, 3]),
    },
  }),
  of('Slice that takes all', [0, 4], [{ op: 'Slice', in: ['x', 'a', 'b', 'axes'] }, relu], {
    tensors: { a: wholes([0]), b: wholes([2 ** 53]), axes: wholes([1]) },
    layers: ['relu'],
  }),
  of('Gather', [0, 4, 5], [{ op: 'Gather', in: ['x', 'i'], attributes: { axis: 1 } }], {
    tensors: { i: wholes([3, -4, 3]) },
  }),
  of('Gather one place', [0, 4, 5], [{ op: 'Gather', in: ['x', 'i'], attributes: { axis: 2 } }], {
    tensors: { i: wholes([-1], []) },
  }),
  of('Gather a table', [0, 6], [{ op: 'Gather', in: ['x', 'i'], attributes: { axis: 1 } }], {
    tensors: { i: wholes([0, 1, 2, 3], [2, 2]) },
  }),
  of('Expand', [0, 2, 1], [{ op: 'Expand', in: ['x', 's'] }], {
    tensors: { s: wholes([1, 1, 2, 3]) },
  }),
  of(
    'ConstantOfShape',
    [0, 2, 3],
    [
      { op: 'ConstantOfShape', in: ['s'], attributes: { value: floats([1], [2.5]) } },
      { op: 'Mul', in: ['x', 'v0'] },
    ],
    { tensors: { s: wholes([2, 3]) } },
  ),
  of(
    'ConstantOfShape of zeros',
    [0, 3],
    [{ op: 'ConstantOfShape', in: ['s'] }, { op: 'Add', in: ['x', 'v0'] }, relu],
    { tensors: { s: wholes([3]) }, layers: ['relu'] },
  ),
  ...[
    of(
      'Constant float',
      [0, 3],
      [
        { op: 'Constant', in: [], attributes: { value_float: { float: 0.75 } } },
        { op: 'Mul', in: ['x', 'v0'] },
      ],
    ),
    of(
      'Constant ints',
      [0, 2, 3],
      [
        { op: 'Constant', in: [], attributes: { value_ints: [-1, 6] } },
        { op: 'Reshape', in: ['x', 'v0'] },
      ],
    ),
    of(
      'Constant int',
      [0, 2, 3],
      [
        { op: 'Constant', in: [], attributes: { value_int: 2 } },
        { op: 'Gather', in: ['x', 'v0'], attributes: { axis: 2 } },
      ],
    ),
  ],
];

const PAD: readonly OperatorCase[] = [
  of(
    'Pad by attributes',
    [0, 2, 3, 3],
    [{ op: 'Pad', attributes: { pads: [0, 0, 1, 0, 0, 0, 2, 1] } }],
    { opset: 7, layers: ['pad', 'flatten'] },
  ),
  of('Pad by input', [0, 2, 3], [{ op: 'Pad', in: ['x', 'p'] }], {
    tensors: { p: wholes([0, 1, 0, 0, 0, 2]) },
  }),
  of('Pad with a number', [0, 2, 3], [{ op: 'Pad', in: ['x', 'p', 'c'] }], {
    tensors: { p: wholes([0, 1, 0, 0, 0, 2]), c: floats([], [0.5]) },
  }),
  of('Pad of some axes', [0, 2, 3], [{ op: 'Pad', in: ['x', 'p', '', 'a'] }], {
    opset: 18,
    tensors: { p: wholes([1, 2]), a: wholes([-1]) },
  }),
  of('Pad that crops', [0, 2, 5], [{ op: 'Pad', in: ['x', 'p'] }], {
    tensors: { p: wholes([0, 0, -1, 0, 1, -2]) },
  }),
  of('Pad of nothing', [0, 4], [{ op: 'Pad', in: ['x', 'p'] }, relu], {
    tensors: { p: wholes([0, 0, 0, 0]) },
    layers: ['relu'],
  }),
];

const REDUCE: readonly OperatorCase[] = [
  of('GlobalAveragePool', [0, 3, 4, 5], [{ op: 'GlobalAveragePool' }], {
    layers: ['avg-pool', 'flatten'],
  }),
  of('GlobalAveragePool of lines', [0, 3, 5], [{ op: 'GlobalAveragePool' }]),
  of('GlobalMaxPool', [0, 3, 4, 5], [{ op: 'GlobalMaxPool' }]),
  of(
    'ReduceMean of planes',
    [0, 3, 4, 5],
    [{ op: 'ReduceMean', attributes: { axes: [2, 3], keepdims: 0 } }],
    { layers: ['reduce', 'flatten'] },
  ),
  of('ReduceMean by input', [0, 3, 4, 5], [{ op: 'ReduceMean', in: ['x', 'a'] }], {
    opset: 18,
    tensors: { a: wholes([-3]) },
  }),
  of('ReduceMean of all', [1, 3, 4], [{ op: 'ReduceMean', attributes: { keepdims: 0 } }]),
  of('ReduceSum by attribute', [0, 3, 4], [{ op: 'ReduceSum', attributes: { axes: [-1] } }], {
    opset: 11,
  }),
  of(
    'ReduceSum by input',
    [0, 3, 4],
    [{ op: 'ReduceSum', in: ['x', 'a'], attributes: { keepdims: 0 } }],
    { tensors: { a: wholes([1]) } },
  ),
  of(
    'ReduceSum of nothing',
    [0, 3, 4],
    [{ op: 'ReduceSum', attributes: { noop_with_empty_axes: 1 } }, relu],
    { layers: ['relu', 'flatten'] },
  ),
];

export const OPERATOR_CASES: readonly OperatorCase[] = [
  ...CONV,
  ...POOL,
  ...COUNTED,
  ...PRODUCT,
  ...ARITHMETIC,
  ...POINTWISE,
  ...STRUCTURE,
  ...PAD,
  ...REDUCE,
];
