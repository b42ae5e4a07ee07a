/**
 * Operators that move values or make them from nothing: shapes, axes, choices, constants. Constants
 * and values of the network go through the same rules, so whole shape computations fold away.
 */
import { broadcastShape, sizeOf } from '../../tensor/shape';
import type { Value } from './build';
import type { Call, Operator } from './call';
import {
  type Constant,
  checkShape,
  elementOf,
  FLOAT,
  INT64,
  numbers,
  readSparse,
  readTensor,
  settle,
  typeName,
} from './element';
import { concat, floats, shapeOf } from './ops-concat';

const wholes = (values: readonly number[], shape = [values.length]): Constant => ({
  ...{ kind: 'constant', type: INT64, shape },
  values: Float64Array.from(values),
});

/** The first output is the first input; other outputs do not exist. */
const identity: Operator = (call) => call.value(0);

function constant(call: Call): Value {
  const [int, float] = [call.int('value_int', Number.NaN), call.float('value_float')];
  const [ints, many] = [call.ints('value_ints'), call.floats('value_floats')];
  if (ints) return wholes(ints);
  if (many) return floats(many);
  if (!Number.isNaN(int)) return wholes([int], []);
  if (float !== undefined) return floats([float], []);
  const sparse = call.sparse('sparse_value');
  if (sparse) return call.build.unpacked(readSparse(sparse, call.who));
  const tensor = call.tensor('value') ?? call.fail('a number or tensor as value', 'none');
  return readTensor(tensor, call.who);
}

function constantOfShape(call: Call): Value {
  const shape = checkShape(call.wholes(0) ?? [], call.who);
  const given = call.tensor('value');
  const one = given ? readTensor(given, call.who) : floats([0]);
  call.expect(one.values.length === 1, 'one number as value', one.values.length);
  call.build.spend(sizeOf(shape));
  return { ...one, shape, values: numbers(one.type, sizeOf(shape)).fill(one.values[0]!) };
}

function shape(call: Call): Value {
  const all = shapeOf(call.value(0));
  const [start, end] = [call.int('start', 0), call.int('end', all.length)];
  return wholes(all.slice(start, end));
}

const PRECISION =
  'The network is read and proved in float32 alone; export it in float32, without casts of its values.';

function castTo(call: Call, type: number): Value {
  const value = call.value(0);
  elementOf(type, call.who);
  if (value.kind === 'live') {
    const plain = type === FLOAT;
    if (!plain)
      call.fail('values of the network in float32', `a cast to ${typeName(type)}`, PRECISION);
    return value;
  }
  call.build.spend(value.values.length);
  const values = numbers(type, value.values.length);
  // To the nearest number of a float type; towards 0 to integers.
  for (let i = 0; i < values.length; i++) values[i] = settle(type, value.values[i]!);
  return { ...value, type, values };
}

const cast: Operator = (call) => castTo(call, call.int('to', 0));

function castLike(call: Call): Value {
  const like = call.value(1);
  return castTo(call, like.kind === 'live' ? FLOAT : like.type);
}

function size(call: Call): Value {
  return wholes([sizeOf(shapeOf(call.value(0)))], []);
}

function reshape(call: Call): Value {
  const value = call.value(0);
  const from = shapeOf(value);
  const wanted = call.wholes(1) ?? call.fail('a shape', 'none');
  const copied = call.int('allowzero', 0) === 0;
  const sizes = wanted.map((size, i) => (size === 0 && copied ? (from[i] ?? 0) : size));
  const known = sizes.filter((size) => size !== -1);
  call.expect(sizes.length - known.length <= 1, 'one size of -1', wanted);
  const rest = sizeOf(from) / sizeOf(known);
  const to = sizes.map((size) => (size === -1 ? rest : size));
  return call.build.view(value, checkShape(to, call.who));
}

function flatten(call: Call): Value {
  const value = call.value(0);
  const from = shapeOf(value);
  const axis = call.int('axis', 1);
  const at = axis === from.length ? axis : call.axis(axis, from.length);
  const to = [sizeOf(from.slice(0, at)), sizeOf(from.slice(at))];
  const view = call.build.view(value, to);
  if (view.kind === 'constant' || to[0] !== 1 || view.draft.sample.length === 1) return view;
  // A flatten layer at once, so that the network reads as the file does.
  return { ...view, draft: call.build.as(view, [to[1]!], call.build.name) };
}

function squeeze(call: Call): Value {
  const value = call.value(0);
  const from = shapeOf(value);
  const given = call.wholesOrInts(1, 'axes');
  const ones = from.flatMap((size, axis) => (size === 1 ? [axis] : []));
  const axes = given ? call.axes(given, from.length) : ones;
  const fits = axes.every((axis) => from[axis] === 1);
  call.expect(fits, `axes of size 1 of [${from}]`, axes);
  return call.build.view(
    value,
    from.filter((_, axis) => !axes.includes(axis)),
  );
}

function unsqueeze(call: Call): Value {
  const value = call.value(0);
  const from = shapeOf(value);
  const given = call.wholesOrInts(1, 'axes') ?? call.fail('axes', 'none');
  const rank = checkShape([...from, ...given.map(() => 1)], call.who).length;
  const axes = call.axes(given, rank);
  const rest = from[Symbol.iterator]();
  const to = Array.from({ length: rank }, (_, axis) =>
    axes.includes(axis) ? 1 : (rest.next().value ?? 1),
  );
  return call.build.view(value, to);
}

function transpose(call: Call): Value {
  const value = call.value(0);
  const rank = shapeOf(value).length;
  const order = call.ints('perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  call.expect(order.length === rank, `an order of ${rank} axes`, order);
  return call.build.permute(value, call.axes(order, rank));
}

function gather(call: Call): Value {
  const value = call.value(0);
  const from = shapeOf(value);
  const axis = call.axis(call.int('axis', 0), from.length);
  const index = call.constant(1);
  const places = Array.from(index.values, (i) => call.axis(i, from[axis]!, 'an index'));
  const to = [...from.slice(0, axis), ...index.shape, ...from.slice(axis + 1)];
  return call.build.view(call.build.take(value, axis, places), checkShape(to, call.who));
}

/** The part of one axis between two ends, as ONNX limits them. */
function cut(call: Call, value: Value, axis: number, [start, end, step]: readonly number[]): Value {
  const size = shapeOf(value)[axis]!;
  call.expect(step !== 0, 'a step other than 0', step);
  const limit = (at: number): number => {
    const place = at < 0 ? at + size : at;
    return step! > 0 ? Math.max(0, Math.min(size, place)) : Math.max(-1, Math.min(size - 1, place));
  };
  const first = step! > 0 ? limit(start!) : Math.max(0, limit(start!));
  const count = Math.max(0, Math.ceil((limit(end!) - first) / step!));
  call.expect(count > 0 || value.kind === 'constant', 'a slice that is not empty', [start, end]);
  if (count === size && step === 1) return value;
  return call.build.take(value, axis, call.build.range(first, count, step));
}

function slice(call: Call): Value {
  const value = call.value(0);
  const rank = shapeOf(value).length;
  const starts = call.wholesOrInts(1, 'starts') ?? call.fail('starts', 'none');
  const ends = call.wholesOrInts(2, 'ends') ?? call.fail('ends', 'none');
  const axes = call.axes(call.wholesOrInts(3, 'axes') ?? starts.map((_, i) => i), rank);
  const steps = call.wholes(4) ?? starts.map(() => 1);
  const even = [ends, axes, steps].every((list) => list.length === starts.length);
  call.expect(even, `${starts.length} ends, axes and steps`, [ends.length, axes.length]);
  return axes.reduce((v, axis, i) => cut(call, v, axis, [starts[i]!, ends[i]!, steps[i]!]), value);
}

function split(call: Call): readonly Value[] {
  const value = call.value(0);
  const from = shapeOf(value);
  const axis = call.axis(call.int('axis', 0), from.length);
  const count = call.int('num_outputs', call.node.output.length);
  const size = Math.ceil(from[axis]! / Math.max(1, count));
  const even = Array.from({ length: count }, (_, i) => Math.min(size, from[axis]! - i * size));
  const sizes = call.wholesOrInts(1, 'split') ?? even;
  const fits = sizes.length === count && sizes.every((s) => s > 0);
  const total = sizes.reduce((a, b) => a + b, 0);
  call.expect(fits && total === from[axis], `${count} parts of ${from[axis]}`, sizes);
  let at = 0;
  return sizes.map((s) => {
    const start = at;
    at += s;
    return cut(call, value, axis, [start, at, 1]);
  });
}

function expand(call: Call): Value {
  const value = call.value(0);
  const wanted = call.wholes(1) ?? [];
  const full = broadcastShape(shapeOf(value), checkShape(wanted, call.who), call.who);
  if (value.kind === 'live') return call.build.expand(value, full);
  const wide = [...full.map(() => 1).slice(value.shape.length), ...value.shape];
  return full.reduce<Value>(
    (v, size, axis) =>
      wide[axis] === size ? v : call.build.take(v, axis, call.build.range(0, size, 0)),
    call.build.view(value, wide),
  );
}

function tile(call: Call): Value {
  const value = call.value(0);
  const shape = shapeOf(value);
  const counts = call.wholes(1) ?? [];
  const fits = counts.length === shape.length && counts.every((n) => n > 0);
  call.expect(fits, 'repeats of each axis', counts);
  checkShape(
    shape.map((length, axis) => length * counts[axis]!),
    call.who,
  );
  return counts.reduce((v, count, axis) => {
    if (count === 1) return v;
    const places = call.build.range(0, shape[axis]! * count).map((i) => i % shape[axis]!);
    return call.build.take(v, axis, places);
  }, value);
}

/** Blocks of channels as blocks of pixels, or the other way round. */
function blocks(call: Call, deeper: boolean): Value {
  const value = call.value(0);
  const [n, c, h, w] = shapeOf(value) as [number, number, number, number];
  const b = call.int('blocksize', 0);
  const { build } = call;
  call.expect(shapeOf(value).length === 4 && b > 0, 'planes and a block size', shapeOf(value));
  if (deeper) {
    call.expect(h % b === 0 && w % b === 0, `sizes that ${b} divides`, [h, w]);
    const split = build.view(value, [n, c, h / b, b, w / b, b]);
    return build.view(build.permute(split, [0, 3, 5, 1, 2, 4]), [n, c * b * b, h / b, w / b]);
  }
  call.expect(c % (b * b) === 0, `channels that ${b * b} divides`, c);
  const depth = c / (b * b);
  const first = call.text('mode', 'DCR') === 'DCR';
  const split = build.view(value, first ? [n, b, b, depth, h, w] : [n, depth, b, b, h, w]);
  const order = first ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3];
  return build.view(build.permute(split, order), [n, depth, h * b, w * b]);
}

/** Dropout in inference: the identity; nothing may read the mask. */
function dropout(call: Call): Value {
  const training = call.inputs[2] ? call.scalar(2) : 0;
  call.expect(training === 0, 'dropout in inference', 'training mode');
  return call.value(0);
}

export const structure: Readonly<Record<string, Operator>> = {
  Cast: cast,
  CastLike: castLike,
  Concat: concat,
  Constant: constant,
  ConstantOfShape: constantOfShape,
  DepthToSpace: (call) => blocks(call, false),
  Dropout: dropout,
  Expand: expand,
  Flatten: flatten,
  Gather: gather,
  Identity: identity,
  Reshape: reshape,
  Shape: shape,
  Size: size,
  Slice: slice,
  SpaceToDepth: (call) => blocks(call, true),
  Split: split,
  Squeeze: squeeze,
  Tile: tile,
  Transpose: transpose,
  Unsqueeze: unsqueeze,
};
