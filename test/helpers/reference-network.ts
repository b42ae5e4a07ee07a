/**
 * Float64 references of whole networks: values, boxes by plain interval arithmetic, and margins with
 * the differences of classes merged into the last layer. One entry a layer, from its definition.
 */
import type { Graph, GraphNode } from '../../src/nn/graph';
import { normalCdf } from '../../src/statistics';
import { map, type Nd, nd, sizeOf, tabulate } from './nd';
import * as reference from './reference';

export type Weights = ReadonlyMap<string, Nd>;
type P = Readonly<Record<string, Nd>>;
type Options = GraphNode['options'];

interface AffineReference {
  /** W x + b; without the bias where p has none. */
  apply(x: Nd, p: P, o: Options): Nd;
  /** The same layer with |W| and no bias, and the bias by itself. */
  absolute(p: P): P;
  /** What `apply` uses, where that is derived from the stored tensors. */
  derive?(p: P, o: Options): P;
}

const abs = (x: Nd): Nd => map((v) => Math.abs(v!), x);
const both = (value: unknown): number[] =>
  typeof value === 'number' ? [value, value] : (value as number[]);

function window(o: Options): reference.Window {
  const pad = both(o.padding);
  return {
    stride: both(o.stride),
    pad: pad.length === 2 ? [...pad, ...pad] : pad,
    dilation: both(o.dilation),
  };
}

function pooling(o: Options): { kernel: number[]; window: reference.Window } {
  const pad = both(o.padding);
  const stride = both(o.stride ?? o.kernel);
  return {
    kernel: both(o.kernel),
    window: { stride, pad: pad.length === 2 ? [...pad, ...pad] : pad },
  };
}

/** [c] against [n, c, ...]. */
const perChannel = (v: Nd, like: Nd): Nd =>
  v.shape.length > 1 ? v : nd([v.data.length, ...like.shape.slice(2).map(() => 1)], v.data);

const scaled: AffineReference = {
  apply: (x, p) =>
    map((v, s, t) => v! * s! + t!, x, perChannel(p.scale!, x), perChannel(p.shift!, x)),
  absolute: (p) => ({ scale: abs(p.scale!), shift: map(() => 0, p.shift!) }),
};
const identity: AffineReference = { apply: (x) => x, absolute: (p) => p };
const weighted = (apply: AffineReference['apply']): AffineReference => ({
  apply,
  absolute: (p) => ({ weight: abs(p.weight!) }),
});

const moved = (apply: (x: Nd, o: Options) => Nd): AffineReference => ({
  apply: (x, _, o) => apply(x, o),
  absolute: (p) => p,
});

/** Every group of channels by itself, side by side. */
function groupedConv2d(x: Nd, p: P, o: Options): Nd {
  const groups = o.groups as number;
  const part = (t: Nd, axis: number, i: number): Nd => {
    const size = t.shape[axis]! / groups;
    return reference.slice(t, axis, i * size, (i + 1) * size);
  };
  const one = (i: number): Nd => {
    const bias = p.bias && part(p.bias, 0, i);
    return reference.conv2d(part(x, 1, i), part(p.weight!, 0, i), window(o), bias);
  };
  return reference.concat(
    Array.from({ length: groups }, (_, i) => one(i)),
    1,
  );
}

export const AFFINE: Readonly<Record<string, AffineReference>> = {
  dense: weighted((x, p) => reference.matmul(x, p.weight!, { tb: true, bias: p.bias })),
  conv2d: weighted((x, p, o) => groupedConv2d(x, p, o)),
  flatten: {
    apply: (x) => nd([x.shape[0]!, x.shape.slice(1).reduce((a, b) => a * b, 1)], x.data),
    absolute: (p) => p,
  },
  'avg-pool': {
    apply: (x, _, o) => {
      const { kernel, window: w } = pooling(o);
      const sums = reference.avgPool(x, kernel, w);
      if (o.countPadding) return sums;
      const share = reference.avgPool(
        map(() => 1, x),
        kernel,
        w,
      );
      return map((sum, s) => sum! / s!, sums, share);
    },
    absolute: (p) => p,
  },
  reshape: moved((x, o) => nd([x.shape[0]!, ...(o.shape as number[])], x.data)),
  permute: moved((x, o) => reference.transpose(x, [0, ...(o.order as number[]).map((i) => i + 1)])),
  select: moved((x, o) => {
    const [axis, indices] = [(o.axis as number) + 1, o.indices as number[]];
    return reference.concat(
      indices.map((i) => reference.slice(x, axis, i, i + 1)),
      axis,
    );
  }),
  pad: moved((x, o) => {
    const [before, after] = [o.before as number[], o.after as number[]];
    return before.reduce((y, count, axis) => {
      const shape = y.shape.map((s, i) => (i === axis + 1 ? s + count + after[axis]! : s));
      return reference.embed(y, axis + 1, count, shape);
    }, x);
  }),
  reduce: moved((x, o) => {
    const axes = o.axes as number[];
    const shape = x.shape.map((s, i) => (axes.includes(i - 1) ? 1 : s));
    const y = reference.sumTo(x, shape);
    const count = axes.reduce((n, axis) => n * x.shape[axis + 1]!, 1);
    return o.mean ? map((v) => v! / count, y) : y;
  }),
  'batch-norm': {
    ...scaled,
    derive(p, o) {
      const deviation = map((v) => Math.sqrt(v! + (o.epsilon as number)), p.variance!);
      const scale = map((w, d) => w! / d!, p.weight!, deviation);
      return { scale, shift: map((b, m, s) => b! - m! * s!, p.bias!, p.mean!, scale) };
    },
  },
  normalise: {
    ...scaled,
    derive: (p) => ({
      scale: map((s) => 1 / s!, p.std!),
      shift: map((m, s) => -m! / s!, p.mean!, p.std!),
    }),
  },
  scale: scaled,
  elementwise: scaled,
  dropout: identity,
};

export const POINTWISE: Readonly<Record<string, (x: number, o: Options) => number>> = {
  relu: (x) => Math.max(x, 0),
  'leaky-relu': (x, o) => (x > 0 ? x : x * (o.slope as number)),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  clip: (x, o) =>
    Math.min(
      Math.max(x, (o.lo as number | null) ?? -Infinity),
      (o.hi as number | null) ?? Infinity,
    ),
  abs: Math.abs,
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x, o) =>
    o.approximate === 'tanh'
      ? 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
      : x * normalCdf(x),
  'hard-swish': (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
};

/** Pointwise functions that fall before they rise. */
const VALLEYS = ['abs', 'silu', 'gelu', 'hard-swish'];

/** The least value of such a function on [lo, hi], by thirds. */
function leastOf(f: (x: number) => number, lo: number, hi: number): number {
  let [a, b] = [lo, hi];
  for (let i = 0; i < 300; i++) {
    const [p, q] = [a + (b - a) / 3, b - (b - a) / 3];
    if (f(p) <= f(q)) b = q;
    else a = p;
  }
  return Math.min(f(lo), f(hi), f(a));
}

export const JOIN: Readonly<Record<string, (xs: readonly Nd[], o: Options) => Nd>> = {
  add: (xs) => map((...values) => values.reduce((a, b) => a + b), ...xs),
  concat: (xs, o) => reference.concat(xs, (o.axis as number) + 1),
  'max-pool': ([x], o) => reference.maxPool(x!, pooling(o).kernel, pooling(o).window),
};

function nodeWeights(node: GraphNode, weights: Weights): P {
  const own = Object.keys(node.params).map((local) => [
    local,
    weights.get(`${node.name}.${local}`)!,
  ]);
  const p = Object.fromEntries(own) as P;
  return AFFINE[node.kind]?.derive?.(p, node.options) ?? p;
}

/** One pass over the graph; returns the values of every node, the input's first. */
function walk<E>(graph: Graph, input: E, visit: (node: GraphNode, xs: readonly E[]) => E): E[] {
  const values = [input];
  for (const node of graph.nodes)
    values.push(
      visit(
        node,
        node.inputs.map((i) => values[i + 1]!),
      ),
    );
  return values;
}

/** The output for a batch x. */
export function evaluate(graph: Graph, weights: Weights, x: Nd): Nd {
  return walk(graph, x, (node, xs) => {
    const { kind, options } = node;
    const pointwise = POINTWISE[kind];
    if (pointwise) return map((v) => pointwise(v!, options), xs[0]!);
    const affine = AFFINE[kind];
    if (affine) return affine.apply(xs[0]!, nodeWeights(node, weights), options);
    return JOIN[kind]!(xs, options);
  }).at(-1)!;
}

/**
 * At least the sum of the sizes of all terms behind each output, as if nothing cancelled: roundings are
 * shares of it. Pointwise functions of slope 1 at most pass it on.
 */
export function evaluateSizes(graph: Graph, weights: Weights, x: Nd): Nd {
  return walk(graph, abs(x), (node, xs) => {
    const { kind, options } = node;
    const pointwise = POINTWISE[kind];
    if (pointwise) return map((v) => v! + Math.abs(pointwise(0, options)), xs[0]!);
    const affine = AFFINE[kind];
    if (!affine) return JOIN[kind]!(xs, options);
    const own = nodeWeights(node, weights);
    const p = Object.fromEntries(Object.entries(own).map(([name, t]) => [name, abs(t)]));
    return affine.apply(xs[0]!, p, options);
  }).at(-1)!;
}

export interface BoxNd {
  readonly lo: Nd;
  readonly hi: Nd;
}

function stepBox(weights: Weights): (node: GraphNode, xs: readonly BoxNd[]) => BoxNd {
  return (node, xs) => {
    const { kind, options } = node;
    const [pointwise, affine] = [POINTWISE[kind], AFFINE[kind]];
    const ends = (f: (side: readonly Nd[]) => Nd): BoxNd => ({
      lo: f(xs.map((b) => b.lo)),
      hi: f(xs.map((b) => b.hi)),
    });
    if (pointwise && VALLEYS.includes(kind)) {
      const f = (x: number): number => pointwise(x, options);
      const [{ lo, hi }] = xs as [BoxNd];
      return {
        lo: map((a, b) => leastOf(f, a!, b!), lo, hi),
        hi: map((a, b) => Math.max(f(a!), f(b!)), lo, hi),
      };
    }
    if (pointwise) return ends(([x]) => map((v) => pointwise(v!, options), x!));
    if (!affine) return ends((side) => JOIN[kind]!(side, options));
    const p = nodeWeights(node, weights);
    const [c, r] = centre(xs[0]!);
    const mid = affine.apply(c, p, options);
    const reach = affine.apply(r, affine.absolute(p), options);
    return { lo: map((a, b) => a! - b!, mid, reach), hi: map((a, b) => a! + b!, mid, reach) };
  };
}

const centre = ({ lo, hi }: BoxNd): [Nd, Nd] => [
  map((a, b) => (a! + b!) / 2, lo, hi),
  map((a, b) => (b! - a!) / 2, lo, hi),
];

/** Interval bounds of the output. */
export function evaluateBox(graph: Graph, weights: Weights, box: BoxNd): BoxNd {
  return walk(graph, box, stepBox(weights)).at(-1)!;
}

/** Lower bounds of z_y - z_j; of a last affine layer the rows of its matrix are subtracted first. */
export function evaluateMargins(
  graph: Graph,
  weights: Weights,
  box: BoxNd,
  labels: readonly number[],
): Nd {
  const values = walk(graph, box, stepBox(weights));
  const last = graph.nodes.at(-1)!;
  const k = sizeOf(last.shape);
  const affine = AFFINE[last.kind];
  if (!affine) {
    const { lo, hi } = values.at(-1)!;
    return tabulate([labels.length, k], ([i, j]) =>
      labels[i!] === j ? 0 : lo.data[i! * k + labels[i!]!]! - hi.data[i! * k + j!]!,
    );
  }
  const shape = last.inputShapes[0]!;
  const size = sizeOf(shape);
  const p = nodeWeights(last, weights);
  // Row f: the output for the unit vector f, with the bias; the last row is the bias alone.
  const units = nd(
    [size + 1, ...shape],
    tabulate([size + 1, size], ([i, f]) => Number(i === f)).data,
  );
  const columns = affine.apply(units, p, last.options).data;
  const bias = (j: number): number => columns[size * k + j]!;
  const weight = (j: number, f: number): number => columns[f * k + j]! - bias(j);
  const [c, r] = centre(values[last.inputs[0]! + 1]!);
  return tabulate([labels.length, k], ([i, j]) => {
    const y = labels[i!]!;
    let margin = bias(y) - bias(j!);
    for (let f = 0; f < size; f++) {
      const w = weight(y, f) - weight(j!, f);
      margin += w * c.data[i! * size + f]! - Math.abs(w) * r.data[i! * size + f]!;
    }
    return margin;
  });
}
