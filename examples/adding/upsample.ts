/** Nearest-neighbour upsampling of [c, h, w]: every pixel becomes a square. Affine, and exact. */
import * as v from 'valibot';
import { expect } from '../../src/errors';
import { affineLayer } from '../../src/nn/layer';
import { gather } from '../../src/nn/operators/gather';
import { whole } from '../../src/options';
import { expand, reshape, sumTo } from '../../src/tensor/ops/core';
import type { Shape } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';

type Options = { readonly factor: number };

/** [n, c, h, w] -> [n, c, h factor, w factor]. */
function repeat(x: Tensor, { factor }: Options): Tensor {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const wide = expand(reshape(x, [n, c, h, 1, w, 1]), [n, c, h, factor, w, factor]);
  return reshape(wide, [n, c, h * factor, w * factor]);
}

/** The transpose: sums over each square. */
function squares(g: Tensor, { factor }: Options, [c, h, w]: Shape): Tensor {
  const n = g.shape[0]!;
  const split = reshape(g, [n, c!, h!, factor, w!, factor]);
  return reshape(sumTo(split, [n, c!, h!, 1, w!, 1]), [n, c!, h!, w!]);
}

export const upsample = affineLayer({
  role: 'affine',
  about: 'every pixel factor x factor times: factor',
  options: v.strictObject({ factor: v.optional(whole(1), 2) }),
  shape([input], { factor }, who) {
    expect(input?.length === 3, who, 'an input [channels, height, width]', `[${input}]`);
    return [input[0]!, input[1]! * factor, input[2]! * factor];
  },
  channelDependency: () => ({ kind: 'elementwise' }),
  operator: (_, o, input) =>
    gather({
      forward: (x) => repeat(x, o),
      back: (g) => squares(g, o, input),
      // An output is one value as it is; an element of the transpose sums over a square.
      accumulationLength: 0,
      transposeAccumulationLength: o.factor * o.factor,
    }),
});
