/** Concat, of constants and of values of the network, in any mixture. */
import { type Shape, sizeOf } from '../../tensor/shape';
import type { Live, Value } from './build';
import type { Call } from './call';
import { type Constant, FLOAT, numbers } from './element';
import { withConstant } from './ops-arithmetic';

/** The full shape of a value, batch axis included. */
export const shapeOf = (value: Value): Shape => (value.kind === 'live' ? value.full : value.shape);

/** A constant of float32 numbers; a vector by default. */
export const floats = (values: ArrayLike<number>, shape: Shape = [values.length]): Constant => ({
  ...{ kind: 'constant', type: FLOAT, shape },
  values: Float32Array.from(values),
});

export function concat(call: Call): Value {
  const values = call.inputs.map((_, i) => call.value(i));
  const first = values[0] ? shapeOf(values[0]) : call.fail('inputs', 'none');
  const axis = call.axis(call.int('axis', 1), first.length);
  const odd = values.find((value) => {
    const s = shapeOf(value);
    return s.length !== first.length || s.some((length, i) => i !== axis && length !== first[i]);
  });
  const shapes = odd ? `[${first}] and [${shapeOf(odd)}]` : '';
  call.expect(!odd, `shapes that differ in axis ${axis} only`, shapes);
  const total = values.reduce((sum, value) => sum + shapeOf(value)[axis]!, 0);
  const to = first.with(axis, total);
  const constants = values.filter((value) => value.kind === 'constant');
  if (constants.length === values.length) return joined(call, constants, axis, to);
  return mixed(call, values, axis, to);
}

/** Values of the network side by side, with zeros where constants go, which are then added. */
function mixed(call: Call, values: readonly Value[], axis: number, to: number[]): Value {
  const { build } = call;
  const parts: { readonly value: Live; before: number; after: number }[] = [];
  let waiting = 0;
  for (const value of values) {
    const length = shapeOf(value)[axis]!;
    const last = parts.at(-1);
    if (value.kind === 'live')
      parts.push({ value, before: parts.length === 0 ? waiting : 0, after: 0 });
    else if (last) last.after += length;
    else waiting += length;
  }
  const { batch } = parts[0]!.value;
  const own = parts.map(({ value, before, after }) => {
    const { draft, axes } = build.axesOf(value, [axis]);
    if (before + after === 0) return { draft, axis: axes[0]! };
    const zeros = draft.sample.map(() => 0);
    const around = { before: zeros.with(axes[0]!, before), after: zeros.with(axes[0]!, after) };
    return { draft: build.node('pad', [draft], around), axis: axes[0]! };
  });
  const drafts = own.map(({ draft }) => draft);
  const draft =
    drafts.length === 1 ? drafts[0]! : build.node('concat', drafts, { axis: own[0]!.axis });
  const live = build.live(draft, to, batch);
  if (parts.length === values.length) return live;
  const rows = values.map((value): Constant => {
    if (value.kind === 'constant') return value;
    build.spend(sizeOf(value.full));
    return floats(new Float32Array(sizeOf(value.full)), value.full);
  });
  return withConstant(call, 'add', live, joined(call, rows, axis, to));
}

function joined(call: Call, parts: readonly Constant[], axis: number, shape: number[]): Constant {
  const { type } = parts[0]!;
  call.build.spend(sizeOf(shape));
  const values = numbers(type, sizeOf(shape));
  const outer = sizeOf(shape.slice(0, axis));
  let at = 0;
  for (let i = 0; i < outer; i++)
    for (const part of parts) {
      const size = part.values.length / outer;
      values.set(part.values.subarray(i * size, (i + 1) * size), at);
      at += size;
    }
  return { kind: 'constant', type, shape, values };
}
