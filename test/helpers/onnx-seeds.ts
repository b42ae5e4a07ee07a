/**
 * Damaged ONNX files: the bytes of sound ones, and the messages of sound ones with fields exchanged,
 * sizes blown up, names doubled and edges bent back, which the bytes alone rarely reach.
 */
import type { Draft, ModelProto } from '../../src/io/onnx/proto.gen';
import { encodeModel } from '../../src/io/onnx/wire';
import { mutate } from './mutate';
import { type FileCase, floats, message, wholes } from './onnx-files';
import type { Sampler } from './random';

/** Small files that between them have every operator that makes or moves numbers. */
const SEEDS: readonly FileCase[] = [
  {
    input: [0, 2, 5, 5],
    nodes: [
      { op: 'Conv', in: ['x', 'w', 'b'], attributes: { pads: [1, 0, 1, 0], strides: [2, 2] } },
      { op: 'Clip', in: ['v0', 'lo', 'hi'] },
      { op: 'MaxPool', attributes: { kernel_shape: [2, 2], ceil_mode: 1 } },
      {
        op: 'AveragePool',
        attributes: { kernel_shape: [1, 2], pads: [0, 1, 0, 0], count_include_pad: 1 },
      },
      { op: 'Flatten' },
      { op: 'MatMul', in: ['v4', 'm'] },
      { op: 'Add', in: ['v5', 'c'] },
      { op: 'Softmax' },
    ],
    tensors: {
      ...{ w: floats([3, 2, 3, 3]), b: floats([3]), m: floats([12, 3]), c: floats([3]) },
      ...{ lo: floats([], [0]), hi: floats([], [6]) },
    },
  },
  {
    input: [0, 2, 6],
    nodes: [
      { op: 'Shape', in: ['x'] },
      { op: 'Gather', in: ['v0', 'zero'] },
      { op: 'Unsqueeze', in: ['v1', 'zero1'] },
      { op: 'Concat', in: ['v2', 'rest'], attributes: { axis: 0 } },
      { op: 'Cast', attributes: { to: 7 } },
      { op: 'Reshape', in: ['x', 'v4'] },
      { op: 'Transpose', attributes: { perm: [0, 2, 1] } },
      { op: 'Slice', in: ['v6', 'start', 'end', 'axes'] },
      { op: 'Pad', in: ['v7', 'pads', 'one'] },
      { op: 'Split', in: ['v8'], attributes: { axis: 1 }, out: ['p', 'q'] },
      { op: 'Concat', in: ['p', 'q', 'p'], attributes: { axis: 2 } },
      { op: 'ReduceMean', attributes: { axes: [1], keepdims: 0 } },
      { op: 'Expand', in: ['v11', 'wide'] },
      { op: 'ConstantOfShape', in: ['wide'], attributes: { value: floats([1], [2]) } },
      { op: 'Mul', in: ['v12', 'v13'] },
      { op: 'Gather', in: ['v14', 'zero1'], attributes: { axis: 1 } },
    ],
    tensors: {
      ...{ zero: wholes([0], []), zero1: wholes([0]), rest: wholes([3, -1]), one: floats([], [1]) },
      ...{ start: wholes([0]), end: wholes([2]), axes: wholes([1]), wide: wholes([3, 1, 8]) },
      pads: wholes([0, 1, 0, 0, 1, 0]),
    },
  },
  {
    input: [1, 3],
    nodes: [
      { op: 'Constant', in: [], attributes: { value: floats([3, 2]) } },
      { op: 'Transpose', in: ['v0'] },
      { op: 'Gemm', in: ['x', 'v1', 'c'], attributes: { transB: 1, alpha: { float: 0.5 } } },
      { op: 'BatchNormalization', in: ['v2', 'c', 'c', 'c', 'c'] },
      { op: 'Sub', in: ['c', 'v3'] },
      { op: 'Sum', in: ['v4', 'v2', 'c'] },
      { op: 'LeakyRelu', attributes: { alpha: { float: 0.25 } } },
    ],
    tensors: { c: floats([2]) },
  },
];

const HUGE = [
  0,
  -1,
  1,
  2,
  3,
  7,
  255,
  65536,
  2 ** 20,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
];

type Bag = Record<string, unknown>;

/** Every list and number below `value`, as places that can be changed. */
function places(value: unknown, found: [Bag, string][] = []): [Bag, string][] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return found;
  const bag = value as Bag;
  for (const key of Object.keys(bag)) {
    found.push([bag, key]);
    places(bag[key], found);
  }
  return found;
}

/** A sound message with one or two of its fields changed, kept of the right type. */
function bend(model: Draft<ModelProto>, s: Sampler): Draft<ModelProto> {
  const names = (model.graph?.node ?? []).flatMap((node) => [
    ...(node.input ?? []),
    ...(node.output ?? []),
    node.op_type ?? '',
  ]);
  for (let i = s.whole(2); i >= 0; i--) {
    const all = places(model.graph);
    const [bag, key] = all[s.whole(all.length)]!;
    const value = bag[key];
    if (typeof value === 'number') bag[key] = HUGE[s.whole(HUGE.length)];
    else if (typeof value === 'string') bag[key] = names[s.whole(names.length)] ?? '';
    else if (Array.isArray(value)) {
      const at = s.whole(value.length + 1);
      if (s.whole(2) === 0) value.splice(at, 1 + s.whole(2));
      else value.splice(at, 0, ...value.slice(0, 1 + s.whole(3)));
    }
  }
  return model;
}

/** Makes damaged files, half of them by their bytes and half by their messages. */
export function onnxSeeds(): (s: Sampler) => Uint8Array {
  const files = SEEDS.map((seed) => encodeModel(message(seed)));
  return (s) => {
    const at = s.whole(SEEDS.length);
    if (s.whole(2) === 0) return mutate(files[at]!, s);
    return encodeModel(bend(structuredClone(message(SEEDS[at]!)), s));
  };
}
