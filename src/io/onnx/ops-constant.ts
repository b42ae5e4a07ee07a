/**
 * Operators over constants: functions of numbers that broadcast, reductions, quantised weights. They
 * are computed in float64 and rounded once to the type of the result.
 */
import {
  broadcastShape,
  broadcastStrides,
  type Shape,
  sizeOf,
  stridesOf,
} from '../../tensor/shape';
import type { Call, Operator } from './call';
import { BOOL, type Constant, ELEMENTS, FLOAT, numbers, roundEven, settle } from './element';

/** A function of numbers; `whole` where they are integers. */
type Scalar = (values: readonly number[], call: Call, whole: boolean) => number;

/** Numbers of `c` repeated to `shape`, by their places in it. */
export function spread(c: Constant, shape: Shape): (i: number) => number {
  if (c.values.length === 1) return () => c.values[0]!;
  if (sizeOf(shape) === c.values.length) return (i) => c.values[i]!;
  const [own, strides] = [broadcastStrides(c.shape, shape), stridesOf(shape)];
  const wide = shape.flatMap((size, axis) => (size > 1 && own[axis]! > 0 ? [axis] : []));
  return (i) => {
    let at = 0;
    for (const axis of wide) at += (Math.floor(i / strides[axis]!) % shape[axis]!) * own[axis]!;
    return c.values[at]!;
  };
}

/** `f` over constants of shapes that broadcast; by default the first one's type. */
export function over(
  call: Call,
  f: Scalar,
  inputs: readonly Constant[],
  type = inputs[0]!.type,
): Constant {
  const shape = inputs.reduce<Shape>((s, c) => broadcastShape(s, c.shape, call.who), []);
  const size = sizeOf(shape);
  call.build.spend(size);
  call.build.toil(size * inputs.length);
  const at = inputs.map((c) => spread(c, shape));
  const whole = ELEMENTS[inputs[0]!.type]?.kind === 'whole';
  const values = numbers(type, size);
  for (let i = 0; i < size; i++)
    values[i] = settle(
      type,
      f(
        at.map((from) => from(i)),
        call,
        whole,
      ),
    );
  return { kind: 'constant', shape, type, values };
}

/** All inputs, which are constants. */
const every = (call: Call): Constant[] => call.inputs.map((_, i) => call.constant(i));

const REFUSED = 'as no layer computes it of values that depend on the input';

/** The operator for constants alone. */
const alone =
  (operator: Operator): Operator =>
  (call) => {
    if (!call.folds) call.fail(`constants, ${REFUSED}`, 'such values', HINT);
    return operator(call);
  };
const HINT = 'Choose an output before it (--output), or a network without it.';

const of = (scalar: Scalar, type?: number): Operator =>
  alone((call) => over(call, scalar, every(call), type));
const one = (f: (x: number) => number): Operator => of(([x]) => f(x!));
const truth = (f: (a: number, b: number) => boolean): Operator =>
  of(([a, b]) => Number(f(a!, b!)), BOOL);

/** Error function: series 7.1.6 of Abramowitz and Stegun, and continued fraction 7.1.14 where that is slow. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  if (Math.abs(x) > 3) {
    let fraction = 0;
    for (let k = 60; k > 0; k--) fraction = k / 2 / (Math.abs(x) + fraction);
    const rest = Math.exp(-x * x) / (Math.sqrt(Math.PI) * (Math.abs(x) + fraction));
    return Math.sign(x) * (1 - rest);
  }
  let [term, sum] = [x, x];
  for (let n = 1; n < 200 && Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function mod([a, b]: readonly number[], call: Call): number {
  return call.int('fmod', 0) === 1 ? a! % b! : a! - Math.floor(a! / b!) * b!;
}

const softplus = (x: number): number => (x > 30 ? x : Math.log1p(Math.exp(x)));

/** What ONNX names as Math does, but for the capital. */
const OF_MATH = [
  ...(['acos', 'acosh', 'asin', 'asinh', 'atan', 'atanh', 'ceil', 'cos', 'cosh'] as const),
  ...(['exp', 'floor', 'log', 'sign', 'sin', 'sinh', 'sqrt', 'tan'] as const),
];

const FUNCTIONS: Readonly<Record<string, Operator>> = {
  ...Object.fromEntries(OF_MATH.map((f) => [f[0]!.toUpperCase() + f.slice(1), one(Math[f])])),
  And: truth((a, b) => a !== 0 && b !== 0),
  Elu: of(([x], call) => (x! >= 0 ? x! : (call.float('alpha') ?? 1) * Math.expm1(x!))),
  Equal: truth((a, b) => a === b),
  Erf: one(erf),
  Greater: truth((a, b) => a > b),
  GreaterOrEqual: truth((a, b) => a >= b),
  IsNaN: of(([x]) => Number(Number.isNaN(x)), BOOL),
  Less: truth((a, b) => a < b),
  LessOrEqual: truth((a, b) => a <= b),
  Mish: one((x) => x * Math.tanh(softplus(x))),
  Mod: of(mod),
  Not: of(([x]) => Number(x === 0), BOOL),
  Or: truth((a, b) => a !== 0 || b !== 0),
  Pow: of(([x, y]) => x! ** y!),
  Reciprocal: one((x) => 1 / x),
  Round: one(roundEven),
  Selu: of(([x], call) => {
    const [alpha, gamma] = [call.float('alpha') ?? 1.6732632, call.float('gamma') ?? 1.050701];
    return gamma * (x! > 0 ? x! : alpha * Math.expm1(x!));
  }),
  Softplus: one(softplus),
  Softsign: one((x) => x / (1 + Math.abs(x))),
  Xor: truth((a, b) => (a !== 0) !== (b !== 0)),
};

/** What a reduction does: the axes, the shape with them at size 1, and the shape of the result. */
export interface Reduction {
  readonly axes: readonly number[];
  readonly kept: Shape;
  readonly to: Shape;
}

/** The reduction of a shape, or undefined where it is none. */
export function reductionOf(call: Call, shape: Shape): Reduction | undefined {
  const given = call.wholesOrInts(1, 'axes') ?? [];
  if (given.length === 0 && call.int('noop_with_empty_axes', 0) === 1) return undefined;
  const axes = given.length === 0 ? shape.map((_, axis) => axis) : call.axes(given, shape.length);
  const gone = new Set(axes);
  const kept = shape.map((size, axis) => (gone.has(axis) ? 1 : size));
  const to = call.int('keepdims', 1) ? kept : kept.filter((_, axis) => !gone.has(axis));
  return { axes, kept, to };
}

/** Fold of values: its start, what each value does, and what the end becomes. */
interface Fold {
  readonly start: number;
  add(sum: number, x: number): number;
  end?(sum: number, count: number): number;
}

const plus = (sum: number, x: number): number => sum + x;

export const FOLDS: Readonly<Record<string, Fold>> = {
  ReduceL1: { start: 0, add: (sum, x) => sum + Math.abs(x) },
  ReduceL2: { start: 0, add: (sum, x) => sum + x * x, end: Math.sqrt },
  ReduceLogSum: { start: 0, add: plus, end: Math.log },
  ReduceLogSumExp: { start: 0, add: (sum, x) => sum + Math.exp(x), end: Math.log },
  ReduceMax: { start: Number.NEGATIVE_INFINITY, add: (a, b) => Math.max(a, b) },
  ReduceMean: { start: 0, add: plus, end: (sum, count) => sum / count },
  ReduceMin: { start: Number.POSITIVE_INFINITY, add: (a, b) => Math.min(a, b) },
  ReduceProd: { start: 1, add: (product, x) => product * x },
  ReduceSum: { start: 0, add: plus },
  ReduceSumSquare: { start: 0, add: (sum, x) => sum + x * x },
};

/** A constant reduced. */
export function reduced(call: Call, { start, add, end = (v) => v }: Fold): Constant {
  const c = call.constant(0);
  const found = reductionOf(call, c.shape);
  if (!found) return c;
  const size = sizeOf(found.kept);
  call.build.spend(size);
  const [own, strides] = [broadcastStrides(found.kept, c.shape), stridesOf(c.shape)];
  const sums = new Float64Array(size).fill(start);
  call.build.toil(c.values.length * c.shape.length);
  c.values.forEach((x: number, i: number) => {
    let at = 0;
    for (let axis = 0; axis < own.length; axis++)
      at += (Math.floor(i / strides[axis]!) % c.shape[axis]!) * own[axis]!;
    sums[at] = add(sums[at]!, x);
  });
  const values = numbers(c.type, size);
  const count = c.values.length / Math.max(1, size);
  sums.forEach((sum, i) => {
    values[i] = settle(c.type, end(sum, count));
  });
  return { ...c, shape: found.to, values };
}

/** Scale (or zero point) of every place of `shape`: one, one an axis' place, or one a block. */
function perPlace(call: Call, shape: Shape, c: Constant): (i: number) => number {
  if (c.values.length === 1) return () => c.values[0]!;
  const axis = call.axis(call.int('axis', 1), shape.length);
  const block = call.int('block_size', 0);
  if (block === 0) {
    const fits = c.shape.length === 1 && c.shape[0] === shape[axis];
    call.expect(fits, `${shape[axis]} scales`, c.shape);
    const inner = sizeOf(shape.slice(axis + 1));
    return (i) => c.values[Math.floor(i / inner) % shape[axis]!]!;
  }
  const blocks = shape.map((size, i) => (i === axis ? Math.ceil(size / block) : size));
  const sound = block > 0 && blocks.join() === c.shape.join();
  call.expect(sound, `scales of shape [${blocks}]`, c.shape);
  const [own, strides] = [stridesOf(c.shape), stridesOf(shape)];
  return (i) => {
    let at = 0;
    for (let k = 0; k < shape.length; k++) {
      const place = Math.floor(i / strides[k]!) % shape[k]!;
      at += (k === axis ? Math.floor(place / block) : place) * own[k]!;
    }
    return c.values[at]!;
  };
}

/** y = f(x, scale, zero point) over a constant x. */
function quantised(
  call: Call,
  type: number,
  f: (x: number, scale: number, zero: number) => number,
): Constant {
  const [x, scales] = [call.constant(0), call.constant(1)];
  const zeros = call.inputs[2]
    ? call.constant(2)
    : { ...scales, values: scales.values.map(() => 0) };
  call.build.spend(x.values.length);
  const [scale, zero] = [perPlace(call, x.shape, scales), perPlace(call, x.shape, zeros)];
  const values = numbers(type, x.values.length);
  for (let i = 0; i < values.length; i++)
    values[i] = settle(type, f(x.values[i]!, scale(i), zero(i)));
  return { kind: 'constant', shape: x.shape, type, values };
}

const QUANTISED = 'Only weights may be quantised; export before activations are.';
const weights =
  (operator: Operator): Operator =>
  (call) => {
    if (!call.folds) call.fail('quantised weights', 'quantised values of the network', QUANTISED);
    return operator(call);
  };

const dequantize = weights((call) => {
  const type = call.int('output_dtype', 0) || call.constant(1).type;
  return quantised(call, type, (x, scale, zero) => (x - zero) * scale);
});

const quantize = weights((call) => {
  const type = call.inputs[2] ? call.constant(2).type : call.int('output_dtype', 0) || 2;
  const [least, most] = ELEMENTS[type]?.range ?? call.fail('a type of integers', type);
  return quantised(call, type, (x, scale, zero) =>
    Math.min(Math.max(roundEven(Math.fround(x / scale)) + zero, least), most),
  );
});

/** Shares of exponentials along an axis; before operator set 13 over all axes from it on. */
const softmax =
  (end: (share: number) => number): Operator =>
  (call) => {
    const hint = 'Inside of a network it is a quotient, which no layer computes.';
    if (!call.folds)
      call.fail(`${call.node.op_type} at the end, over the classes`, 'elsewhere', hint);
    const c = call.constant(0);
    const newer = call.opset >= 13;
    const axis = call.axis(call.int('axis', newer ? -1 : 1), c.shape.length);
    const count = newer ? c.shape[axis]! : sizeOf(c.shape.slice(axis));
    const inner = newer ? sizeOf(c.shape.slice(axis + 1)) : 1;
    const place = (i: number): number => Math.floor(i / (count * inner)) * inner + (i % inner);
    const groups = c.values.length / Math.max(1, count);
    const most = new Float64Array(groups).fill(Number.NEGATIVE_INFINITY);
    const sums = new Float64Array(groups);
    call.build.spend(c.values.length);
    c.values.forEach((x: number, i: number) => {
      most[place(i)] = Math.max(most[place(i)]!, x);
    });
    c.values.forEach((x: number, i: number) => {
      sums[place(i)]! += Math.exp(x - most[place(i)]!);
    });
    const share = (x: number, at: number): number => Math.exp(x - most[at]!) / sums[at]!;
    const values = c.values.map((x: number, i: number) => settle(c.type, end(share(x, place(i)))));
    return { ...c, values };
  };

function range(call: Call): Constant {
  const [start, limit, step] = [call.constant(0), call.scalar(1)!, call.scalar(2)!];
  const from = call.scalar(0)!;
  const count = Math.max(0, Math.ceil((limit - from) / step));
  call.expect(Number.isFinite(count), 'a range that ends', [from, limit, step]);
  call.build.spend(count);
  const values = numbers(start.type, count).map((_: number, i: number) =>
    settle(start.type, from + i * step),
  );
  return { kind: 'constant', shape: [count], type: start.type, values };
}

function eyeLike(call: Call): Constant {
  const { shape } = call.constant(0);
  call.expect(shape.length === 2, 'a matrix', shape);
  const type = call.int('dtype', 0) || FLOAT;
  call.build.spend(sizeOf(shape));
  const values = numbers(type, sizeOf(shape));
  const shift = call.int('k', 0);
  for (let row = 0; row < shape[0]!; row++)
    if (row + shift >= 0 && row + shift < shape[1]!) values[row * shape[1]! + row + shift] = 1;
  return { kind: 'constant', shape, type, values };
}

/** Operators that are read over constants alone. */
export const constants: Readonly<Record<string, Operator>> = {
  ...FUNCTIONS,
  ...Object.fromEntries(
    Object.entries(FOLDS).map(([name, rule]) => [name, alone((call) => reduced(call, rule))]),
  ),
  DequantizeLinear: dequantize,
  EyeLike: alone(eyeLike),
  LogSoftmax: softmax(Math.log),
  QuantizeLinear: quantize,
  Range: alone(range),
  Softmax: softmax((share) => share),
};
