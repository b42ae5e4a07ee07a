/** Cases for the ONNX reader: what moves values or makes them. */
import { floats, wholes } from '../helpers/onnx-files';
import { type OperatorCase, of, relu } from './onnx-case';

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

export const STRUCTURE_CASES: readonly OperatorCase[] = [...STRUCTURE];
