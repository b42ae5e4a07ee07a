/** Random ONNX graphs of a few operators each, of every kind that the reader knows, for onnxruntime to judge. */
import { sizeOf } from './nd';
import { type FileCase, floats, type NodeCase } from './onnx-files';
import { sampler } from './random';
import { Draftsman } from './random-onnx-weights';

/** A value that depends on the input; the batch, where there is one, is a 0 in front. */
interface Flow {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface RandomFile extends FileCase {
  /** Images to run at once; 1 where the file's batch is fixed. */
  readonly batch: number;
  readonly opset: number;
}

/** One more operator behind `x`, or nothing where it does not fit. */
type Rule = (d: Draftsman, x: Flow, others: readonly Flow[]) => Flow | undefined;

const MAX = 1200;

const flow = (name: string, shape: readonly number[]): Flow => ({ name, shape });
const own = (shape: readonly number[]): number => sizeOf(shape.map((size) => size || 1));

/** Axes that operators may work along: all but an open batch. */
const free = (x: Flow): number[] => x.shape.flatMap((size, axis) => (size === 0 ? [] : [axis]));
const any = (d: Draftsman, x: Flow): number | undefined => {
  const axes = free(x);
  return axes.length === 0 ? undefined : d.one(axes);
};
/** The same axis, sometimes from the end. */
const spelt = (d: Draftsman, axis: number, x: Flow): number =>
  d.opset >= 11 && d.s.whole(2) === 0 ? axis - x.shape.length : axis;

const unary =
  (
    op: string,
    since = 7,
    attributes: (d: Draftsman) => NodeCase['attributes'] = () => ({}),
  ): Rule =>
  (d, x) =>
    d.opset < since ? undefined : flow(d.node(op, [x.name], attributes(d)), x.shape);

/** A constant that broadcasts to `x` without making it larger. */
function beside(d: Draftsman, x: Flow): number[] {
  const shape = x.shape.map((size) => (size === 0 || d.s.whole(2) === 0 ? 1 : size));
  return d.one([[], shape, shape.slice(d.s.whole(shape.length + 1)), x.shape.map((n) => n || 1)]);
}

const binary =
  (op: string): Rule =>
  (d, x) => {
    const shape = beside(d, x);
    const c = op === 'Div' ? d.positive(shape) : d.weights(shape);
    const turned = op !== 'Div' && d.s.whole(2) === 0;
    return flow(d.node(op, turned ? [c, x.name] : [x.name, c]), x.shape);
  };

const together =
  (op: string): Rule =>
  (d, x, others) => {
    const twin = others.find((other) => other.shape.join() === x.shape.join());
    if (!twin || (d.opset < 8 && op !== 'Sub' && op !== 'Add')) return undefined;
    const extra =
      op === 'Sub' || op === 'Add' || d.s.whole(2) === 0 ? [] : [d.weights(beside(d, x))];
    return flow(d.node(op, [x.name, twin.name, ...extra]), x.shape);
  };

/** A window over some spatial axes, and the sizes it leaves. */
function window(d: Draftsman, sizes: readonly number[], kind: 'conv' | 'max' | 'average') {
  const { s, opset } = d;
  const each = (f: () => number): number[] => sizes.map(f);
  const kernel = each(() => 1 + s.whole(3));
  const strides = each(() => 1 + s.whole(3));
  const mayDilate = kind === 'conv' || (kind === 'max' ? opset >= 10 : opset >= 19);
  const dilations = mayDilate && s.whole(3) === 0 ? each(() => 1 + s.whole(2)) : each(() => 1);
  const up = kind !== 'conv' && opset >= 10 && s.whole(2) === 0;
  const auto = s.whole(4) === 0 ? d.one(['SAME_UPPER', 'SAME_LOWER', 'VALID']) : 'NOTSET';
  const limit = (i: number): number => (kind === 'conv' ? 3 : kernel[i]!);
  const dilated = dilations.some((n) => n > 1);
  if (kind !== 'conv' && auto.startsWith('SAME') && dilated) dilations.fill(1);
  const pads =
    auto !== 'NOTSET'
      ? undefined
      : [...sizes, ...sizes].map((_, i) => s.whole(limit(i % sizes.length)));
  const span = kernel.map((k, i) => (k - 1) * dilations[i]! + 1);
  const fits = sizes.every((size, i) => size >= span[i]!);
  const attributes = {
    kernel_shape: kernel,
    strides,
    ...(pads ? { pads } : { auto_pad: auto }),
    ...(mayDilate ? { dilations } : {}),
    ...(up ? { ceil_mode: 1 } : {}),
  };
  const left = sizes.map((size, i) => {
    if (auto.startsWith('SAME')) return Math.ceil(size / strides[i]!);
    const [before, after] = [pads?.[i] ?? 0, pads?.[i + sizes.length] ?? 0];
    const steps = (size + before + after - span[i]!) / strides[i]!;
    const count = 1 + (up ? Math.ceil(steps) : Math.floor(steps));
    return up && (count - 1) * strides[i]! >= size + before ? count - 1 : count;
  });
  return { attributes, left, fits, kernel };
}

const planes = (x: Flow): boolean =>
  (x.shape.length === 3 || x.shape.length === 4) && (x.shape[0] === 0 || x.shape[0] === 1);

const conv: Rule = (d, x) => {
  if (!planes(x)) return undefined;
  const [n, c, ...sizes] = x.shape as [number, number, ...number[]];
  const { attributes, left, fits, kernel } = window(d, sizes, 'conv');
  const group = c % 2 === 0 && d.s.whole(3) === 0 ? d.one([2, c]) : 1;
  const channels = group * (1 + d.s.whole(3));
  if (!fits || left.some((size) => size < 1)) return undefined;
  const inputs = [x.name, d.weights([channels, c / group, ...kernel])];
  if (d.s.whole(2) === 0) inputs.push(d.weights([channels]));
  return flow(d.node('Conv', inputs, { ...attributes, group }), [n, channels, ...left]);
};

const pool =
  (op: 'MaxPool' | 'AveragePool'): Rule =>
  (d, x) => {
    if (!planes(x)) return undefined;
    const [n, c, ...sizes] = x.shape as [number, number, ...number[]];
    const { attributes, left, fits } = window(d, sizes, op === 'MaxPool' ? 'max' : 'average');
    if (!fits || left.some((size) => size < 1)) return undefined;
    const counts = op === 'AveragePool' ? { count_include_pad: d.s.whole(2) } : {};
    return flow(d.node(op, [x.name], { ...attributes, ...counts }), [n, c, ...left]);
  };

const globalPool =
  (op: string): Rule =>
  (d, x) => {
    if (!planes(x)) return undefined;
    const [n, c, ...sizes] = x.shape as [number, number, ...number[]];
    return flow(d.node(op, [x.name]), [n, c, ...sizes.map(() => 1)]);
  };

const gemm: Rule = (d, x) => {
  if (x.shape.length !== 2) return undefined;
  const [m, k] = x.shape as [number, number];
  const n = 1 + d.s.whole(6);
  const transB = d.s.whole(2);
  const inputs = [x.name, d.weights(transB ? [n, k] : [k, n])];
  if (d.s.whole(3) > 0 || d.opset < 11)
    inputs.push(d.weights(d.one([[n], [1, n], [1], [1, 1], []])));
  const numbers = d.s.whole(2)
    ? {}
    : { alpha: { float: d.one([0.5, 0.3, -2]) }, beta: { float: d.one([2, -0.7]) } };
  return flow(d.node('Gemm', inputs, { transB, ...numbers }), [m, n]);
};

const matMul: Rule = (d, x) => {
  const rank = x.shape.length;
  const [k, n] = [x.shape.at(-1)!, 1 + d.s.whole(5)];
  if (rank < 2 || k === 0) return undefined;
  if (d.s.whole(5) === 0)
    return flow(d.node('MatMul', [x.name, d.weights([k])]), x.shape.slice(0, -1));
  const outer = x.shape.slice(0, -2);
  const stack = rank > 2 && outer.every((size) => size > 0) && d.s.whole(2) === 0 ? outer : [];
  const one = d.one([[], stack, outer.map(() => 1)]);
  return flow(d.node('MatMul', [x.name, d.weights([...one, k, n])]), [...x.shape.slice(0, -1), n]);
};

const matMulLeft: Rule = (d, x) => {
  const [rank, k, n] = [x.shape.length, x.shape.at(-2)!, x.shape.at(-1)!];
  if (rank < 2 || k === 0) return undefined;
  const m = 1 + d.s.whole(5);
  if (d.s.whole(5) === 0)
    return flow(d.node('MatMul', [d.weights([k]), x.name]), [...x.shape.slice(0, -2), n]);
  return flow(d.node('MatMul', [d.weights([m, k]), x.name]), [...x.shape.slice(0, -2), m, n]);
};

const batchNorm: Rule = (d, x) => {
  if (x.shape.length < 2 || !(x.shape[0] === 0 || x.shape[0] === 1)) return undefined;
  const c = x.shape[1]!;
  const inputs = [x.name, d.weights([c]), d.weights([c]), d.weights([c]), d.positive([c])];
  return flow(d.node('BatchNormalization', inputs, { epsilon: { float: 0.001 } }), x.shape);
};

const reduceOp =
  (op: string): Rule =>
  (d, x) => {
    const axes = free(x).filter(() => d.s.whole(2) === 0);
    if (axes.length === 0) return undefined;
    const keepdims = d.s.whole(2);
    const inputs = [x.name];
    const since = op === 'ReduceSum' ? 13 : 18;
    const attributes = d.axes(
      since,
      inputs,
      axes.map((axis) => spelt(d, axis, x)),
    );
    const shape = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const to = keepdims ? shape : shape.filter((_, axis) => !axes.includes(axis));
    return flow(d.node(op, inputs, { ...attributes, keepdims }), to);
  };

const reshape: Rule = (d, x) => {
  const open = x.shape[0] === 0;
  const size = own(x.shape);
  const parts: number[] = [];
  for (let left = size; left > 1; ) {
    const divisors = Array.from({ length: left }, (_, i) => i + 1).filter(
      (n) => n > 1 && left % n === 0,
    );
    const part = d.one(divisors);
    parts.push(part);
    left /= part;
  }
  while (parts.length > 4) parts.push(parts.pop()! * parts.pop()!);
  if (d.s.whole(3) === 0) parts.splice(d.s.whole(parts.length + 1), 0, 1);
  const to = open ? [0, ...parts] : parts;
  if (to.length === 0) return undefined;
  const told = open ? [d.one([0, -1]), ...parts] : to;
  const target =
    open && d.s.whole(3) === 0
      ? d.node('Concat', [batchOf(d, x), d.wholes(parts)], { axis: 0 })
      : d.wholes(told);
  return parts.length === 0 && open ? undefined : flow(d.node('Reshape', [x.name, target]), to);
};

/** [N], computed as exporters do. */
function batchOf(d: Draftsman, x: Flow): string {
  const n = d.node('Gather', [d.node('Shape', [x.name]), d.wholes([0], [])], { axis: 0 });
  const inputs = [n];
  const attributes = d.axes(13, inputs, [0]);
  return d.node('Unsqueeze', inputs, attributes);
}

const flatten: Rule = (d, x) => {
  if (x.shape.length < 2) return undefined;
  const axis = x.shape[0] === 0 ? 1 : d.s.whole(x.shape.length + 1);
  const to = [own(x.shape.slice(0, axis)), own(x.shape.slice(axis))];
  return flow(d.node('Flatten', [x.name], { axis }), x.shape[0] === 0 ? [0, to[1]!] : to);
};

const transpose: Rule = (d, x) => {
  const order = free(x);
  for (let i = order.length - 1; i > 0; i--) {
    const j = d.s.whole(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const perm = x.shape[0] === 0 ? [0, ...order] : order;
  return flow(
    d.node('Transpose', [x.name], { perm }),
    perm.map((axis) => x.shape[axis]!),
  );
};

const squeeze: Rule = (d, x) => {
  const axes = x.shape.flatMap((size, axis) => (size === 1 ? [axis] : []));
  if (axes.length === 0 || axes.length === x.shape.length) return undefined;
  const inputs = [x.name];
  const attributes = d.axes(
    13,
    inputs,
    axes.map((axis) => spelt(d, axis, x)),
  );
  return flow(
    d.node('Squeeze', inputs, attributes),
    x.shape.filter((_, axis) => !axes.includes(axis)),
  );
};

const unsqueeze: Rule = (d, x) => {
  if (x.shape.length > 4) return undefined;
  const axis = 1 + d.s.whole(x.shape.length);
  const inputs = [x.name];
  const attributes = d.axes(13, inputs, [axis]);
  return flow(d.node('Unsqueeze', inputs, attributes), x.shape.toSpliced(axis, 0, 1));
};

const slice: Rule = (d, x) => {
  const axis = any(d, x);
  if (axis === undefined) return undefined;
  const size = x.shape[axis]!;
  const start = d.s.whole(size);
  const end = start + 1 + d.s.whole(size - start);
  if (d.opset < 10)
    return flow(
      d.node('Slice', [x.name], { starts: [start], ends: [end], axes: [axis] }),
      x.shape.with(axis, end - start),
    );
  const back = d.s.whole(3) === 0;
  const list = back
    ? [end - 1, start - 1 - size, -1]
    : [start, end === size ? 2 ** 31 - 1 : end, 1];
  const [a, b, step] = list.map((n) => d.wholes([n]));
  if (back && start === 0) return undefined;
  const inputs = [x.name, a!, b!, d.wholes([spelt(d, axis, x)]), step!];
  return flow(d.node('Slice', inputs), x.shape.with(axis, end - start));
};

const gather: Rule = (d, x) => {
  const axis = any(d, x);
  if (axis === undefined) return undefined;
  const size = x.shape[axis]!;
  const shape = d.one([[], [2], [1], [2, 1]]);
  const negative = d.opset >= 11;
  const places = Array.from(
    { length: sizeOf(shape) },
    () => d.s.whole(size) - (negative ? d.one([0, size]) : 0),
  );
  const to = [...x.shape.slice(0, axis), ...shape, ...x.shape.slice(axis + 1)];
  return to.length > 5
    ? undefined
    : flow(d.node('Gather', [x.name, d.wholes(places, shape)], { axis }), to);
};

const split: Rule = (d, x) => {
  const axis = any(d, x);
  const size = axis === undefined ? 0 : x.shape[axis]!;
  if (axis === undefined || size < 2) return undefined;
  const first = 1 + d.s.whole(size - 1);
  const sizes = [first, size - first];
  const inputs = [x.name];
  if (d.opset >= 13) inputs.push(d.wholes(sizes));
  const told = d.opset >= 13 ? {} : { split: sizes };
  const parts = d.nodes_('Split', inputs, { axis, ...told }, 2);
  const chosen = d.s.whole(3);
  if (chosen < 2) return flow(parts[chosen]!, x.shape.with(axis, sizes[chosen]!));
  return flow(d.node('Concat', parts.toReversed(), { axis }), x.shape);
};

const concat: Rule = (d, x, others) => {
  const axis = any(d, x);
  if (axis === undefined) return undefined;
  const fits = (o: Flow): boolean =>
    o.shape.length === x.shape.length &&
    o.shape.every((size, i) => i === axis || size === x.shape[i]);
  const parts = [x, ...others.filter(fits).slice(0, d.s.whole(3))].map(
    (o) => [o.name, o.shape[axis]!] as const,
  );
  const list = parts.map(([name, size]) => ({ name, size }));
  // A constant cannot have an open batch.
  if (x.shape[0] !== 0)
    for (let i = d.s.whole(3); i > 0; i--) {
      const size = 1 + d.s.whole(2);
      list.splice(d.s.whole(list.length + 1), 0, {
        name: d.weights(x.shape.with(axis, size)),
        size,
      });
    }
  const total = list.reduce((sum, { size }) => sum + size, 0);
  const names = list.map(({ name }) => name);
  return flow(d.node('Concat', names, { axis: spelt(d, axis, x) }), x.shape.with(axis, total));
};

const tile: Rule = (d, x) => {
  const axis = any(d, x);
  if (axis === undefined) return undefined;
  const repeats = x.shape.map((_, i) => (i === axis ? 2 : 1));
  return flow(d.node('Tile', [x.name, d.wholes(repeats)]), x.shape.with(axis, 2 * x.shape[axis]!));
};

const expand: Rule = (d, x) => {
  const axis = free(x).find((a) => x.shape[a] === 1);
  if (axis === undefined || d.opset < 8) return undefined;
  const to = x.shape.with(axis, 3);
  return flow(d.node('Expand', [x.name, d.wholes(to.map((n) => n || 1))]), to);
};

const pad: Rule = (d, x) => {
  const modes =
    d.opset >= 19 ? ['constant', 'edge', 'reflect', 'wrap'] : ['constant', 'edge', 'reflect'];
  const mode = d.one(['constant', d.one(modes)]);
  const counts = x.shape.map((size) => {
    const most = size === 0 ? 0 : mode === 'constant' ? 2 : Math.min(2, size - 1);
    return [d.s.whole(most + 1), d.s.whole(most + 1)] as const;
  });
  const pads = [...counts.map(([a]) => a), ...counts.map(([, b]) => b)];
  const to = x.shape.map((size, i) => (size === 0 ? 0 : size + counts[i]![0] + counts[i]![1]));
  const value = d.one([0, 0, 0.5]);
  if (d.opset < 11)
    return flow(d.node('Pad', [x.name], { mode, pads, value: { float: value } }), to);
  const inputs = [
    x.name,
    d.wholes(pads),
    ...(mode === 'constant' ? [d.tensor(floats([], [value]))] : []),
  ];
  return flow(d.node('Pad', inputs, { mode }), to);
};

const resize: Rule = (d, x) => {
  if (x.shape.length !== 4) return undefined;
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const [a, b] = [d.one([1, 2, 3]), d.one([1, 2])];
  const scales = d.tensor(floats([4], [1, 1, a, b]));
  const to = [n, c, h * a, w * b];
  if (d.opset < 9)
    return flow(
      d.node('Upsample', [x.name], { mode: 'nearest', scales: { many: [1, 1, a, b] } }),
      to,
    );
  if (d.opset < 10) return flow(d.node('Upsample', [x.name, scales], { mode: 'nearest' }), to);
  if (d.opset < 11) return flow(d.node('Resize', [x.name, scales], { mode: 'nearest' }), to);
  const way = d.one(['asymmetric', 'half_pixel', 'align_corners', 'pytorch_half_pixel']);
  const nearest_mode = d.one(['floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil']);
  const attributes = { mode: 'nearest', coordinate_transformation_mode: way, nearest_mode };
  const roi = d.opset < 13 ? d.tensor(floats([0], [])) : '';
  return flow(d.node('Resize', [x.name, roi, scales], attributes), to);
};

const blocks: Rule = (d, x) => {
  if (x.shape.length !== 4) return undefined;
  const [n, c, h, w] = x.shape as [number, number, number, number];
  if (h % 2 === 0 && w % 2 === 0)
    return flow(d.node('SpaceToDepth', [x.name], { blocksize: 2 }), [n, 4 * c, h / 2, w / 2]);
  if (c % 4 !== 0) return undefined;
  const mode = d.opset >= 11 ? { mode: d.one(['DCR', 'CRD']) } : {};
  return flow(d.node('DepthToSpace', [x.name], { blocksize: 2, ...mode }), [
    n,
    c / 4,
    2 * h,
    2 * w,
  ]);
};

const where: Rule = (d, x, others) => {
  if (d.opset < 9) return undefined;
  const shape = x.shape.map((size) => size || 1);
  const condition = d.node('Greater', [d.floats(shape), d.floats([])]);
  const twin = others.find((other) => other.shape.join() === x.shape.join());
  const other = d.one([d.weights(beside(d, x)), twin?.name ?? d.floats([])]);
  return flow(
    d.node('Where', d.s.whole(2) ? [condition, x.name, other] : [condition, other, x.name]),
    x.shape,
  );
};

const prelu: Rule = (d, x) => {
  const shape = x.shape.length > 1 ? [x.shape[1]!, ...x.shape.slice(2).map(() => 1)] : [];
  return flow(d.node('PRelu', [x.name, d.weights(d.one([shape, [1]]))]), x.shape);
};

const scaler: Rule = (d, x) => {
  if (x.shape.length > 2) return undefined;
  const length = d.one([1, x.shape.at(-1)!]);
  const list = (lo: number) => ({
    many: Array.from({ length }, () => Math.fround(d.s.real(lo, 1))),
  });
  const attributes = { offset: list(-1), scale: list(0.3) };
  return flow(d.node('ai.onnx.ml.Scaler', [x.name], attributes), x.shape);
};

const clip: Rule = (d, x) => {
  const [lo, hi] = [-d.s.real(0, 1), d.s.real(0, 1)];
  if (d.opset < 11)
    return unary('Clip', 7, () => ({ min: { float: lo }, max: { float: hi } }))(d, x, []);
  const at = (value: number): string => (d.s.whole(3) === 0 ? '' : d.tensor(floats([], [value])));
  return flow(d.node('Clip', [x.name, at(lo), at(hi)]), x.shape);
};

const RULES: readonly Rule[] = [
  ...[conv, conv, pool('MaxPool'), pool('MaxPool'), pool('AveragePool'), pool('AveragePool')],
  ...[globalPool('GlobalAveragePool'), globalPool('GlobalMaxPool'), gemm, gemm, matMul, matMulLeft],
  ...['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min'].map(
    (op): Rule =>
      (d, x, others) =>
        d.opset < 8 && (op === 'Max' || op === 'Min') ? undefined : binary(op)(d, x, others),
  ),
  ...['Add', 'Sub', 'Max', 'Min', 'Sum', 'Mean'].map(together),
  ...['Relu', 'Sigmoid', 'Tanh', 'Abs', 'Neg', 'Identity', 'HardSigmoid'].map((op) => unary(op)),
  unary('LeakyRelu', 7, (d) => ({ alpha: { float: d.one([0.1, -0.5, 1.5]) } })),
  unary('ThresholdedRelu', 10, () => ({ alpha: { float: 0 } })),
  unary('Dropout'),
  unary('Cast', 9, () => ({ to: 1 })),
  ...[
    clip,
    prelu,
    batchNorm,
    reshape,
    reshape,
    flatten,
    transpose,
    squeeze,
    unsqueeze,
    slice,
    gather,
  ],
  ...[split, concat, tile, expand, pad, resize, blocks, blocks, where, scaler],
  ...['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceL1'].map(reduceOp),
];

const INPUTS: readonly (readonly number[])[] = [
  ...[
    [0, 5],
    [0, 2, 6, 5],
    [0, 4, 4, 4],
    [0, 3, 7],
    [0, 1, 8, 8],
    [0, 6, 4],
    [0, 2, 3, 4],
    [0, 8, 3, 2],
  ],
  ...[[5], [1, 4], [1, 2, 5, 4], [2, 3], [1, 3, 6], [3, 4, 2], [1, 1, 1, 6]],
];

/** The file of a seed. */
export function randomFile(seed: number): RandomFile {
  const s = sampler(seed);
  const opset = 7 + s.whole(17);
  const d = new Draftsman(s, opset);
  const input = d.one(INPUTS);
  const seen: Flow[] = [flow('x', input)];
  const count = 1 + s.whole(6);
  for (let i = 0, tries = 0; i < count && tries < 60; tries++) {
    const x = s.whole(4) === 0 ? d.one(seen) : seen.at(-1)!;
    const next = d.one(RULES)(
      d,
      x,
      seen.filter((other) => other !== x),
    );
    if (!next || own(next.shape) > MAX || next.shape.length > 5) continue;
    seen.push(next);
    i++;
  }
  const { name: output } = seen.at(-1)!;
  const batch = input[0] === 0 ? d.one([1, 2, 3, 7, 8, 16, 17]) : 1;
  return { input, nodes: d.nodes, tensors: d.tensors, sparse: d.sparse, output, opset, batch };
}
