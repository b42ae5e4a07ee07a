/**
 * Random constants for ONNX graphs, as exporters leave them: initialisers, Constant nodes, sparse or
 * quantised or half weights, and expressions over them that nobody folded.
 */
import type { Draft, SparseTensorProto, TensorProto } from '../../src/io/onnx/proto.gen';
import { sizeOf } from './nd';
import { floats, type NodeCase, wholes } from './onnx-files';
import type { Sampler } from './random';

/** Collects a graph; every method returns the name of a value. */
export class Draftsman {
  readonly nodes: NodeCase[] = [];
  readonly tensors: Record<string, Draft<TensorProto>> = {};
  readonly sparse: Record<string, Draft<SparseTensorProto>> = {};
  #count = 0;

  constructor(
    readonly s: Sampler,
    readonly opset: number,
  ) {}

  name(): string {
    return `t${this.#count++}`;
  }

  node(op: string, inputs: readonly string[], attributes: NodeCase['attributes'] = {}): string {
    return this.nodes_(op, inputs, attributes, 1)[0]!;
  }

  nodes_(
    op: string,
    inputs: readonly string[],
    attributes: NodeCase['attributes'],
    outputs: number,
  ) {
    const out = Array.from({ length: outputs }, () => this.name());
    const [domain, type] = [op.slice(0, Math.max(0, op.lastIndexOf('.'))), op.split('.').at(-1)!];
    const name = `${type}_${out[0]}`;
    this.nodes.push({ op: type, domain, in: inputs, out, name, attributes: attributes ?? {} });
    return out;
  }

  tensor(t: Draft<TensorProto>): string {
    const name = this.name();
    if (this.s.whole(5) > 0) this.tensors[name] = t;
    else this.nodes.push({ op: 'Constant', in: [], out: [name], attributes: { value: t } });
    return name;
  }

  wholes(values: readonly number[], shape?: number[]): string {
    return this.tensor(wholes(values, shape));
  }

  /** Numbers of either sign, none near 0. */
  floats(shape: readonly number[], lo = 0.2, hi = 1): string {
    return this.tensor(floats(shape, Array.from(this.s.away(shape, lo, hi).data)));
  }

  /** Above 0. */
  positive(shape: readonly number[], lo = 0.3, hi = 1.5): string {
    return this.tensor(floats(shape, Array.from(this.s.array(shape, lo, hi).data)));
  }

  /** Axes as an attribute or, in newer sets, as an input. */
  axes(since: number, inputs: string[], axes: readonly number[]): NodeCase['attributes'] {
    if (this.opset < since) return { axes };
    inputs.push(this.wholes(axes));
    return {};
  }

  one<T>(list: readonly T[]): T {
    return list[this.s.whole(list.length)]!;
  }

  /** Weights of this shape, made in some way. */
  weights(shape: readonly number[]): string {
    const ways = WAYS.filter(({ since }) => since <= this.opset);
    for (let i = 0; i < 4 && this.s.whole(5) < 3; i++) {
      const made = this.one(ways).make(this, shape);
      if (made !== undefined) return made;
    }
    return this.floats(shape);
  }
}

interface Way {
  readonly since: number;
  make(d: Draftsman, shape: readonly number[]): string | undefined;
}

const way = (since: number, make: Way['make']): Way => ({ since, make });

/** Functions of any number, of the set that they came with. */
const FUNCTIONS: readonly (readonly [op: string, since: number])[] = [
  ...(
    ['Neg', 'Abs', 'Relu', 'Sigmoid', 'Tanh', 'Exp', 'Floor', 'Ceil', 'LeakyRelu', 'Elu'] as const
  ).map((op) => [op, 7] as const),
  ...(
    [
      'Selu',
      'HardSigmoid',
      'Softplus',
      'Softsign',
      'Cos',
      'Sin',
      'Tan',
      'Atan',
      'Asin',
      'Acos',
    ] as const
  ).map((op) => [op, 7] as const),
  ...(['Sinh', 'Cosh', 'Asinh', 'Atanh', 'Erf', 'Sign'] as const).map((op) => [op, 9] as const),
  ...[
    ['Round', 11] as const,
    ['HardSwish', 14] as const,
    ['Mish', 18] as const,
    ['Gelu', 20] as const,
  ],
];

const sizes = (d: Draftsman, shape: readonly number[]): string => d.wholes(shape);

const WAYS: readonly Way[] = [
  ...[1, 2, 3, 4, 5, 6, 7].map(() =>
    way(7, (d, shape) => {
      const op = d.one(FUNCTIONS.filter(([, since]) => since <= d.opset))[0];
      return d.node('Add', [d.node(op, [d.floats(shape, 0.2, 0.95)]), d.floats([])]);
    }),
  ),
  way(7, (d, shape) => d.node(d.one(['Sqrt', 'Log', 'Reciprocal']), [d.positive(shape)])),
  way(7, (d, shape) => {
    const other = shape.map((size) => (d.s.whole(2) === 0 ? 1 : size)).slice(d.s.whole(2));
    const op = d.one(['Add', 'Sub', 'Mul', 'Div', 'Pow']);
    return d.node(op, [d.positive(shape), d.positive(other)]);
  }),
  way(7, (d, shape) => d.node('PRelu', [d.floats(shape), d.floats([])])),
  way(9, (d, shape) => d.node('Acosh', [d.positive(shape, 1.1, 3)])),
  way(7, (d, shape) => {
    if (shape.length < 2) return undefined;
    const op = d.one(['Softmax', 'LogSoftmax']);
    return d.node(op, [d.floats(shape)], { axis: d.s.whole(shape.length) });
  }),
  way(10, (d, shape) => {
    // Whole numbers below 0 too, and real ones by fmod.
    const b = d.one([-3, 4]);
    const many = Array.from({ length: sizeOf(shape) }, () => d.s.whole(40) - 20);
    const whole = d.node('Mod', [d.wholes(many, [...shape]), d.wholes([b], [])]);
    const real = d.node('Mod', [d.floats(shape, 2, 9), d.floats([], 0.8, 1.7)], { fmod: 1 });
    return d.node('Add', [d.node('Cast', [whole], { to: 1 }), real]);
  }),
  way(9, (d, shape) => {
    const count = d.node('Cast', [d.node('Size', [d.floats(shape)])], { to: 1 });
    return d.node('Div', [d.floats(shape), count]);
  }),
  way(8, (d, shape) =>
    d.node(d.one(['Max', 'Min', 'Sum', 'Mean']), [d.floats(shape), d.floats([]), d.floats(shape)]),
  ),
  way(8, (d, shape) =>
    d.node('Expand', [d.floats(shape.map((n, i) => (i === 0 ? 1 : n))), sizes(d, shape)]),
  ),
  way(7, (d, shape) => {
    if (shape.length === 0) return undefined;
    return d.node('Tile', [
      d.floats(shape.with(0, 1)),
      d.wholes(shape.map((n, i) => (i === 0 ? n : 1))),
    ]);
  }),
  way(7, (d, shape) => {
    const order = shape.map((_, i) => i).reverse();
    return d.node('Transpose', [d.floats([...shape].reverse())], { perm: order });
  }),
  way(7, (d, shape) => d.node('Reshape', [d.floats([sizeOf(shape)]), sizes(d, shape)])),
  way(7, (d, shape) => {
    if ((shape[0] ?? 0) < 2) return undefined;
    const parts = [d.floats(shape.with(0, 1)), d.floats(shape.with(0, shape[0]! - 1))];
    return d.node('Concat', parts, { axis: 0 });
  }),
  way(7, (d, shape) => {
    if (shape.length === 0) return undefined;
    const places = Array.from({ length: shape[0]! }, () => d.s.whole(5));
    return d.node('Gather', [d.floats(shape.with(0, 5)), d.wholes(places)], { axis: 0 });
  }),
  way(10, (d, shape) => {
    if (shape.length === 0) return undefined;
    const x = d.floats(shape.with(0, 2 * shape[0]! + 3));
    const inputs = [x, d.wholes([1]), d.wholes([1 + 2 * shape[0]!]), d.wholes([0]), d.wholes([2])];
    return d.node('Slice', inputs);
  }),
  way(7, (d, shape) => {
    const rank = shape.length;
    if (rank < 2) return undefined;
    const k = 1 + d.s.whole(4);
    const left = d.floats([...shape.slice(0, -1), k], 0.2, 0.6);
    return d.node('MatMul', [left, d.floats([k, shape[rank - 1]!], 0.2, 0.6)]);
  }),
  way(7, (d, shape) => {
    if (shape.length !== 2) return undefined;
    const k = 1 + d.s.whole(4);
    const inputs = [d.floats([k, shape[0]!]), d.floats([shape[1]!, k]), d.floats([shape[1]!])];
    const attributes = { transA: 1, transB: 1, alpha: { float: 0.3 }, beta: { float: 0.7 } };
    return d.node('Gemm', inputs, attributes);
  }),
  way(7, (d, shape) => {
    // Weight normalisation.
    if (shape.length < 2) return undefined;
    const v = d.floats(shape);
    const axes = shape.map((_, i) => i).slice(1);
    const inputs = [v];
    const op = d.one(['ReduceL2', 'ReduceL1', 'ReduceSumSquare', 'ReduceLogSumExp']);
    const attributes = { ...d.axes(18, inputs, axes), keepdims: 1 };
    return d.node('Div', [v, d.node(op, inputs, attributes)]);
  }),
  way(7, (d, shape) => {
    const inputs = [d.positive([...shape, 3])];
    const op = d.one(['ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceLogSum']);
    return d.node(op, inputs, { ...d.axes(18, inputs, [-1]), keepdims: 0 });
  }),
  way(7, (d, shape) => {
    const inputs = [d.floats([2, ...shape], 0.1, 0.5)];
    return d.node('ReduceSum', inputs, { ...d.axes(13, inputs, [0]), keepdims: 0 });
  }),
  way(9, (d, shape) => {
    const test = d.node(d.one(['Greater', 'Less']), [d.floats(shape), d.floats([])]);
    const odd = d.node('Not', [d.node('Equal', [d.wholes([1]), d.wholes([0], [1])])]);
    const both = d.node(d.one(['And', 'Or', 'Xor']), [test, d.node('Not', [test])]);
    const none = d.node('IsNaN', [d.node('Sqrt', [d.floats(shape)])]);
    const equal = d.node(d.opset < 12 ? 'Greater' : d.one(['GreaterOrEqual', 'LessOrEqual']), [
      d.node('Floor', [d.floats(shape, 0, 3)]),
      d.tensor(floats([], [1])),
    ]);
    const which = d.one([test, both, odd, none, equal]);
    return d.node('Where', [which, d.floats(shape), d.floats(shape)]);
  }),
  way(9, (d, shape) => {
    const value = floats([1], [d.s.real(0.2, 1)]);
    return d.node('ConstantOfShape', [sizes(d, shape)], { value });
  }),
  way(11, (d, shape) => {
    const count = sizeOf(shape);
    const list = d.node('Range', [d.wholes([0], []), d.wholes([count], []), d.wholes([1], [])]);
    const real = d.node('Cast', [list], { to: 1 });
    return d.node('Reshape', [d.node('Div', [real, d.positive([], 20, 40)]), sizes(d, shape)]);
  }),
  way(9, (d, shape) => {
    // Through double, half or bfloat16.
    const to = d.one(d.opset >= 13 ? [10, 11, 16] : [10, 11]);
    return d.node('Cast', [d.node('Cast', [d.floats(shape)], { to })], { to: 1 });
  }),
  way(11, (d, shape) =>
    d.node('Clip', [d.floats(shape), d.tensor(floats([], [-0.5])), d.tensor(floats([], [0.4]))]),
  ),
  way(15, (d, shape) =>
    d.node('CastLike', [
      d.wholes(
        Array.from({ length: sizeOf(shape) }, () => 1 + d.s.whole(3)),
        [...shape],
      ),
      d.floats([]),
    ]),
  ),
  way(10, (d, shape) => quantised(d, shape, undefined)),
  way(13, (d, shape) =>
    quantised(d, shape, shape.length > 0 ? d.s.whole(shape.length) : undefined),
  ),
  way(13, (d, shape) => {
    const scale = d.tensor(floats([], [1 / 64]));
    const zero = d.tensor({ data_type: 3, dims: [], int32_data: [3] });
    const stored = d.node('QuantizeLinear', [d.floats(shape), scale, zero]);
    return d.node('DequantizeLinear', [stored, scale, zero]);
  }),
  way(11, (d, shape) => {
    const size = sizeOf(shape);
    const places = Array.from({ length: size }, (_, i) => i).filter(() => d.s.whole(3) === 0);
    const values = floats([places.length], Array.from(d.s.away([places.length], 0.2, 1).data));
    if (places.length === 0 || shape.length === 0) return undefined;
    const name = d.name();
    d.sparse[name] = { values, indices: wholes(places), dims: [...shape] };
    return name;
  }),
  way(11, (d, shape) => {
    if (shape.length !== 2) return undefined;
    const [rows, columns] = shape as [number, number];
    const values = floats([1], [0.7]);
    const indices = wholes([d.s.whole(rows), d.s.whole(columns)], [1, 2]);
    const name = d.name();
    const sparse = { values, indices, dims: [rows, columns] };
    d.nodes.push({ op: 'Constant', in: [], out: [name], attributes: { sparse_value: { sparse } } });
    return d.node('Add', [name, d.floats(shape)]);
  }),
  way(9, (d, shape) => {
    if (shape.length !== 2) return undefined;
    const eye = d.node('EyeLike', [d.floats(shape)], { k: d.s.whole(3) - 1 });
    return d.node('Sub', [d.floats(shape), eye]);
  }),
];

/** Integers with scales, for all or along an axis. */
function quantised(d: Draftsman, shape: readonly number[], axis: number | undefined): string {
  const count = axis === undefined ? [] : [shape[axis]!];
  const type = d.one([2, 3]);
  const least = type === 2 ? 0 : -128;
  const draw = (list: readonly number[]): Draft<TensorProto> => ({
    ...{ data_type: type, dims: [...list] },
    int32_data: Array.from({ length: sizeOf(list) }, () => least + d.s.whole(256)),
  });
  const inputs = [d.tensor(draw(shape)), d.positive(count, 0.001, 0.01)];
  if (d.s.whole(2) === 0) inputs.push(d.tensor(draw(count)));
  return d.node('DequantizeLinear', inputs, axis === undefined ? {} : { axis });
}
