/**
 * Products of matrices, one of which is constant. One column is a dense layer; several are a 1 x 1
 * convolution, whose channels are the rows and whose pixels are the columns; a stack of constant
 * matrices is one with groups. Products from the right are those from the left, transposed.
 */
import { broadcastShape, type Shape, sizeOf } from '../../tensor/shape';
import type { Live, Value } from './build';
import type { Call, Operator } from './call';
import { type Constant, numbers } from './element';
import { single } from './numbers';
import { plus, withConstant } from './ops-arithmetic';
import { over, spread } from './ops-constant';

/** Constant matrices [g, m, k], g of them or one for all. */
interface Stack {
  readonly count: number;
  readonly m: number;
  readonly k: number;
  readonly values: Float32Array;
}

/** Each of the matrices with its axes exchanged. */
function turned(call: Call, { count, m, k, values }: Stack): Stack {
  call.build.spend(values.length);
  const out = new Float32Array(values.length);
  for (let g = 0; g < count; g++)
    for (let row = 0; row < m; row++)
      for (let column = 0; column < k; column++)
        out[(g * k + column) * m + row] = values[(g * m + row) * k + column]!;
  return { count, m: k, k: m, values: out };
}

/** W x for x [g, k, n], as [g, m, n]; `bias` is one number a row. */
function fromLeft(call: Call, w: Stack, x: Live, bias?: Float32Array): Live {
  const { build } = call;
  const [g, k, n] = x.full as [number, number, number];
  call.expect(w.k === k, `${w.k} rows (or columns)`, k);
  build.apart(x, [1]);
  const params = { weight: w.values, ...(bias ? { bias } : {}) };
  const to = [g, w.m, n];
  if (g * n === 1) {
    const options = { units: w.m, bias: !!bias };
    return build.live(build.node('dense', [build.as(x, [k])], options, params), to, x.batch);
  }
  const groups = w.count > 1 ? g : 1;
  const channels = groups * w.m;
  const options = { channels, kernel: 1, groups, bias: !!bias };
  if (groups > 1 || g === 1) {
    const draft = build.node('conv2d', [build.as(x, [groups * k, 1, n])], options, params);
    return build.live(draft, to, x.batch);
  }
  const planes = build.permute(x, [1, 0, 2]) as Live;
  const draft = build.node('conv2d', [build.as(planes, [k, g, n])], options, params);
  return build.permute(build.live(draft, [w.m, g, n], planes.batch), [1, 0, 2]) as Live;
}

/** x W' for x [g, m, k], as [g, m, n], one row after the other; `bias` is one number a column. */
function fromRight(call: Call, x: Live, w: Stack, bias?: Float32Array): Live {
  const { build } = call;
  const [g, m] = x.full as [number, number];
  const flat = w.count === 1 && g > 1;
  const rows = flat ? build.view(x, [1, g * m, x.full[2]!]) : x;
  const columns = build.permute(rows, [0, 2, 1]) as Live;
  const y = fromLeft(call, w, columns, bias);
  return build.view(build.permute(y, [0, 2, 1]) as Live, [g, m, w.m]);
}

/** The constant's last two axes as matrices, the others broadcast to `outer`. */
function stackOf(call: Call, c: Constant, outer: Shape): Stack {
  const [m, k] = c.shape.slice(-2) as [number, number];
  const own = sizeOf(c.shape.slice(0, -2));
  const count = own === 1 ? 1 : sizeOf(outer);
  if (own === count) return { count, m, k, values: single(call, c) };
  const shape = [...outer, m, k];
  call.build.spend(sizeOf(shape));
  const at = spread(c, shape);
  return { count, m, k, values: Float32Array.from({ length: sizeOf(shape) }, (_, i) => at(i)) };
}

/** Shapes of both factors as matrices, and of the result, whose axes of vectors go. */
function sizes(call: Call, a: Shape, b: Shape) {
  call.expect(a.length > 0 && b.length > 0, 'matrices or vectors', 'a number');
  const left = a.length === 1 ? [1, a[0]!] : a;
  const right = b.length === 1 ? [b[0]!, 1] : b;
  const outer = broadcastShape(left.slice(0, -2), right.slice(0, -2), call.who);
  const [m, n] = [left.at(-2)!, right.at(-1)!];
  call.expect(left.at(-1) === right.at(-2), `${left.at(-1)} rows in [${right}]`, right.at(-2));
  const to = [...outer, ...(a.length > 1 ? [m] : []), ...(b.length > 1 ? [n] : [])];
  return { left, right, outer, m, n, to };
}

/** Two constants' product, in float64 and rounded once. */
function foldProduct(call: Call, a: Constant, b: Constant): Constant {
  const { left, right, outer, m, n, to } = sizes(call, a.shape, b.shape);
  const [k, count] = [left.at(-1)!, sizeOf(outer)];
  call.build.spend(count * (m * k + k * n + m * n));
  call.build.toil(count * m * n * k);
  const wide = (c: Constant, shape: Shape) => {
    const at = spread({ ...c, shape }, [...outer, ...shape.slice(-2)]);
    return Float64Array.from({ length: count * sizeOf(shape.slice(-2)) }, (_, i) => at(i));
  };
  const [p, q] = [wide(a, left), wide(b, right)];
  const sums = new Float64Array(count * m * n);
  for (let row = 0; row < count * m; row++)
    for (let j = 0; j < k; j++) {
      const [factor, start] = [p[row * k + j]!, (Math.floor(row / m) * k + j) * n];
      for (let i = 0; i < n; i++) sums[row * n + i]! += factor * q[start + i]!;
    }
  const values = numbers(a.type, sums.length);
  values.set(sums);
  return over(call, ([v]) => v!, [{ kind: 'constant', type: a.type, shape: to, values }]);
}

function product(call: Call, a: Value, b: Value): Value {
  if (a.kind === 'constant' && b.kind === 'constant') return foldProduct(call, a, b);
  const { build } = call;
  if (a.kind === 'live' && b.kind === 'live') {
    const hint = 'A product of two values of the network (attention) is not linear.';
    return call.fail('a constant factor', "two that depend on the network's input", hint);
  }
  const [p, q] = [a.kind === 'live' ? a.full : a.shape, b.kind === 'live' ? b.full : b.shape];
  const { left, right, outer, to } = sizes(call, p, q);
  const lift = (x: Live, shape: Shape): Live => {
    const wide = build.expand(build.view(x, shape), [...outer, ...shape.slice(-2)]);
    const flat = build.view(wide, [sizeOf(outer), ...shape.slice(-2)]);
    // A batch that is a row or a column stays one.
    const [from, rank] = [x.batch, x.full.length];
    return from >= 0 && from >= rank - 2 && rank > 1 ? { ...flat, batch: from - rank + 3 } : flat;
  };
  const stack = (c: Constant, shape: Shape): Stack => stackOf(call, { ...c, shape }, outer);
  const y =
    a.kind === 'live'
      ? fromRight(call, lift(a, left), turned(call, stack(b as Constant, right)))
      : fromLeft(call, stack(a, left), lift(b as Live, right));
  return build.view(y, to);
}

const exact = (x: number): boolean => x !== 0 && Number.isInteger(Math.log2(Math.abs(x)));

const times = (call: Call, value: Value, by: number): Value => {
  if (by === 1) return value;
  if (value.kind === 'live') return withConstant(call, 'mul', value, call.build.number(by));
  return over(call, ([x]) => x! * by, [value]);
};

/** alpha A' B' + beta C. Powers of two scale the weights, as that does not round. */
function gemm(call: Call): Value {
  const [alpha, beta] = [call.float('alpha') ?? 1, call.float('beta') ?? 1];
  const side = (index: number, name: string): Value => {
    const value = call.value(index);
    const shape = value.kind === 'live' ? value.full : value.shape;
    call.expect(shape.length === 2, 'two matrices', `shape [${shape}]`);
    return call.int(name, 0) !== 0 ? call.build.permute(value, [1, 0]) : value;
  };
  const c = call.inputs[2] && beta !== 0 ? times(call, call.value(2), beta) : undefined;
  const [first, second] = [call.value(0), call.value(1)];
  if (first.kind === 'live' && second.kind === 'constant' && exact(alpha))
    return layer(call, side(0, 'transA') as Live, times(call, second, alpha) as Constant, c);
  const whole = times(call, product(call, side(0, 'transA'), side(1, 'transB')), alpha);
  return c ? plus(call, whole, c) : whole;
}

/** A B' + C as a layer with weights and a bias, where C is one number a column. */
function layer(call: Call, x: Live, w: Constant, c: Value | undefined): Value {
  call.expect(w.shape.length === 2, 'two matrices', `shape [${w.shape}]`);
  const [rows, columns] = w.shape as [number, number];
  const stored = { count: 1, m: rows, k: columns, values: single(call, w) };
  const weights = call.int('transB', 0) !== 0 ? stored : turned(call, stored);
  const bias = biasOf(call, weights.m, c);
  const flat = call.build.view(x, [1, ...x.full]);
  const own = x.batch === 1 ? { ...flat, batch: 2 } : flat;
  const y = call.build.view(fromRight(call, own, weights, bias), [x.full[0]!, weights.m]);
  return c && !bias ? plus(call, y, c) : y;
}

/** C as one number for each of n columns, where it is that. */
function biasOf(call: Call, n: number, c: Value | undefined): Float32Array | undefined {
  if (c?.kind !== 'constant') return undefined;
  const last = c.shape.at(-1) ?? 1;
  if (c.values.length !== last || (last !== 1 && last !== n)) return undefined;
  const values = single(call, c);
  call.build.spend(n);
  return last === n ? values : new Float32Array(n).fill(values[0]!);
}

export const products: Readonly<Record<string, Operator>> = {
  Gemm: gemm,
  MatMul: (call) => product(call, call.value(0), call.value(1)),
};
