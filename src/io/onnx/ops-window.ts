/**
 * Convolutions, pools and padding. One-dimensional ones go as two-dimensional ones of height 1.
 * Automatic padding and rounding up become explicit padding.
 */
import { type Shape, sizeOf } from '../../tensor/shape';
import type { Draft, Live, Value } from './build';
import type { Call, Operator } from './call';
import { FLOAT } from './element';
import { single } from './numbers';
import { withConstant } from './ops-compute';

/** One spatial axis of a window. */
interface Side {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly after: number;
  /** Windows along it. */
  readonly count: number;
}

/** How far a window reaches. */
const span = ({ kernel, dilation }: Pick<Side, 'kernel' | 'dilation'>): number =>
  (kernel - 1) * dilation + 1;

/** Padding behind that makes room for all windows and no more. */
const behind = (side: Side, size: number): number =>
  Math.max(0, (side.count - 1) * side.stride + span(side) - size - side.before);

/** The windows over axes of the given sizes, from the attributes. */
function windows(call: Call, sizes: Shape, kernel: readonly number[]): Side[] {
  const rank = sizes.length;
  const each = (name: string): readonly number[] => call.ints(name) ?? sizes.map(() => 1);
  const [strides, dilations] = [each('strides'), each('dilations')];
  const pads = call.ints('pads') ?? new Array<number>(2 * rank).fill(0);
  const auto = call.text('auto_pad', 'NOTSET');
  const up = call.int('ceil_mode', 0) !== 0;
  const lengths = [kernel.length, strides.length, dilations.length, pads.length / 2];
  call.expect(
    lengths.every((n) => n === rank),
    `attributes for ${rank} axes`,
    lengths,
  );
  const positive = [...kernel, ...strides, ...dilations].every((v) => v > 0);
  call.expect(positive && pads.every((v) => v >= 0), 'sizes above 0', [kernel, strides, pads]);
  const known = ['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'].includes(auto);
  call.expect(known, 'auto_pad to be known', auto);
  return sizes.map((size, axis) => {
    const own = { kernel: kernel[axis]!, stride: strides[axis]!, dilation: dilations[axis]! };
    if (auto.startsWith('SAME')) {
      const count = Math.ceil(size / own.stride);
      const total = Math.max(0, (count - 1) * own.stride + span(own) - size);
      const less = Math.floor(total / 2);
      const before = auto === 'SAME_UPPER' ? less : total - less;
      return { ...own, before, after: total - before, count };
    }
    const explicit = auto === 'NOTSET';
    const before = explicit ? pads[axis]! : 0;
    const after = explicit ? pads[axis + rank]! : 0;
    const steps = (size + before + after - span(own)) / own.stride;
    const count = 1 + (up ? Math.ceil(steps) : Math.floor(steps));
    // A window that begins behind the input and its front padding is left out.
    const beyond = up && (count - 1) * own.stride >= size + before;
    return { ...own, before, after, count: beyond ? count - 1 : count };
  });
}

/** A plane or a line with channels in front, as [c, h, w], and its spatial sizes. */
function planes(call: Call, x: Live): { readonly draft: Draft; readonly sizes: Shape } {
  const [, channels, ...sizes] = x.full;
  call.expect(sizes.length === 1 || sizes.length === 2, 'one or two spatial axes', x.full);
  call.build.behind(x);
  const sample = [channels!, ...[1, ...sizes].slice(-2)];
  return { draft: call.build.as(x, sample), sizes };
}

/** For both axes: of a line, the first is a height of 1. */
const both = (sides: readonly Side[], of: (side: Side) => number, missing: number): number[] =>
  [missing, ...sides.map(of)].slice(-2);

/** [v, v] as v, and [top, left, bottom, right] as [top, left] where the other two are the same. */
function brief(list: readonly number[]): number | readonly number[] {
  const [a, b, c = a, d = b] = list;
  if (a === c && b === d) return a === b ? a! : [a!, b!];
  return list;
}

/** The options that all windows have. */
const shared = (sides: readonly Side[]) => ({
  kernel: brief(both(sides, (s) => s.kernel, 1)),
  stride: brief(both(sides, (s) => s.stride, 1)),
  padding: brief([...both(sides, (s) => s.before, 0), ...both(sides, (s) => s.after, 0)]),
});

function conv(call: Call): Value {
  const x = call.live(0);
  const w = call.constant(1);
  const { draft, sizes } = planes(call, x);
  call.expect(w.shape.length === x.full.length, `weights of ${x.full.length} axes`, w.shape);
  const [channels, depth, ...kernel] = w.shape as [number, number, ...number[]];
  const told = call.ints('kernel_shape') ?? kernel;
  call.expect(told.join() === kernel.join(), `kernel_shape [${kernel}]`, told);
  const groups = call.int('group', 1);
  call.expect(depth * groups === x.full[1], `${depth} x ${groups} input channels`, x.full[1]);
  const sides = windows(call, sizes, kernel);
  const bias = call.inputs[2] && single(call, call.constant(2));
  const options = {
    channels,
    ...shared(sides),
    dilation: brief(both(sides, (s) => s.dilation, 1)),
    groups,
    bias: bias !== undefined,
  };
  const params = { weight: single(call, w), ...(bias ? { bias } : {}) };
  const made = call.build.node('conv2d', [draft], options, params);
  return call.build.live(made, [1, channels, ...sides.map((s) => s.count)], x.batch);
}

const pool =
  (layer: 'max-pool' | 'avg-pool'): Operator =>
  (call: Call) => {
    const x = call.live(0);
    const { draft, sizes } = planes(call, x);
    const kernel = call.ints('kernel_shape') ?? call.fail('kernel_shape', 'none');
    const told = windows(call, sizes, kernel);
    const up = call.int('ceil_mode', 0) !== 0;
    // What no window reaches is left out: rounding up leaves windows out too.
    const sides = told.map((s, i) =>
      up ? { ...s, after: Math.min(s.after, behind(s, sizes[i]!)) } : s,
    );
    const dense = sides.every((s) => s.dilation === 1) && call.int('storage_order', 0) === 0;
    call.expect(dense, 'windows without dilation, in row-major order', 'others');
    const grown = sides.map((s, i) => ({ ...s, after: Math.max(s.after, behind(s, sizes[i]!)) }));
    const counted = layer === 'avg-pool' && call.int('count_include_pad', 0) !== 0;
    const longer = grown.some((s, i) => s.after > sides[i]!.after);
    const padded = grown.some((s) => s.before + s.after > 0);
    // Explicit zeros count, those of rounding up do not: the former become a layer of their own.
    const apart = counted && longer;
    const from = apart ? zeros(call, draft, sides) : draft;
    const left = apart
      ? grown.map((s, i) => ({ ...s, before: 0, after: s.after - sides[i]!.after }))
      : grown;
    const options = {
      ...shared(left),
      ...(layer === 'avg-pool' ? { countPadding: !padded || (counted && !apart) } : {}),
    };
    const made = call.build.node(layer, [from], options);
    return call.build.live(made, [1, x.full[1]!, ...left.map((s) => s.count)], x.batch);
  };

/** Zeros around planes. */
function zeros(call: Call, draft: Draft, sides: readonly Side[]): Draft {
  const [before, after] = [both(sides, (s) => s.before, 0), both(sides, (s) => s.after, 0)];
  const made = call.build.node('pad', [draft], { before: [0, ...before], after: [0, ...after] });
  made.name += '-pad';
  return made;
}

const globalPool =
  (layer: 'max-pool' | 'avg-pool'): Operator =>
  (call: Call) => {
    const x = call.live(0);
    const { draft, sizes } = planes(call, x);
    const made = call.build.node(layer, [draft], { kernel: brief(draft.sample.slice(1)) });
    return call.build.live(made, [1, x.full[1]!, ...sizes.map(() => 1)], x.batch);
  };

/** Constant padding; a negative count crops, a constant other than 0 is added at the border. */
function pad(call: Call): Value {
  let x = call.live(0);
  const rank = x.full.length;
  call.expect(
    call.text('mode', 'constant') === 'constant',
    'constant padding',
    call.text('mode', ''),
  );
  const pads = call.wholesOrInts(1, 'pads') ?? call.ints('paddings') ?? [];
  const axes = call.axes(call.wholes(3) ?? x.full.map((_, axis) => axis), rank);
  call.expect(pads.length === 2 * axes.length, `${2 * axes.length} pads`, pads);
  const value = call.scalar(2) ?? call.float('value') ?? 0;
  const counts = x.full.map((_, axis) => {
    const at = axes.indexOf(axis);
    return at < 0 ? [0, 0] : [pads[at]!, pads[at + axes.length]!];
  });
  counts.forEach(([before, after], axis) => {
    const [cut, rest] = [Math.min(0, before!), Math.min(0, after!)];
    const left = x.full[axis]! + cut + rest;
    call.expect(left > 0, 'values left after cropping', left);
    if (left < x.full[axis]!) x = call.build.take(x, axis, call.build.range(-cut, left)) as Live;
  });
  const grow = counts.map(
    ([before, after]) => [Math.max(0, before!), Math.max(0, after!)] as const,
  );
  const wide = grow.flatMap(([before, after], axis) => (before + after > 0 ? [axis] : []));
  if (wide.length === 0) return x;
  const { draft, axes: places } = call.build.axesOf(x, wide);
  const list = (side: 0 | 1): number[] => {
    const out = draft.sample.map(() => 0);
    wide.forEach((axis, i) => {
      out[places[i]!] = grow[axis]![side];
    });
    return out;
  };
  const to = x.full.map((size, axis) => size + grow[axis]![0] + grow[axis]![1]);
  const made = call.build.node('pad', [draft], { before: list(0), after: list(1) });
  const padded = call.build.live(made, to, x.batch);
  return value === 0
    ? padded
    : border(
        call,
        padded,
        x.full,
        grow.map(([before]) => before),
        value,
      );
}

/** `value` added outside of the block of `inner` sizes that begins at `start`. */
function border(call: Call, x: Live, inner: Shape, start: readonly number[], value: number): Live {
  const size = sizeOf(x.full);
  call.build.spend(size);
  const values = Float32Array.from({ length: size }, (_, i) => {
    let rest = i;
    for (let axis = inner.length - 1; axis >= 0; axis--) {
      const at = (rest % x.full[axis]!) - start[axis]!;
      if (at < 0 || at >= inner[axis]!) return value;
      rest = Math.floor(rest / x.full[axis]!);
    }
    return 0;
  });
  return withConstant(call, 'add', x, { kind: 'constant', type: FLOAT, shape: x.full, values });
}

export const windowed: Readonly<Record<string, Operator>> = {
  AveragePool: pool('avg-pool'),
  Conv: conv,
  GlobalAveragePool: globalPool('avg-pool'),
  GlobalMaxPool: globalPool('max-pool'),
  MaxPool: pool('max-pool'),
  Pad: pad,
};
