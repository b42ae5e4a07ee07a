/** Pooling over [c, h, w]: the maximum is a join of each window, the average is affine. */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { add, reshape } from '../../tensor/ops/core';
import {
  avgPool as average,
  avgPoolGrad,
  maxPool as maximum,
  type PoolOptions,
  poolShape,
} from '../../tensor/ops/pool';
import type { Shape } from '../../tensor/shape';
import { affineLayer, joinLayer } from '../layer';

const options = v.strictObject({
  kernel: whole(1),
  /** Defaults to the kernel size. */
  stride: v.optional(v.nullable(whole(1)), null),
  padding: v.optional(whole(0), 0),
});
type Options = v.InferOutput<typeof options>;

function pooling({ kernel, stride, padding: p }: Options): PoolOptions {
  const s = stride ?? kernel;
  return { kernel: [kernel, kernel], stride: [s, s], pad: [p, p, p, p] };
}

function shape(inputs: readonly Shape[], o: Options, who: string): Shape {
  const [input] = inputs;
  expect(inputs.length === 1, who, 'one input', inputs.length);
  expect(input?.length === 3, who, 'an input [channels, height, width]', `[${input}]`);
  const [, ...out] = poolShape([1, ...input], pooling(o));
  const fits = out.every((size) => size > 0) && o.padding < o.kernel;
  expect(fits, who, 'a window that fits the input', `kernel ${o.kernel} on [${input}]`);
  return out;
}

export const maxPool = joinLayer({
  role: 'join',
  about: 'largest value of each window: kernel, stride, padding',
  options,
  shape,
  combine: ([x], o) => maximum(x!, pooling(o)),
  terms: () => 0,
});

export const avgPool = affineLayer({
  role: 'affine',
  about: 'mean of each window: kernel, stride, padding (zeros count)',
  options,
  shape,
  apply: (x, _, o) => average(x, pooling(o)),
  applyAbs(r, _, o, extra) {
    const y = average(r, pooling(o));
    return extra ? add(y, reshape(extra, [extra.size, 1, 1])) : y;
  },
  transpose: (g, _, o, input) => avgPoolGrad(g, [0, ...input], pooling(o)),
  terms: (_, o) => o.kernel * o.kernel + 1,
});
