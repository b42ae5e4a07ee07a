/**
 * Operators that compute: arithmetic, functions, normalisation, sums, products of matrices. All but
 * sums of several values of the network are one of our layers with constants as its parameters.
 */
import {
  broadcastShape,
  broadcastStrides,
  type Shape,
  sizeOf,
  stridesOf,
} from '../../tensor/shape';
import type { Arithmetic, Draft, Live, Value } from './build';
import type { Call, Operator } from './call';
import { type Constant, ELEMENTS, numbers } from './element';
import { shortest, single } from './numbers';

type Op = Arithmetic['op'];

const COMPUTE: Readonly<Record<Op, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
};

/** Numbers of `c` repeated to `shape`. */
function spread(c: Constant, shape: Shape): (i: number) => number {
  if (c.values.length === 1) return () => c.values[0]!;
  const [own, strides] = [broadcastStrides(c.shape, shape), stridesOf(shape)];
  return (i) =>
    c.values[
      shape.reduce((at, size, k) => at + (Math.floor(i / strides[k]!) % size) * own[k]!, 0)
    ]!;
}

function fold(call: Call, op: Op, a: Constant, b: Constant): Constant {
  const shape = broadcastShape(a.shape, b.shape, call.who);
  const size = sizeOf(shape);
  call.build.spend(size);
  const [p, q] = [spread(a, shape), spread(b, shape)];
  const whole = ELEMENTS[a.type]?.kind === 'whole' && op === 'div';
  const values = numbers(a.type, size);
  for (let i = 0; i < size; i++) {
    const value = COMPUTE[op](p(i), q(i));
    values[i] = whole ? Math.trunc(value) : value;
  }
  return { kind: 'constant', shape, type: a.type, values };
}

/** `x op c`, one number a channel where that is enough, else one a value. */
export function withConstant(call: Call, op: Op, x: Live, c: Constant): Live {
  const full = broadcastShape(x.full, c.shape, call.who);
  const live = call.build.expand(x, full);
  const neutral = op === 'add' || op === 'sub' ? 0 : 1;
  if (c.values.every((value) => value === neutral)) return live;
  const { draft } = live;
  const [channels, size] = [draft.sample[0]!, sizeOf(full)];
  const shape = [...full.map(() => 1).slice(c.shape.length), ...c.shape];
  const wide = shape.flatMap((s, axis) => (s === 1 ? [] : [axis]));
  const [axis = 0] = wide;
  const leading = sizeOf(full.slice(0, axis)) === 1 && full[axis] === channels;
  const few = wide.length === 0 || (wide.length === 1 && leading);
  const at = spread(c, full);
  const count = few ? channels : size;
  const layer = count === channels ? 'scale' : 'elementwise';
  call.build.spend(count);
  const by = Float32Array.from({ length: count }, (_, i) => at(few ? (i * size) / channels : i));
  const made = call.build.node(layer, [draft]);
  made.step = { op, by };
  return { ...live, draft: made };
}

/** A sum of values of the network, of one shape after broadcasting. */
function total(call: Call, values: readonly Live[]): Live {
  const full = values.map((v) => v.full).reduce((a, b) => broadcastShape(a, b, call.who));
  const [first, ...rest] = values.map((value) => call.build.expand(value, full));
  const drafts = rest.map((value) => call.build.as(value, first!.draft.sample));
  return { ...first!, draft: call.build.node('add', [first!.draft, ...drafts]) };
}

function negative(call: Call, x: Live): Live {
  const live = withConstant(call, 'mul', x, call.build.number(-1));
  live.draft.name += '-negative';
  return live;
}

function arithmetic(op: Op): Operator {
  return (call) => {
    const [a, b] = [call.value(0), call.value(1)];
    if (a.kind === 'constant' && b.kind === 'constant') return fold(call, op, a, b);
    if (a.kind === 'live' && b.kind === 'constant') return withConstant(call, op, a, b);
    const sum = op === 'add' || op === 'sub';
    if (b.kind === 'live' && a.kind === 'constant' && op !== 'div')
      return withConstant(call, sum ? 'add' : 'mul', op === 'sub' ? negative(call, b) : b, a);
    if (a.kind === 'live' && b.kind === 'live' && sum)
      return total(call, [a, op === 'sub' ? negative(call, b) : b]);
    return call.fail('a constant factor or divisor', 'varying ones');
  };
}

function sum(call: Call): Value {
  const values = [call.value(0), ...call.inputs.slice(1).map((_, i) => call.value(i + 1))];
  const live = values.filter((value) => value.kind === 'live');
  const constants = values.filter((value) => value.kind === 'constant');
  if (live.length === 0) return constants.reduce((a, b) => fold(call, 'add', a, b));
  const start = live.length === 1 ? live[0]! : total(call, live);
  return constants.reduce((x, c) => withConstant(call, 'add', x, c), start);
}

/** A layer that changes each value by itself. */
const pointwise =
  (layer: string, options: (call: Call) => Draft['options'] = () => ({})) =>
  (call: Call): Live => {
    const x = call.live(0);
    return { ...x, draft: call.build.node(layer, [x.draft], options(call)) };
  };

function clip(call: Call): Value {
  const limit = (index: number, name: string): number | null => {
    const value = call.scalar(index) ?? call.float(name);
    return value === undefined || Math.abs(value) > 3.4e38 ? null : shortest(value);
  };
  const options = { lo: limit(1, 'min'), hi: limit(2, 'max') };
  if (options.lo === null && options.hi === null) return call.live(0);
  return pointwise('clip', () => options)(call);
}

function batchNormalization(call: Call): Value {
  const x = call.live(0);
  const inference = call.int('training_mode', 0) === 0 && call.int('spatial', 1) === 1;
  call.expect(inference, 'statistics of inference, one a channel', 'others');
  const draft = call.build.behind(x);
  const [weight, bias, mean, variance] = [1, 2, 3, 4].map((i) => single(call, call.constant(i)));
  const options = {
    momentum: shortest(1 - shortest(call.float('momentum') ?? 0.9)),
    epsilon: shortest(call.float('epsilon') ?? 1e-5),
  };
  const params = { weight: weight!, bias: bias!, mean: mean!, variance: variance! };
  return { ...x, draft: call.build.node('batch-norm', [draft], options, params) };
}

const reduction =
  (mean: boolean): Operator =>
  (call: Call) => {
    const x = call.live(0);
    const given = call.wholesOrInts(1, 'axes') ?? [];
    if (given.length === 0 && call.int('noop_with_empty_axes', 0) === 1) return x;
    const every = x.full.map((_, axis) => axis);
    const axes = given.length === 0 ? every : call.axes(given, x.full.length);
    const kept = x.full.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const to = call.int('keepdims', 1) ? kept : kept.filter((_, axis) => !axes.includes(axis));
    const wide = axes.filter((axis) => x.full[axis] !== 1 || axis === x.batch);
    const own = call.build.axesOf(x, wide);
    const options = { axes: own.axes, mean };
    const draft = wide.length > 0 ? call.build.node('reduce', [own.draft], options) : x.draft;
    return call.build.view(call.build.live(draft, kept, x.batch), to);
  };

/** Rows of the weight are the outputs. */
interface Product {
  readonly x: Live;
  readonly weight: Float32Array;
  readonly bias?: Float32Array;
  readonly to: Shape;
}

function dense(call: Call, { x, weight, bias, to }: Product): Live {
  const units = sizeOf(to);
  const features = sizeOf(x.full);
  const hint = 'Only products of one row a sample are understood; export with a batch of 1.';
  call.expect(
    weight.length === units * features,
    `${units} x ${features} weights`,
    weight.length,
    hint,
  );
  const draft = call.build.as(x, [features]);
  const params = { weight, ...(bias ? { bias } : {}) };
  return call.build.live(
    call.build.node('dense', [draft], { units, bias: !!bias }, params),
    to,
    x.batch,
  );
}

/** [rows, columns] with the axes exchanged. */
function turned(call: Call, values: Float32Array, rows: number, columns: number): Float32Array {
  call.build.spend(values.length);
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

function matMul(call: Call): Value {
  const [a, b] = [call.value(0), call.value(1)];
  if (a.kind === 'live' && b.kind === 'constant') {
    const [k, n = 1] = matrix(call, b.shape, a.full.length);
    const to = [...a.full.slice(0, -1), ...(b.shape.length > 1 ? [n] : [])];
    call.expect(a.full.at(-1) === k, `${k} columns`, a.full);
    return dense(call, { x: a, weight: turned(call, single(call, b), k!, n), to });
  }
  const w = call.constant(0);
  const x = call.live(1);
  const [m, k = m] = w.shape.length === 1 ? [1, w.shape[0]!] : matrix(call, w.shape, x.full.length);
  const flat = x.full.length === 1;
  call.expect(x.full.at(flat ? -1 : -2) === k, `${k} rows`, x.full);
  const rows = w.shape.length > 1 ? [m!] : [];
  const to = flat ? rows : [...x.full.slice(0, -2), ...rows, x.full.at(-1)!];
  return dense(call, { x, weight: single(call, w), to });
}

/** The last two sizes of a shape of at most `rank` axes whose others are 1. */
function matrix(call: Call, shape: Shape, rank: number): Shape {
  const fits = shape.length > 0 && shape.length <= Math.max(2, rank);
  const flat = fits && sizeOf(shape.slice(0, -2)) === 1;
  call.expect(flat, 'a constant matrix', `shape [${shape}]`);
  return shape.slice(-2);
}

function gemm(call: Call): Value {
  const [x, w] = [call.live(0), call.constant(1)];
  const [ta, tb] = [call.int('transA', 0) !== 0, call.int('transB', 0) !== 0];
  const [alpha, beta] = [call.float('alpha') ?? 1, call.float('beta') ?? 1];
  call.expect(w.shape.length === 2 && x.full.length === 2, 'two matrices', [x.full, w.shape]);
  const [m, k] = ta ? [x.full[1]!, x.full[0]!] : [x.full[0]!, x.full[1]!];
  const [k2, n] = tb ? [w.shape[1]!, w.shape[0]!] : [w.shape[0]!, w.shape[1]!];
  call.expect(k === k2, `${k} rows`, k2);
  const values = single(call, w);
  const weight = tb ? values : turned(call, values, k, n);
  const c = call.inputs[2] && call.constant(2);
  const to = [m, n];
  const scaled = (by: number, list: Float32Array): Float32Array =>
    by === 1 ? list : list.map((v) => v * by);
  if (!c) return dense(call, { x, weight: scaled(alpha, weight), to });
  const fits = sizeOf(broadcastShape(c.shape, to, call.who)) === m * n;
  call.expect(fits, `numbers for [${to}]`, c.shape);
  const one = single(call, c);
  call.build.spend(n);
  const bias = one.length === n ? one : new Float32Array(n).fill(one[0]!);
  return dense(call, { x, weight: scaled(alpha, weight), bias: scaled(beta, bias), to });
}

export const compute: Readonly<Record<string, Operator>> = {
  Add: arithmetic('add'),
  BatchNormalization: batchNormalization,
  Clip: clip,
  Div: arithmetic('div'),
  Gemm: gemm,
  LeakyRelu: pointwise('leaky-relu', (call) => ({ slope: shortest(call.float('alpha') ?? 0.01) })),
  MatMul: matMul,
  Mul: arithmetic('mul'),
  ReduceMean: reduction(true),
  ReduceSum: reduction(false),
  Relu: pointwise('relu'),
  Sigmoid: pointwise('sigmoid'),
  Sub: arithmetic('sub'),
  Sum: sum,
  Tanh: pointwise('tanh'),
};
