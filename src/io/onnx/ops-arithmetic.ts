/**
 * Arithmetic, extremes and choices. Of values of the network they become layers that compute the same
 * in float32 too: constants are scales and shifts, extremes are pools over the values side by side.
 */
import { broadcastShape, type Shape, sameShape, sizeOf } from '../../tensor/shape';
import type { Arithmetic, Live, Value } from './build';
import type { Call, Operator } from './call';
import { type Constant, ELEMENTS, FLOAT } from './element';
import { shortest } from './numbers';
import { over, spread } from './ops-constant';

type Op = 'add' | 'sub' | 'mul' | 'div';

const COMPUTE: Readonly<Record<Op, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
};

function fold(call: Call, op: Op, inputs: readonly Constant[]): Constant {
  const whole = ELEMENTS[inputs[0]!.type]?.kind === 'whole';
  call.expect(!whole || op !== 'div' || inputs[1]!.values.every((v) => v !== 0), 'divisors', 0);
  return over(call, ([first, ...rest]) => rest.reduce(COMPUTE[op], first!), inputs);
}

/** The step of `x op c`; a division is a product with the reciprocals. */
function stepOf(call: Call, op: Op, by: Float32Array): Arithmetic {
  if (op === 'add') return { op, by };
  if (op === 'sub') return { op: 'add', by: by.map((v) => -v) };
  if (op === 'mul') return { op, by };
  const inverse = by.map((v) => 1 / v);
  const fits = inverse.every((v) => v !== 0 && Number.isFinite(v));
  call.expect(
    fits,
    'divisors with reciprocals in float32',
    by.find((v) => !(Math.abs(1 / v) < 3e38)),
  );
  return { op: 'mul', by: inverse, inexact: inverse.some((v, i) => v * by[i]! !== 1) };
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
  made.step = stepOf(call, op, by);
  return { ...live, draft: made };
}

/** Values of the network under one shape, after broadcasting. */
function alike(call: Call, values: readonly Live[], extra: Shape = []): Live[] {
  const full = values.reduce((shape, v) => broadcastShape(shape, v.full, call.who), extra);
  return values.map((value) => call.build.expand(value, full));
}

/** A sum of values of the network. */
function total(call: Call, values: readonly Live[]): Live {
  const [first, ...rest] = alike(call, values);
  const drafts = rest.map((value) => call.build.as(value, first!.draft.sample));
  return { ...first!, draft: call.build.node('add', [first!.draft, ...drafts]) };
}

export function negative(call: Call, x: Live): Live {
  const live = withConstant(call, 'mul', x, call.build.number(-1));
  live.draft.name += '-negative';
  return live;
}

/** A layer over each value, under a name of its own. */
function step(call: Call, x: Live, layer: string, suffix: string, options = {}): Live {
  const draft = call.build.node(layer, [x.draft], options);
  draft.name += suffix;
  return { ...x, draft };
}

export function plus(call: Call, a: Value, b: Value): Value {
  if (a.kind === 'constant' && b.kind === 'constant') return fold(call, 'add', [a, b]);
  if (a.kind === 'live' && b.kind === 'live') return total(call, [a, b]);
  if (a.kind === 'live') return withConstant(call, 'add', a, b as Constant);
  return withConstant(call, 'add', b as Live, a);
}

function arithmetic(op: Op): Operator {
  return (call) => {
    const [a, b] = [call.value(0), call.value(1)];
    if (a.kind === 'constant' && b.kind === 'constant') return fold(call, op, [a, b]);
    if (a.kind === 'live' && b.kind === 'constant') return withConstant(call, op, a, b);
    const sum = op === 'add' || op === 'sub';
    if (b.kind === 'live' && sum) return plus(call, a, op === 'sub' ? negative(call, b) : b);
    if (b.kind === 'live' && a.kind === 'constant' && op === 'mul')
      return withConstant(call, op, b, a);
    const product = op === 'mul' && a.kind === 'live' && b.kind === 'live' && silu(call, a, b);
    if (product) return product;
    const hint = 'Products and quotients of values of the network are not linear.';
    return call.fail(
      'a constant factor or divisor',
      "one that depends on the network's input",
      hint,
    );
  };
}

/** The inputs, sorted; the constants together as one by `join`. */
function sorted(call: Call, join: (constants: readonly Constant[]) => Constant) {
  const values = call.inputs.map((_, i) => call.value(i));
  call.expect(values.length > 0, 'inputs', 'none');
  const live = values.filter((value) => value.kind === 'live');
  const constants = values.filter((value) => value.kind === 'constant');
  return { live, constant: constants.length > 0 ? join(constants) : undefined };
}

function sum(call: Call): Value {
  const { live, constant } = sorted(call, (constants) => fold(call, 'add', constants));
  if (live.length === 0) return constant!;
  const start = live.length === 1 ? live[0]! : total(call, live);
  return constant ? withConstant(call, 'add', start, constant) : start;
}

function mean(call: Call): Value {
  const all = sum(call);
  const count = call.build.number(call.inputs.length);
  return all.kind === 'live'
    ? withConstant(call, 'div', all, count)
    : fold(call, 'div', [all, count]);
}

/** The greatest (or least) of several inputs: limits where a constant is one number. */
function extreme(call: Call, most: boolean): Value {
  const best = most ? Math.max : Math.min;
  const pick = (constants: readonly Constant[]): Constant =>
    over(call, (values) => values.reduce((a, b) => best(a, b)), constants);
  const { live, constant } = sorted(call, pick);
  if (live.length === 0) return constant!;
  const limit = constant && uniform(constant);
  if (constant && limit === undefined)
    return most ? greatest(call, live, constant) : least(call, live, constant);
  const one = live.length === 1 ? live[0]! : (most ? greatest : least)(call, live);
  if (!constant) return one;
  const [whole] = alike(call, [one], constant.shape);
  const draft = call.build.node('clip', [whole!.draft], { [most ? 'lo' : 'hi']: limit });
  return { ...whole!, draft };
}

function uniform({ values }: Constant): number | undefined {
  const [first] = values;
  const same = first !== undefined && Number.isFinite(first) && values.every((v) => v === first);
  return same ? shortest(first) : undefined;
}

const least = (call: Call, live: readonly Live[], constant?: Constant): Live => {
  const turned = constant && { ...constant, values: constant.values.map((v: number) => -v) };
  const most = greatest(
    call,
    live.map((x) => negative(call, x)),
    turned,
  );
  return negative(call, most);
};

/** A pool over the values, one in each row; constants are a row that is added to zeros. */
function greatest(call: Call, live: readonly Live[], constant?: Constant): Live {
  const { build } = call;
  const values = alike(call, live, constant?.shape);
  const { full } = values[0]!;
  const size = sizeOf(full);
  const rows = values.map((value) => build.as(value, [1, 1, size]));
  let stack = rows.length === 1 ? rows[0]! : build.node('concat', rows, { axis: 1 });
  if (constant) {
    const [before, after] = [
      [0, 0, 0],
      [0, 1, 0],
    ];
    stack = build.node('pad', [stack], { before, after });
    const at = spread(constant, full);
    build.spend((rows.length + 1) * size);
    const by = new Float32Array((rows.length + 1) * size);
    for (let i = 0; i < size; i++) by[rows.length * size + i] = at(i);
    stack = build.node('elementwise', [stack]);
    stack.step = { op: 'add', by };
  }
  const kernel = [stack.sample[1]!, 1];
  return { ...values[0]!, draft: build.node('max-pool', [stack], { kernel }) };
}

const BEHIND = '-part';

export const absolute = (call: Call, x: Live): Live => step(call, x, 'abs', '');

/** x sigmoid(x), as exporters write it. */
function silu(call: Call, a: Live, b: Live): Live | undefined {
  const swish = (x: Live, s: Live): boolean =>
    s.draft.layer === 'sigmoid' && s.draft.inputs[0] === x.draft && sameShape(x.full, s.full);
  if (!swish(a, b) && !swish(b, a)) return undefined;
  return step(call, swish(a, b) ? a : b, 'silu', '');
}

/** max(x, 0) - slope max(-x, 0), of which one is 0, for slopes of any size. */
function leaky(call: Call, x: Live, slope: Constant): Live {
  const one = uniform(slope);
  if (one !== undefined && one >= 0 && one <= 1) {
    const [whole] = alike(call, [x], slope.shape);
    return { ...whole!, draft: call.build.node('leaky-relu', [whole!.draft], { slope: one }) };
  }
  const below = step(call, negative(call, x), 'relu', BEHIND);
  const turned = { ...slope, values: slope.values.map((v: number) => -v) };
  const scaled = withConstant(call, 'mul', below, turned);
  return total(call, [step(call, x, 'relu', BEHIND), scaled]);
}

function leakyRelu(call: Call): Value {
  return leaky(call, call.live(0), call.build.number(call.float('alpha') ?? 0.01));
}

const folded =
  (f: (values: readonly number[]) => number, operator: Operator): Operator =>
  (call) =>
    call.folds
      ? over(
          call,
          f,
          call.inputs.map((_, i) => call.constant(i)),
        )
      : operator(call);

/** Numbers of the first where the condition holds, of the second elsewhere: 0 and 1 as factors. */
function where(call: Call): Value {
  const [condition, a, b] = [call.constant(0), call.value(1), call.value(2)];
  if (a.kind === 'constant' && b.kind === 'constant') {
    const pick = ([c, x, y]: readonly number[]): number => (c ? x! : y!);
    return over(call, pick, [condition, a, b], a.type);
  }
  const mask = (value: 0 | 1): Constant => ({
    ...{ kind: 'constant', type: FLOAT, shape: condition.shape },
    values: Float32Array.from(condition.values, (c) => Number((c !== 0) === (value === 1))),
  });
  const part = (value: Value, factor: Constant): Value => {
    if (value.kind === 'live') return withConstant(call, 'mul', value, factor);
    return over(call, ([f, x]) => (f ? x! : 0), [factor, value], FLOAT);
  };
  call.build.spend(2 * condition.values.length);
  return plus(call, part(a, mask(1)), part(b, mask(0)));
}

/** max(0, min(1, alpha x + beta)). */
function hardSigmoid(call: Call): Value {
  const [alpha, beta] = [call.float('alpha') ?? 0.2, call.float('beta') ?? 0.5];
  const scaled = withConstant(call, 'mul', call.live(0), call.build.number(alpha));
  const shifted = withConstant(call, 'add', scaled, call.build.number(beta));
  return step(call, shifted, 'clip', '', { lo: 0, hi: 1 });
}

export const arithmetics: Readonly<Record<string, Operator>> = {
  Abs: folded(
    ([x]) => Math.abs(x!),
    (call) => absolute(call, call.live(0)),
  ),
  Add: arithmetic('add'),
  Div: arithmetic('div'),
  HardSigmoid: hardSigmoid,
  LeakyRelu: leakyRelu,
  Max: (call) => extreme(call, true),
  Mean: mean,
  Min: (call) => extreme(call, false),
  Mul: arithmetic('mul'),
  Neg: folded(
    ([x]) => -x!,
    (call) => negative(call, call.live(0)),
  ),
  PRelu: folded(
    ([x, slope]) => (x! < 0 ? x! * slope! : x!),
    (call) => leaky(call, call.live(0), call.constant(1)),
  ),
  Sub: arithmetic('sub'),
  Sum: sum,
  Where: where,
};
