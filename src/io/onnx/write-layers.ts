/** Each layer as operators of opset 13: the table the writer goes by. */
import type { GraphNode } from '../../nn/graph';
import { both, fourSides } from '../../nn/layers/window';
import type { Shape } from '../../tensor/shape';

/** One operator of those that a layer becomes; each reads the one before it. */
export interface Step {
  readonly op: string;
  /** Behind the layer's own inputs; null is an input left out. */
  readonly constants?: readonly (Param | Wholes | Single | null)[];
  readonly attributes?: Attributes;
  /** The layer's own inputs in front of the operator before. */
  readonly again?: true;
}

/** Operators that came after operator set 13, and with which. */
export const SINCE: Readonly<Record<string, number>> = { Gelu: 20, HardSwish: 14 };

/** Whole numbers, or a float. */
type Attributes = Readonly<Record<string, number | string | Float | readonly number[]>>;
export interface Float {
  readonly float: number;
}
/**
 * A parameter of the layer; with the sizes it has in the file, where they are others, or numbers that
 * are made of all parameters.
 */
export interface Param {
  readonly param: string;
  readonly shape?: Shape;
  readonly from?: (parameter: (local: string) => Float32Array) => Float32Array;
}
export interface Wholes {
  readonly name: string;
  readonly wholes: readonly number[];
}
/** One number, of no axes. */
export interface Single {
  readonly name: string;
  readonly single: number;
}

/** Nothing is the identity. */
type Writer = (node: GraphNode, opset: number) => readonly Step[];

const list = (value: unknown): readonly number[] => value as readonly number[];
const number = (value: unknown): number => value as number;
const next = (axes: unknown): readonly number[] => list(axes).map((axis) => axis + 1);
const pair = (value: unknown): readonly number[] => both(value as Parameters<typeof both>[0]);

const one =
  (op: string, attributes: (o: GraphNode['options']) => Attributes = () => ({})): Writer =>
  ({ options }) => [{ op, attributes: attributes(options) }];

const weights = ({ options }: GraphNode): Param[] =>
  [{ param: 'weight' }, { param: 'bias' }].slice(0, options.bias ? 2 : 1);

const windows = ({ kernel, stride, padding }: GraphNode['options']) => ({
  kernel_shape: pair(kernel),
  strides: pair(stride ?? kernel),
  pads: fourSides(padding as Parameters<typeof fourSides>[0]),
});

/** A scale and a shift, one of each a channel, as stored or made of other parameters. */
const channelwise =
  (made: Readonly<Record<string, Param['from']>> = {}): Writer =>
  ({ shape }) =>
    (
      [
        ['Mul', 'scale'],
        ['Add', 'shift'],
      ] as const
    ).map(([op, param]) => {
      const sizes = [shape[0]!, ...shape.slice(1).map(() => 1)];
      const from = made[param];
      return { op, constants: [{ param, shape: sizes, ...(from && { from }) }] };
    });

/** (x - mean) / std in its canonical form (`effective` of the layer), number by number in float32. */
const normalise = channelwise({
  scale: (own) => own('std').map((std) => 1 / std),
  shift(own) {
    const std = own('std');
    return own('mean').map((mean, i) => 0 - Math.fround(mean / std[i]!));
  },
});

export const WRITERS: Readonly<Record<string, Writer>> = {
  dense: (node) => [{ op: 'Gemm', constants: weights(node), attributes: { transB: 1 } }],
  conv2d: (node) => {
    const { options: o } = node;
    const attributes = { ...windows(o), dilations: pair(o.dilation), group: number(o.groups) };
    return [{ op: 'Conv', constants: weights(node), attributes }];
  },
  relu: one('Relu'),
  'leaky-relu': one('LeakyRelu', (o) => ({ alpha: { float: number(o.slope) } })),
  sigmoid: one('Sigmoid'),
  abs: one('Abs'),
  gelu: one('Gelu', (o) => ({ approximate: String(o.approximate) })),
  silu: () => [{ op: 'Sigmoid' }, { op: 'Mul', again: true }],
  'hard-swish': one('HardSwish'),
  tanh: one('Tanh'),
  clip({ options: { lo, hi } }) {
    if (lo === null && hi === null) return [];
    const below = lo === null ? null : { name: 'lo', single: number(lo) };
    return [
      {
        op: 'Clip',
        constants: [below, ...(hi === null ? [] : [{ name: 'hi', single: number(hi) }])],
      },
    ];
  },
  flatten: one('Flatten', () => ({ axis: 1 })),
  reshape: ({ shape }) => [
    { op: 'Reshape', constants: [{ name: 'shape', wholes: [0, ...shape] }] },
  ],
  permute: one('Transpose', (o) => ({ perm: [0, ...next(o.order)] })),
  select: ({ options: o }) => [
    {
      op: 'Gather',
      constants: [{ name: 'indices', wholes: list(o.indices) }],
      attributes: { axis: number(o.axis) + 1 },
    },
  ],
  pad: ({ options: o }) => {
    const wholes = [0, ...list(o.before), 0, ...list(o.after)];
    return [{ op: 'Pad', constants: [{ name: 'pads', wholes }] }];
  },
  'max-pool': one('MaxPool', windows),
  'avg-pool': one('AveragePool', (o) => ({
    ...windows(o),
    count_include_pad: o.countPadding ? 1 : 0,
  })),
  reduce: ({ options: { axes, mean } }, opset) =>
    mean && opset < 18
      ? [{ op: 'ReduceMean', attributes: { axes: next(axes), keepdims: 1 } }]
      : [
          {
            op: mean ? 'ReduceMean' : 'ReduceSum',
            constants: [{ name: 'axes', wholes: next(axes) }],
            attributes: { keepdims: 1 },
          },
        ],
  'batch-norm': ({ options: o }) => [
    {
      op: 'BatchNormalization',
      constants: ['weight', 'bias', 'mean', 'variance'].map((param) => ({ param })),
      attributes: {
        epsilon: { float: number(o.epsilon) },
        momentum: { float: 1 - number(o.momentum) },
      },
    },
  ],
  normalise,
  scale: channelwise(),
  elementwise: () => [
    { op: 'Mul', constants: [{ param: 'scale' }] },
    { op: 'Add', constants: [{ param: 'shift' }] },
  ],
  dropout: () => [],
  add: ({ inputs }) => [{ op: inputs.length === 2 ? 'Add' : 'Sum' }],
  concat: one('Concat', (o) => ({ axis: number(o.axis) + 1 })),
};
