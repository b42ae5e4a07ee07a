/**
 * Matrix products and convolutions. {conv2d, its input gradient, its weight gradient} is closed
 * under differentiation, so every pullback is one of the three.
 */
import { expect } from '../../errors';
import { directCost, gatheredCost, transformCost, winogradCost } from '../../runtime/costs';
import type { Engine } from '../../runtime/engine';
import { type ConvGeometry, type OptionalPtr, PANEL, type Ptr } from '../../runtime/kernels';
import {
  type ConvOptions,
  type ConvShape,
  convShape,
  geometryOf,
  inputOf,
  outputOf,
  weightShapeOf,
} from '../convolution';
import { type Shape, sameShape, sizeOf } from '../shape';
import { record } from '../tape';
import { empty, filled, type Tensor } from '../tensor';
import { reshape, sumTo } from './core';

interface ProductOptions {
  /** Take the transpose of a / of b. */
  readonly ta?: boolean;
  readonly tb?: boolean;
  /** Shape [n], added to every row. */
  readonly bias?: Tensor | undefined;
}

/** op(a) op(b) (+ bias): [m, k] x [k, n] -> [m, n]. */
export function matmul(a: Tensor, b: Tensor, { ta, tb, bias }: ProductOptions = {}): Tensor {
  const [m, k] = ta ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
  const [k2, n] = tb ? [b.shape[1]!, b.shape[0]!] : [b.shape[0]!, b.shape[1]!];
  const flat = a.shape.length === 2 && b.shape.length === 2;
  expect(flat && k === k2, 'matmul', '[m, k] x [k, n]', `[${m}, ${k}] x [${k2}, ${n}]`);
  if (bias) expect(bias.size === n, 'matmul', `a bias [${n}]`, `[${bias.shape}]`);
  const { engine } = a;
  const packed = engine.arena.alloc(4 * k * PANEL * Math.ceil(n / PANEL));
  engine.run('pack_b', k, n, b.ptr, tb ? 1 : n, tb ? k : 1, packed);
  const y = empty(engine, [m, n]);
  const [row, col] = ta ? [1, m] : [k, 1];
  engine.run('gemm', m, n, k, a.ptr, row, col, packed, bias?.ptr ?? 0, y.ptr, 0, 0);
  const inputs = bias ? [a, b, bias] : [a, b];
  return record(y, inputs, [
    (g) => (ta ? matmul(b, g, { ta: !!tb, tb: true }) : matmul(g, b, { tb: !tb })),
    (g) => (tb ? matmul(g, a, { ta: true, tb: !!ta }) : matmul(a, g, { ta: !ta })),
    (g) => sumTo(g, [n]),
  ]);
}

/** How convolutions may be summed. */
export interface SumOptions {
  /**
   * Whether Winograd's algorithm may be taken where it pays: it sums other numbers than the products that
   * define a convolution, so no bound or certificate speaks of the result. Default: false.
   */
  readonly allowWinograd?: boolean | undefined;
}

/** x [n, c, h, w], w [oc, c / groups, kh, kw] (+ bias [oc]) -> [n, oc, oh, ow]. */
export function conv2d(x: Tensor, w: Tensor, o: ConvOptions & SumOptions, bias?: Tensor): Tensor {
  return convolution(x, w, fitting(x.shape, w.shape, o), bias, o);
}

/** The shape of a convolution of batches [n, c, h, w]; raises an error where they do not fit. */
function fitting([, ...sample]: Shape, weight: Shape, o: ConvOptions): ConvShape {
  const { groups = 1 } = o;
  const fits = sample.length === 3 && weight.length === 4 && sample[0] === groups * weight[1]!;
  const what = `x [n, c, h, w] and w [oc, c${groups > 1 ? ` / ${groups}` : ''}, kh, kw]`;
  expect(fits && weight[0]! % groups === 0, 'conv2d', what, `[n, ${sample}] and [${weight}]`);
  const shape = convShape(sample, weight, o);
  const inside = shape.outHeight > 0 && shape.outWidth > 0;
  expect(inside, 'conv2d', 'an input at least as large as the kernel', sample.slice(1));
  return shape;
}

/** The same of a given shape. */
export function convolution(
  x: Tensor,
  w: Tensor,
  s: ConvShape,
  bias?: Tensor,
  sums: SumOptions = {},
): Tensor {
  check(x, inputOf(s), w, s);
  if (bias) expect(bias.size === s.outChannels, 'conv2d', `a bias [${s.outChannels}]`, bias.shape);
  const batch = x.shape[0]!;
  const y = empty(x.engine, [batch, ...outputOf(s)]);
  runForward(x.engine, s, batch, [x.ptr, w.ptr, bias?.ptr ?? 0, y.ptr], sums);
  return record(y, bias ? [x, w, bias] : [x, w], [
    (dy) => convolutionInputGrad(dy, w, s, sums),
    (dy) => convolutionWeightGrad(x, dy, s, sums),
    (dy) => channelSum(dy),
  ]);
}

/** Runs the kernel that takes least time; `conv2d_direct` has the same bits as `conv2d`. */
function runForward(
  engine: Engine,
  s: ConvShape,
  batch: number,
  [x, w, bias, y]: readonly [x: Ptr, w: Ptr, bias: OptionalPtr, y: Ptr],
  { allowWinograd }: SumOptions,
): void {
  const g = geometryOf(s, batch);
  const [, c, , , , k] = g;
  if (s.groups > 1) engine.run('conv2d_grouped', ...g, s.groups, x, w, bias, y, 0);
  else if (allowWinograd && winogradPays(g))
    runWinograd(engine, g, [w, c * k * k, k * k, 0], [x, bias, y]);
  else if (directCost(...g) < gatheredCost(...g))
    engine.run('conv2d_direct', ...g, x, w, bias, y, 0);
  else engine.run('conv2d', ...g, x, w, bias, y, 0);
}

/** Runs the input gradient; with stride 1 it is a convolution with the kernels turned around. */
function runInputGrad(
  engine: Engine,
  s: ConvShape,
  batch: number,
  [dy, w, dx]: readonly [dy: Ptr, w: Ptr, dx: Ptr],
  { allowWinograd }: SumOptions,
): void {
  const g = geometryOf(s, batch);
  if (s.groups > 1) {
    engine.run('conv2d_grouped_input_grad', ...g, s.groups, dy, w, dx);
    return;
  }
  const [n, c, h, width, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow] = g;
  const pad = [(kh - 1) * dh - pt, (kw - 1) * dw - pl] as const;
  const turned = [
    ...([n, oc, oh, ow, c, kh, kw, 1, 1] as const),
    ...([...pad, dh, dw, h, width] as const),
  ] as const;
  if (allowWinograd && sh * sw === 1 && winogradPays(turned))
    runWinograd(engine, turned, [w, kh * kw, c * kh * kw, 1], [dy, 0, dx]);
  else engine.run('conv2d_input_grad', ...g, dy, w, dx);
}

type Geometry = Readonly<ConvGeometry>;

/** Where transforming the weights and all is clearly less work. */
const winogradPays = (g: Geometry): boolean =>
  winogradCost(...g) + transformCost(...g) < 0.8 * Math.min(gatheredCost(...g), directCost(...g));

function runWinograd(
  engine: Engine,
  g: Geometry,
  weights: readonly [w: Ptr, wo: number, wi: number, flip: number],
  [x, bias, y]: readonly [x: Ptr, bias: OptionalPtr, y: Ptr],
): void {
  const [, c, , , oc, k, , s] = g;
  const u = engine.arena.alloc(4 * 16 * oc * c * s * s);
  engine.run('winograd_weights', oc, c, k, s, ...weights, u);
  engine.run('conv2d_winograd', ...g, x, u, bias, y, 0);
}

/** The transpose of `convolution` in x: dy [n, oc, oh, ow] -> [n, c, h, w]. */
export function convolutionInputGrad(
  dy: Tensor,
  w: Tensor,
  s: ConvShape,
  { allowWinograd }: SumOptions = {},
): Tensor {
  check(dy, outputOf(s), w, s);
  // Nothing else of what was given: a bias would join the pullback.
  const sums = { allowWinograd };
  const batch = dy.shape[0]!;
  const dx = empty(dy.engine, [batch, ...inputOf(s)]);
  runInputGrad(dy.engine, s, batch, [dy.ptr, w.ptr, dx.ptr], sums);
  return record(
    dx,
    [dy, w],
    [(h) => convolution(h, w, s, undefined, sums), (h) => convolutionWeightGrad(h, dy, s, sums)],
  );
}

/** The transpose of `convolution` in w: x, dy -> [oc, c / groups, kh, kw]. */
export function convolutionWeightGrad(
  x: Tensor,
  dy: Tensor,
  s: ConvShape,
  { allowWinograd }: SumOptions = {},
): Tensor {
  check(x, inputOf(s));
  check(dy, outputOf(s));
  const sums = { allowWinograd };
  const dw = empty(x.engine, weightShapeOf(s));
  const g = geometryOf(s, x.shape[0]!);
  if (s.groups > 1)
    x.engine.run('conv2d_grouped_weight_grad', ...g, s.groups, x.ptr, dy.ptr, dw.ptr);
  else x.engine.run('conv2d_weight_grad', ...g, x.ptr, dy.ptr, dw.ptr);
  return record(
    dw,
    [x, dy],
    [(h) => convolutionInputGrad(dy, h, s, sums), (h) => convolution(x, h, s, undefined, sums)],
  );
}

/** The transpose of `conv2d` in x, of the shape `xShape` = [n, c, h, w]. */
export const conv2dInputGrad = (
  dy: Tensor,
  w: Tensor,
  xShape: Shape,
  o: ConvOptions & SumOptions,
): Tensor => convolutionInputGrad(dy, w, fitting(xShape, w.shape, o), o);

/** The transpose of `conv2d` in w, of the shape `wShape`. */
export const conv2dWeightGrad = (x: Tensor, dy: Tensor, wShape: Shape, o: ConvOptions): Tensor =>
  convolutionWeightGrad(x, dy, fitting(x.shape, wShape, o));

/**
 * Rows of the matrix of a convolution of one image: row r is `factor[r]` times the weights behind
 * output `index[r]`, where they lie.
 */
export function convolutionRows(
  { index, factor }: { readonly index: Int32Array; readonly factor: Float32Array },
  w: Tensor,
  s: ConvShape,
): Tensor {
  const [c, h, width] = inputOf(s);
  const [weights, perGroup, depth] = [w.read(), s.outChannels / s.groups, c / s.groups];
  const { kernelHeight: kh, kernelWidth: kw, outHeight: oh, outWidth: ow } = s;
  const y = filled(w.engine, [index.length, c, h, width], 0);
  const out = w.engine.memory.f32(y.ptr, y.size);
  index.forEach((place, r) => {
    const [channel, spot] = [Math.floor(place / (oh * ow)), place % (oh * ow)];
    const top = Math.floor(spot / ow) * s.strideY - s.padTop;
    const left = (spot % ow) * s.strideX - s.padLeft;
    const first = r * c + Math.floor(channel / perGroup) * depth;
    for (let ky = 0; ky < kh; ky++) {
      const iy = top + ky * s.dilationY;
      if (iy < 0 || iy >= h) continue;
      for (let kx = 0; kx < kw; kx++) {
        const ix = left + kx * s.dilationX;
        if (ix < 0 || ix >= width) continue;
        for (let ic = 0; ic < depth; ic++)
          out[((first + ic) * h + iy) * width + ix] =
            factor[r]! * weights[((channel * depth + ic) * kh + ky) * kw + kx]!;
      }
    }
  });
  return y;
}

function check(x: Tensor, sample: Shape, w?: Tensor, s?: ConvShape): void {
  const fits = x.shape.length === 4 && sameShape(x.shape.slice(1), sample);
  expect(fits, 'conv2d', `a batch of [${sample}]`, `[${x.shape}]`);
  if (w && s) expect(sameShape(w.shape, weightShapeOf(s)), 'conv2d', 'its weight', `[${w.shape}]`);
}

/** [n, c, ...] -> [c]: planes first, then the batch. */
export function channelSum(x: Tensor): Tensor {
  const [n, c, ...plane] = x.shape as [number, number, ...number[]];
  const planes = reshape(x, [n, c, sizeOf(plane)]);
  return sumTo(reshape(sumTo(planes, [n, c, 1]), [n, c]), [c]);
}
