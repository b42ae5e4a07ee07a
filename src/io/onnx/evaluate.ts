/**
 * Layers over constants: what operators make of values that do not depend on the network's input is
 * computed here, in float64, so that weights are the same on every machine. One entry for each layer
 * that operators make; pointwise ones go by their own reference.
 */
import { fail } from '../../errors';
import { layers } from '../../nn/layers/registry';
import { both, fourSides } from '../../nn/layers/window';
import { parseOptions } from '../../options';
import { type Shape, sizeOf, stridesOf } from '../../tensor/shape';
import type { Builder, Draft, Live } from './build';
import { type Constant, FLOAT } from './element';

interface Given {
  readonly draft: Draft;
  /** Options, complete. */
  readonly o: Readonly<Record<string, unknown>>;
  readonly xs: readonly Float64Array[];
  readonly build: Builder;
}

/** Values of the layer's output sample. */
type Rule = (given: Given) => Float64Array;

/** The value, which depends on lifted constants alone, as a constant. */
export function evaluate(build: Builder, value: Live): Constant {
  const known = new Map<Draft, Float64Array>();
  const stack = [value.draft];
  for (let draft = stack.at(-1); draft; draft = stack.at(-1)) {
    const open = draft.inputs.filter((input) => !known.has(input));
    if (open.length > 0) {
      for (const input of open) stack.push(input);
      continue;
    }
    stack.pop();
    if (!known.has(draft)) known.set(draft, compute(build, draft, known));
  }
  const values = Float32Array.from(known.get(value.draft)!);
  return { kind: 'constant', type: FLOAT, shape: value.full, values };
}

function compute(build: Builder, draft: Draft, known: ReadonlyMap<Draft, Float64Array>) {
  if (draft.values) return Float64Array.from(draft.values);
  build.spend(sizeOf(draft.sample));
  const layer = layers[draft.layer]!;
  const xs = draft.inputs.map((input) => known.get(input)!);
  const o = parseOptions(layer.options, draft.options, build.who) as Given['o'];
  if (layer.role === 'pointwise') return xs[0]!.map((x) => layer.scalar(x, o as never));
  const rule = RULES[draft.layer] ?? fail(build.who, 'a layer over constants', draft.layer);
  return rule({ draft, o, xs, build });
}

const list = (value: unknown): readonly number[] => value as readonly number[];

/** The place in the input of every place of the output, both counted along their axes; -1 is none. */
function moved(to: Shape, from: Shape, place: (axis: number, at: number) => number) {
  const [outer, inner] = [stridesOf(to), stridesOf(from)];
  return (i: number): number => {
    let found = 0;
    for (let axis = 0; axis < to.length; axis++) {
      const at = place(axis, Math.floor(i / outer[axis]!) % to[axis]!);
      if (at < 0 || at >= from[axis]!) return -1;
      found += at * inner[axis]!;
    }
    return found;
  };
}

const gathered = ({ draft, xs: [x] }: Given, place: (axis: number, at: number) => number) => {
  const from = moved(draft.sample, draft.inputs[0]!.sample, place);
  return Float64Array.from({ length: sizeOf(draft.sample) }, (_, i) => x![from(i)] ?? 0);
};

/** x * scale + shift, a channel or a value each. */
function affine(x: Float64Array, scale: ArrayLike<number>, shift: ArrayLike<number>) {
  const each = x.length / scale.length;
  return x.map((v, i) => v * scale[Math.floor(i / each)]! + shift[Math.floor(i / each)]!);
}

interface Window {
  /** Places in the input's plane that the window covers, and which of its taps they are. */
  readonly places: readonly (readonly [at: number, tap: number])[];
}

/** The windows over [h, w], in order. */
function windows({ draft, o, build }: Given): Window[] {
  const [, h, w] = draft.inputs[0]!.sample as [number, number, number];
  const [, oh, ow] = draft.sample as [number, number, number];
  const pair = (value: unknown): [number, number] => both(value as Parameters<typeof both>[0]);
  const [kernel, stride] = [pair(o.kernel), pair(o.stride ?? o.kernel)];
  const dilation = pair(o.dilation ?? 1);
  build.toil(oh * ow * kernel[0] * kernel[1]);
  const [top, left] = fourSides(o.padding as Parameters<typeof fourSides>[0]);
  return Array.from({ length: oh * ow }, (_, i) => {
    const [y0, x0] = [Math.floor(i / ow) * stride[0] - top, (i % ow) * stride[1] - left];
    const places: [number, number][] = [];
    for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
      const y = y0 + Math.floor(tap / kernel[1]) * dilation[0];
      const x = x0 + (tap % kernel[1]) * dilation[1];
      if (y >= 0 && y < h && x >= 0 && x < w) places.push([y * w + x, tap]);
    }
    return { places };
  });
}

function pool(given: Given, of: (values: number[]) => number): Float64Array {
  const { draft, xs, build } = given;
  const [c, h, w] = draft.inputs[0]!.sample as [number, number, number];
  const all = windows(given);
  build.toil(c * all.reduce((total, { places }) => total + places.length, all.length));
  return Float64Array.from({ length: c * all.length }, (_, i) => {
    const plane = Math.floor(i / all.length) * h * w;
    return of(all[i % all.length]!.places.map(([at]) => xs[0]![plane + at]!));
  });
}

function average(given: Given): Float64Array {
  const [kh, kw] = both(given.o.kernel as Parameters<typeof both>[0]);
  return pool(given, (values) => {
    const total = values.reduce((a, b) => a + b, 0);
    return total / (given.o.countPadding ? kh * kw : values.length);
  });
}

function conv(given: Given): Float64Array {
  const { draft, o, xs, build } = given;
  const { weight, bias } = draft.params;
  const [c, h, w] = draft.inputs[0]!.sample as [number, number, number];
  const [channels, oh, ow] = draft.sample as [number, number, number];
  const groups = o.groups as number;
  const depth = c / groups;
  const taps = weight!.length / (channels * depth);
  build.toil(channels * depth * oh * ow * taps);
  const all = windows(given);
  return Float64Array.from({ length: channels * oh * ow }, (_, i) => {
    const channel = Math.floor(i / (oh * ow));
    const first = Math.floor(channel / (channels / groups)) * depth;
    let sum = bias?.[channel] ?? 0;
    for (let d = 0; d < depth; d++)
      for (const [at, tap] of all[i % (oh * ow)]!.places)
        sum += weight![(channel * depth + d) * taps + tap]! * xs[0]![(first + d) * h * w + at]!;
    return sum;
  });
}

function dense({ draft, xs: [x], build }: Given): Float64Array {
  const { weight, bias } = draft.params;
  build.toil(weight!.length);
  return Float64Array.from({ length: draft.sample[0]! }, (_, unit) => {
    const start = unit * x!.length;
    return x!.reduce((sum, v, i) => sum + v * weight![start + i]!, bias?.[unit] ?? 0);
  });
}

function reduce({ draft, o, xs: [x] }: Given): Float64Array {
  const from = draft.inputs[0]!.sample;
  const to = moved(from, draft.sample, (axis, at) => (list(o.axes).includes(axis) ? 0 : at));
  const sums = new Float64Array(sizeOf(draft.sample));
  x!.forEach((v, i) => {
    sums[to(i)]! += v;
  });
  return o.mean ? sums.map((v) => (v * sums.length) / x!.length) : sums;
}

function concat({ draft, o, xs }: Given): Float64Array {
  const axis = o.axis as number;
  const outer = sizeOf(draft.sample.slice(0, axis));
  const out = new Float64Array(sizeOf(draft.sample));
  let at = 0;
  for (let i = 0; i < outer; i++)
    for (const x of xs) {
      const size = x.length / outer;
      out.set(x.subarray(i * size, (i + 1) * size), at);
      at += size;
    }
  return out;
}

function batchNorm({ draft, o, xs: [x] }: Given): Float64Array {
  const { weight, bias, mean, variance } = draft.params;
  const scale = Array.from(weight!, (v, i) => v / Math.sqrt(variance![i]! + (o.epsilon as number)));
  return affine(
    x!,
    scale,
    scale.map((v, i) => bias![i]! - mean![i]! * v),
  );
}

function arithmetic({ draft: { step }, xs: [x] }: Given): Float64Array {
  const fill = (value: number) => new Float32Array(step!.by.length).fill(value);
  return step!.op === 'add' ? affine(x!, fill(1), step!.by) : affine(x!, step!.by, fill(0));
}

const same: Rule = ({ xs: [x] }) => x!;

const RULES: Readonly<Record<string, Rule>> = {
  add: ({ xs }) => xs[0]!.map((_, i) => xs.reduce((sum, x) => sum + x[i]!, 0)),
  'avg-pool': average,
  'batch-norm': batchNorm,
  concat,
  conv2d: conv,
  dense,
  elementwise: arithmetic,
  flatten: same,
  'max-pool': (given) => pool(given, (values) => values.reduce((a, b) => Math.max(a, b))),
  pad: (given) => gathered(given, (axis, at) => at - list(given.o.before)[axis]!),
  permute(given) {
    const order = list(given.o.order);
    const from = given.draft.inputs[0]!.sample;
    const [to, inner] = [stridesOf(given.draft.sample), stridesOf(from)];
    const place = (i: number): number =>
      order.reduce((at, axis, k) => at + (Math.floor(i / to[k]!) % from[axis]!) * inner[axis]!, 0);
    return given.xs[0]!.map((_, i) => given.xs[0]![place(i)]!);
  },
  reduce,
  reshape: same,
  scale: arithmetic,
  select: (given) =>
    gathered(given, (axis, at) => (axis === given.o.axis ? list(given.o.indices)[at]! : at)),
};
