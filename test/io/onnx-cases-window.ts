/** Cases for the ONNX reader: windows, padding, sums. */
import { floats, type NodeCase, wholes } from '../helpers/onnx-files';
import { type OperatorCase, of, relu } from './onnx-case';

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
      layers: [
        ...(input.length === 3 ? ['reshape'] : []),
        op === 'MaxPool' ? 'max-pool' : 'avg-pool',
        'flatten',
      ],
    }),
  ),
);

const COUNTED: readonly OperatorCase[] = (
  [
    // The kernel of opset 19 in onnxruntime 1.23 takes uneven pads for others.
    [11, 'pads', [1, 2, 5, 6], { pads: [1, 0, 2, 1], strides: [2, 2] }],
    [19, 'ceil_mode', [1, 1, 6, 6], { pads: [1, 1, 1, 1], strides: [3, 2], ceil_mode: 1 }],
  ] as const
).map(([opset, title, input, attributes]) =>
  of(
    `AveragePool count_include_pad ${title}`,
    input,
    [
      window('AveragePool', {
        kernel_shape: [3, 3],
        count_include_pad: 1,
        ...attributes,
      } as NodeCase['attributes']),
    ],
    { opset },
  ),
);

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
    [{ op: 'ReduceSum', in: ['x', 'a'], attributes: { noop_with_empty_axes: 1 } }, relu],
    { tensors: { a: wholes([]) }, layers: ['relu', 'flatten'] },
  ),
];

export const WINDOW_CASES: readonly OperatorCase[] = [
  ...CONV,
  ...POOL,
  ...COUNTED,
  ...PAD,
  ...REDUCE,
];
