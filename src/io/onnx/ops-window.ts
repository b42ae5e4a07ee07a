/**
 * Convolutions and pools. One-dimensional ones go as two-dimensional ones of height 1.
 * Automatic padding and rounding up become explicit padding.
 */
import { type Shape, sizeOf } from '../../tensor/shape';
import type { Draft, Live, Value } from './build';
import type { Call, Operator } from './call';
import { single } from './numbers';

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
  const fits = lengths.every((n) => n === rank);
  call.expect(fits, `attributes for ${rank} axes`, lengths);
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

/** Numbers of both axes; those of a single axis get `missing` for the height in front. */
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
    const automatic = call.text('auto_pad', 'NOTSET').startsWith('SAME');
    const clear = !automatic || told.every((s) => s.dilation === 1);
    const hint = 'Runtimes pad less than the standard says; export with explicit pads.';
    call.expect(clear, 'explicit pads around windows with dilation', 'auto_pad', hint);
    const up = call.int('ceil_mode', 0) !== 0;
    // What no window reaches is left out: rounding up leaves windows out too.
    const sides = told.map((s, i) =>
      up ? { ...s, after: Math.min(s.after, behind(s, sizes[i]!)) } : s,
    );
    const average = layer === 'avg-pool';
    const counted = average && call.int('count_include_pad', 0) !== 0;
    const dense = sides.every((s) => s.dilation === 1);
    const given = { call, draft, sizes, sides };
    const made = dense
      ? denselyPooled(given, layer, counted)
      : average
        ? spreadAverage(given, counted)
        : spreadMaximum(given);
    return call.build.live(made, [1, x.full[1]!, ...sides.map((s) => s.count)], x.batch);
  };

interface Pool {
  readonly call: Call;
  readonly draft: Draft;
  /** Sizes of the spatial axes. */
  readonly sizes: Shape;
  readonly sides: readonly Side[];
}

/** Room behind for all windows. */
const grow = ({ sides, sizes }: Pool): Side[] =>
  sides.map((s, i) => ({ ...s, after: Math.max(s.after, behind(s, sizes[i]!)) }));

/** Windows without dilation: our own pools. */
function denselyPooled(pool: Pool, layer: string, counted: boolean): Draft {
  const { call, draft, sides } = pool;
  const grown = grow(pool);
  const longer = grown.some((s, i) => s.after > sides[i]!.after);
  const padded = grown.some((s) => s.before + s.after > 0);
  // Explicit zeros count, those of rounding up do not: the former become a layer of their own.
  const apart = counted && longer;
  const from = apart ? zeros(call, draft, sides) : draft;
  const left = apart
    ? grown.map((s, i) => ({ ...s, before: 0, after: s.after - sides[i]!.after }))
    : grown;
  const average = layer === 'avg-pool';
  const options = {
    ...shared(left),
    ...(average ? { countPadding: !padded || (counted && !apart) } : {}),
  };
  return call.build.node(layer, [from], options);
}

/** Places of the taps of all windows along an axis, one window after the other. */
const taps = ({ count, kernel, stride, dilation, before }: Side): number[][] =>
  Array.from({ length: count }, (_, window) =>
    Array.from({ length: kernel }, (_tap, k) => window * stride + k * dilation - before),
  );

/** The given places of both axes, and a pool over them by windows that stand side by side. */
function spreadPool(
  { call, draft, sides }: Pool,
  layer: string,
  places: readonly number[][],
): Draft {
  const { build } = call;
  const chosen = places.reduce((from, indices, i) => {
    const axis = i + 3 - places.length;
    const same = indices.length === from.sample[axis] && indices.every((at, k) => at === k);
    return same ? from : build.node('select', [from], { axis, indices });
  }, draft);
  const kernel = both(sides, (s) => s.kernel, 1);
  return build.node(layer, [chosen], { kernel: brief(kernel) });
}

/** Windows with dilation; a tap outside is another tap of its window, which changes no maximum. */
function spreadMaximum(pool: Pool): Draft {
  const places = pool.sides.map((side, i) => {
    const size = pool.sizes[i]!;
    pool.call.build.spend(side.count * side.kernel);
    return taps(side).flatMap((window) => {
      const valid = window.find((at) => at >= 0 && at < size);
      if (valid === undefined)
        return pool.call.fail('windows that reach the input', 'one beside it');
      return window.map((at) => (at >= 0 && at < size ? at : valid));
    });
  });
  return spreadPool(pool, 'max-pool', places);
}

/** Windows with dilation over zeros around; means of fewer values are scaled where zeros do not count. */
function spreadAverage(pool: Pool, counted: boolean): Draft {
  const { call, sides, sizes } = pool;
  const grown = grow(pool);
  const from = zeros(call, pool.draft, grown);
  const places = grown.map((side) => {
    call.build.spend(side.count * side.kernel);
    return taps({ ...side, before: 0 }).flat();
  });
  const made = spreadPool({ ...pool, draft: from }, 'avg-pool', places);
  // How many of a window's taps count, by axis.
  const factors = sides.map((side, i) => {
    const [first, last] = counted ? [-side.before, sizes[i]! + side.after] : [0, sizes[i]!];
    return taps(side).map(
      (window) => side.kernel / window.filter((at) => at >= first && at < last).length,
    );
  });
  if (factors.flat().every((f) => f === 1)) return made;
  const [rows, columns] = [[1], ...factors].slice(-2) as [number[], number[]];
  call.build.spend(sizeOf(made.sample));
  const plane = rows.flatMap((r) => columns.map((c) => r * c));
  const by = Float32Array.from({ length: sizeOf(made.sample) }, (_, i) => plane[i % plane.length]!);
  const scaled = call.build.node('elementwise', [made]);
  scaled.step = { op: 'mul', by, inexact: true };
  return scaled;
}

/** Zeros around planes. */
function zeros(call: Call, draft: Draft, sides: readonly Side[]): Draft {
  if (sides.every((s) => s.before + s.after === 0)) return draft;
  const [before, after] = [both(sides, (s) => s.before, 0), both(sides, (s) => s.after, 0)];
  const made = call.build.node('pad', [draft], { before: [0, ...before], after: [0, ...after] });
  made.name += '-pad';
  return made;
}

const globalPool =
  (layer: 'max-pool' | 'avg-pool'): Operator =>
  (call: Call) => {
    const x = call.live(0);
    const sizes = x.full.slice(2);
    call.build.behind(x);
    call.expect(sizes.length > 0, 'spatial axes', `shape [${x.full}]`);
    const flat = sizes.length === 2 ? sizes : [1, sizeOf(sizes)];
    const draft = call.build.as(x, [x.full[1]!, ...flat]);
    const made = call.build.node(layer, [draft], { kernel: brief(flat) });
    return call.build.live(made, [1, x.full[1]!, ...sizes.map(() => 1)], x.batch);
  };

export const windowed: Readonly<Record<string, Operator>> = {
  AveragePool: pool('avg-pool'),
  Conv: conv,
  GlobalAveragePool: globalPool('avg-pool'),
  GlobalMaxPool: globalPool('max-pool'),
  MaxPool: pool('max-pool'),
};
