/**
 * Pooling over [c, h, w]: the maximum is a join of each window, the average is affine.
 *
 * Sizes are one number or [vertical, horizontal], padding also [top, left, bottom, right]. Padding
 * never wins a maximum; in an average it counts as zeros, unless `countPadding` is false, where
 * each window is divided by the number of values it really covers.
 */
import * as v from 'valibot';
import { expect } from '../../errors';
import { mul } from '../../tensor/ops/core';
import {
  avgPool as average,
  avgPoolGrad,
  maxPool as maximum,
  type PoolOptions,
  poolShape,
} from '../../tensor/ops/pool';
import type { Shape } from '../../tensor/shape';
import { input as constant, type Tensor } from '../../tensor/tensor';
import { affineLayer, joinLayer, type MaxSelection, type PoolWindow } from '../layer';
import { gather } from '../operators/gather';
import { both, fourSides, pair, sides } from './window';

const sizes = {
  kernel: pair(1),
  /** Defaults to the kernel size. */
  stride: v.optional(v.nullable(pair(1)), null),
  padding: v.optional(sides(), 0),
};
const maxOptions = v.strictObject(sizes);
const avgOptions = v.strictObject({ ...sizes, countPadding: v.optional(v.boolean(), true) });
type Options = v.InferOutput<typeof maxOptions>;
type AvgOptions = v.InferOutput<typeof avgOptions>;

const pooling = ({ kernel, stride, padding }: Options): PoolOptions => ({
  kernel: both(kernel),
  stride: both(stride ?? kernel),
  pad: fourSides(padding),
});

function shape([input, ...others]: readonly Shape[], o: Options, who: string): Shape {
  expect(others.length === 0, who, 'one input', others.length + 1);
  expect(input?.length === 3, who, 'an input [channels, height, width]', `[${input}]`);
  const window = pooling(o);
  const [, ...out] = poolShape([1, ...input], window);
  const inside = window.pad.every((side, i) => side < window.kernel[i % 2]!);
  const fits = out.every((size) => size > 0) && inside;
  expect(fits, who, 'a window that fits the input', `kernel ${window.kernel} on [${input}]`);
  return out;
}

function inside(o: Options, average: boolean): PoolWindow | undefined {
  const { kernel, stride, pad } = pooling(o);
  return pad.some((side) => side > 0) ? undefined : { kernel, stride, average };
}

export const maxPool = joinLayer({
  role: 'join',
  about: 'largest value of each window: kernel, stride, padding',
  options: maxOptions,
  shape,
  window: (o) => inside(o, false),
  channelDependency: () => ({ kind: 'elementwise' }),
  combine: ([x], o) => maximum(x!, pooling(o)),
  roundings: () => 0,
  pick: (lo, hi, o) => pickOf(lo, hi, pooling(o)),
});

/** The best entry of each window and the greatest upper end of the rest. */
function pickOf(lo: Tensor, hi: Tensor, o: PoolOptions): MaxSelection {
  const [n, c, h, w] = lo.shape as [number, number, number, number];
  const [, , oh, ow] = poolShape(lo.shape, o) as [number, number, number, number];
  const [low, high] = [lo.read(), hi.read()];
  const index = new Int32Array(n * c * oh * ow);
  const others = new Float32Array(index.length);
  for (let out = 0; out < index.length; out++) {
    const plane = Math.floor(out / (oh * ow));
    const top = Math.floor((out % (oh * ow)) / ow) * o.stride[0] - o.pad[0];
    const left = (out % ow) * o.stride[1] - o.pad[1];
    let best = -1;
    // The greatest upper end of all entries but the best.
    let rest = Number.NEGATIVE_INFINITY;
    for (let y = Math.max(top, 0); y < Math.min(top + o.kernel[0], h); y++)
      for (let x = Math.max(left, 0); x < Math.min(left + o.kernel[1], w); x++) {
        const at = (plane * h + y) * w + x;
        const better = best < 0 || low[at]! > low[best]!;
        if (best >= 0) rest = Math.max(rest, high[better ? best : at]!);
        if (better) best = at;
      }
    index[out] = best % (c * h * w);
    others[out] = rest;
  }
  return { index, others };
}

/** How many values each of `count` windows along one axis covers. */
const covered = (count: number, size: number, kernel: number, stride: number, before: number) =>
  Array.from({ length: count }, (_, i) => {
    const start = i * stride - before;
    return Math.min(start + kernel, size) - Math.max(start, 0);
  });

/** y [n, c, oh, ow] of windows over planes of `size`, times window size over values covered. */
function uncounted(y: Tensor, size: readonly number[], o: AvgOptions): Tensor {
  if (o.countPadding) return y;
  const { kernel, stride, pad } = pooling(o);
  const [oh, ow] = y.shape.slice(2) as [number, number];
  const rows = covered(oh, size[0]!, kernel[0], stride[0], pad[0]);
  const columns = covered(ow, size[1]!, kernel[1], stride[1], pad[1]);
  const area = kernel[0] * kernel[1];
  const factors = rows.flatMap((r) => columns.map((c) => area / (r * c)));
  return mul(y, constant(y.engine, factors, [oh, ow]));
}

const mean = (x: Tensor, o: AvgOptions): Tensor =>
  uncounted(average(x, pooling(o)), x.shape.slice(2), o);

export const avgPool = affineLayer({
  role: 'affine',
  about: 'mean of each window: kernel, stride, padding, countPadding (its zeros count)',
  options: avgOptions,
  shape,
  window: (o) => inside(o, true),
  channelDependency: () => ({ kind: 'elementwise' }),
  operator(_, o, input) {
    const [kh, kw] = both(o.kernel);
    return gather({
      forward: (x) => mean(x, o),
      back: (g) => avgPoolGrad(uncounted(g, input.slice(1), o), [0, ...input], pooling(o)),
      accumulationLength: kh * kw + (o.countPadding ? 1 : 3),
      transposeAccumulationLength: kh * kw + 4,
    });
  },
});
