/** Layers that move or join values: flatten, dropout, residual add, concatenation. */
import * as v from 'valibot';
import { expect } from '../../errors';
import { real, whole } from '../../options';
import { affine, greaterEqual, mul, add as plus, reshape } from '../../tensor/ops/core';
import { uniform } from '../../tensor/ops/random';
import { concat as join, slice } from '../../tensor/ops/shape';
import { type Shape, sameShape, sizeOf } from '../../tensor/shape';
import { filled, type Tensor } from '../../tensor/tensor';
import { affineLayer, joinLayer } from '../layer';
import { tensorOf } from '../operator';
import { gather } from '../operators/gather';

const none = v.strictObject({});
const flat = (x: Tensor): Tensor => reshape(x, [x.shape[0]!, sizeOf(x.shape.slice(1))]);

export const flatten = affineLayer({
  role: 'affine',
  about: '[c, h, w] as [c * h * w]',
  options: none,
  shape: ([input]) => [sizeOf(input!)],
  channelDependency: () => ({ kind: 'flatten' }),
  operator: (_, __, input) =>
    gather({
      reshapes: true,
      forward: flat,
      back: (g) => reshape(g, [g.shape[0]!, ...input]),
    }),
});

/** Inverted dropout (Srivastava et al. 2014): identity outside of training. */
export const dropout = affineLayer({
  role: 'affine',
  about: 'drops each value with probability rate while training',
  options: v.strictObject({ rate: v.optional(real(0, 0.99), 0.5) }),
  shape: ([input]) => input!,
  channelDependency: () => ({ kind: 'elementwise' }),
  operator({ keep }) {
    if (!keep) return gather({ reshapes: true, forward: (x) => x, back: (g) => g });
    const kept = tensorOf(keep);
    const masked = (x: Tensor): Tensor => {
      // Rows of one sample stand together, and there may be several.
      const [n, size] = [kept.shape[0]!, sizeOf(kept.shape.slice(1))];
      const rows = reshape(x, [n, x.shape[0]! / n, size]);
      return reshape(mul(rows, reshape(kept, [n, 1, size])), x.shape);
    };
    return gather({ forward: masked, back: masked });
  },
  onlyInTraining: true,
  deriveInBatch(_, o, { x, key }) {
    if (o.rate === 0) return { params: {} };
    const u = uniform(x.engine, x.shape, key);
    const kept = greaterEqual(u, filled(x.engine, [1], o.rate));
    return { params: { keep: affine(kept, 1 / (1 - o.rate), 0) } };
  },
});

export const add = joinLayer({
  role: 'join',
  about: 'sum of two or more inputs of one shape (residual connection)',
  options: none,
  shape(inputs, _, who) {
    const equal = inputs.length >= 2 && inputs.every((s) => sameShape(s, inputs[0]!));
    expect(equal, who, 'two or more inputs of one shape', show(inputs));
    return inputs[0]!;
  },
  channelDependency: () => ({ kind: 'elementwise' }),
  combine: (xs) => xs.slice(1).reduce((sum, x) => plus(sum, x), xs[0]!),
  roundings: (inputs) => inputs - 1,
  transpose: (g, inputs) => inputs.map(() => g),
});

export const concat = joinLayer({
  role: 'join',
  about: 'inputs side by side along an axis of the sample, by default the channels: axis',
  options: v.strictObject({ axis: v.optional(whole(0), 0) }),
  shape(inputs, { axis }, who) {
    const [first = []] = inputs;
    const alike = (s: Shape): boolean =>
      s.length === first.length && s.every((size, i) => i === axis || size === first[i]);
    const fits = axis < first.length && inputs.every(alike);
    expect(
      fits,
      who,
      axis === 0
        ? 'inputs that differ in channels only'
        : `inputs that differ in axis ${axis} only`,
      show(inputs),
    );
    const total = inputs.reduce((sum, s) => sum + s[axis]!, 0);
    return first.map((size, i) => (i === axis ? total : size));
  },
  channelDependency: ({ axis }) => ({ kind: axis === 0 ? 'concat' : 'elementwise' }),
  combine: (xs, { axis }) => join(xs, axis + 1),
  roundings: () => 0,
  transpose(g, inputs, { axis }) {
    let at = 0;
    return inputs.map((input) => {
      const start = at;
      at += input[axis]!;
      return slice(g, axis + 1, start, at);
    });
  },
});

function show(shapes: readonly Shape[]): string {
  return shapes.map((s) => `[${s.join(', ')}]`).join(' and ');
}
