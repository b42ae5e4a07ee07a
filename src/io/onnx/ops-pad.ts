/** Padding of any mode, and planes made larger or smaller by repeating values. */
import { type Shape, sizeOf } from '../../tensor/shape';
import type { Live, Value } from './build';
import type { Call, Operator } from './call';
import { FLOAT } from './element';
import { withConstant } from './ops-arithmetic';

type Sides = readonly [before: number, after: number];

/** Counts in front of and behind every axis; below 0 they crop. */
function padsOf(call: Call, rank: number): Sides[] {
  const pads = call.wholesOrInts(1, 'pads') ?? call.ints('paddings') ?? [];
  const every = Array.from({ length: rank }, (_, axis) => axis);
  const axes = call.axes(call.wholes(3) ?? every, rank);
  call.expect(pads.length === 2 * axes.length, `${2 * axes.length} pads`, pads);
  return every.map((axis) => {
    const at = axes.indexOf(axis);
    return at < 0 ? [0, 0] : [pads[at]!, pads[at + axes.length]!];
  });
}

/** Constant padding; a negative count crops, a constant other than 0 is added at the border. */
function pad(call: Call): Value {
  const mode = call.text('mode', 'constant');
  let x = call.live(0);
  const counts = padsOf(call, x.full.length);
  if (mode !== 'constant') return repeated(call, x, counts, mode);
  const value = call.scalar(2) ?? call.float('value') ?? 0;
  call.expect(Number.isFinite(value), 'a finite constant', value);
  counts.forEach(([before, after], axis) => {
    const [cut, rest] = [Math.min(0, before), Math.min(0, after)];
    const left = x.full[axis]! + cut + rest;
    call.expect(left > 0, 'values left after cropping', left);
    if (left < x.full[axis]!) x = call.build.take(x, axis, call.build.range(-cut, left)) as Live;
  });
  const grow = counts.map(([before, after]) => [Math.max(0, before), Math.max(0, after)] as const);
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
  const start = grow.map(([before]) => before);
  return value === 0 ? padded : border(call, padded, x.full, start, value);
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

/** The place of a size-long axis that stands at `at`, by the mode. */
const PLACES: Readonly<Record<string, (at: number, size: number) => number>> = {
  edge: (at, size) => Math.min(Math.max(at, 0), size - 1),
  reflect(at, size) {
    const period = Math.max(1, 2 * (size - 1));
    const place = ((at % period) + period) % period;
    return place < size ? place : period - place;
  },
  wrap: (at, size) => ((at % size) + size) % size,
};

/** Padding with values of the input. */
function repeated(call: Call, x: Value, counts: readonly Sides[], mode: string): Value {
  const place = Object.hasOwn(PLACES, mode) ? PLACES[mode]! : call.fail('a known mode', mode);
  return counts.reduce((value, [before, after], axis) => {
    if (before === 0 && after === 0) return value;
    const size = value.kind === 'live' ? value.full[axis]! : value.shape[axis]!;
    const length = size + before + after;
    call.expect(length > 0, 'values left after cropping', length);
    const places = call.build.range(-before, length).map((at) => place(at, size));
    return call.build.take(value, axis, places);
  }, x);
}

/** Coordinate transformations of Resize: the place of the input, before rounding, of one of the output. */
const COORDINATES: Readonly<
  Record<string, (at: number, scale: number, to: number, from: number) => number>
> = {
  align_corners: (at, _, to, from) => (to === 1 ? 0 : (at * (from - 1)) / (to - 1)),
  asymmetric: (at, scale) => at / scale,
  half_pixel: (at, scale) => (at + 0.5) / scale - 0.5,
  pytorch_half_pixel: (at, scale, to) => (to > 1 ? (at + 0.5) / scale - 0.5 : 0),
};

const ROUNDED: Readonly<Record<string, (x: number) => number>> = {
  ceil: Math.ceil,
  floor: Math.floor,
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
};

/** Nearest neighbours, which are choices along each axis; other modes mix values. */
function resize(call: Call): Value {
  const x = call.value(0);
  const shape = x.kind === 'live' ? x.full : x.shape;
  const older = call.node.op_type === 'Upsample' || call.opset < 11;
  const mode = call.text('mode', 'nearest');
  call.expect(mode === 'nearest', 'mode nearest', mode, 'Export with nearest neighbours.');
  const text = (name: string, missing: string): string =>
    older ? missing : call.text(name, missing);
  const way = text('coordinate_transformation_mode', older ? 'asymmetric' : 'half_pixel');
  const round = text('nearest_mode', older ? 'floor' : 'round_prefer_floor');
  const [place, nearest] = [COORDINATES[way], ROUNDED[round]];
  const fits = place && nearest && Object.hasOwn(COORDINATES, way);
  call.expect(fits, 'known ways to resize', [way, round]);
  const given = older ? scalesOf(call, 1) : scalesOf(call, 2);
  const sizes = older ? undefined : call.wholes(3);
  const axes = call.axes(call.ints('axes') ?? shape.map((_, axis) => axis), shape.length);
  const list = sizes && sizes.length > 0 ? sizes : given;
  call.expect(list?.length === axes.length, `scales or sizes of ${axes.length} axes`, list?.length);
  const sound = call.text('keep_aspect_ratio_policy', 'stretch') === 'stretch';
  call.expect(sound, 'sizes as they are', 'others');
  return axes.reduce((value, axis, i) => {
    const from = shape[axis]!;
    const to = list === sizes ? list![i]! : Math.floor(from * list![i]!);
    const scale = list === sizes ? to / from : list![i]!;
    call.expect(to > 0 && scale > 0, 'sizes above 0', [to, scale]);
    if (to === from && scale === 1) return value;
    const places = call.build
      .range(0, to)
      .map((at) => Math.min(Math.max(nearest(place(at, scale, to, from)), 0), from - 1));
    return call.build.take(value, axis, places);
  }, x);
}

function scalesOf(call: Call, index: number): readonly number[] | undefined {
  const values = call.inputs[index]
    ? Array.from(call.constant(index).values)
    : call.floats('scales');
  return values && values.length > 0 ? values : undefined;
}

function upsample(call: Call): Value {
  call.expect(call.opset < 10, 'Resize, which took its place in operator set 10', 'Upsample');
  return resize(call);
}

export const paddings: Readonly<Record<string, Operator>> = {
  Pad: pad,
  Resize: resize,
  Upsample: upsample,
};
