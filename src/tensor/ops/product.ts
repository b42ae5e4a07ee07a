/**
 * Matrix products and convolutions. {conv2d, its input gradient, its weight gradient} is closed
 * under differentiation, so every pullback is one of the three.
 */
import { expect } from '../../errors';
import { gatheredCost, linesCost, transformCost, winogradCost } from '../../runtime/costs';
import type { Engine } from '../../runtime/engine';
import { PANEL, type Ptr } from '../../runtime/kernels';
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

/** Stride, padding (bottom and right follow from the output size) and dilation of a convolution. */
export interface ConvOptions {
  readonly stride: readonly [number, number];
  /** top, left, bottom, right */
  readonly pad: readonly [number, number, number, number];
  readonly dilation: readonly [number, number];
}

/** [h, w] of the output for an input plane and kernel of the given sizes. */
export function convSize(
  [h, w]: readonly [number, number],
  [kh, kw]: readonly [number, number],
  { stride, pad, dilation }: ConvOptions,
): [number, number] {
  return [
    Math.floor((h + pad[0] + pad[2] - dilation[0] * (kh - 1) - 1) / stride[0]) + 1,
    Math.floor((w + pad[1] + pad[3] - dilation[1] * (kw - 1) - 1) / stride[1]) + 1,
  ];
}

/** x [n, c, h, w], w [oc, c, kh, kw] (+ bias [oc]) -> [n, oc, oh, ow]. */
export function conv2d(x: Tensor, w: Tensor, o: ConvOptions, bias?: Tensor): Tensor {
  const g = geometry(x.shape, w.shape, o);
  if (bias) expect(bias.size === g[4], 'conv2d', `a bias [${g[4]}]`, `[${bias.shape}]`);
  const y = empty(x.engine, [g[0], g[4], g[13], g[14]]);
  runForward(x.engine, g, x.ptr, w.ptr, bias?.ptr ?? 0, y.ptr);
  return record(y, bias ? [x, w, bias] : [x, w], [
    (dy) => conv2dInputGrad(dy, w, x.shape, o),
    (dy) => conv2dWeightGrad(x, dy, w.shape, o),
    (dy) => channelSum(dy),
  ]);
}

/** By the kernel that takes least time; `lines` has the same bits as `conv2d`. */
function runForward(engine: Engine, g: Geometry, x: Ptr, w: Ptr, bias: Ptr, y: Ptr): void {
  const [, c, , , , k] = g;
  if (engine.otherSums && winogradPays(g))
    runWinograd(engine, g, [w, c * k * k, k * k, 0], [x, bias, y]);
  else if (linesCost(...g) < gatheredCost(...g)) engine.run('conv2d_lines', ...g, x, w, bias, y, 0);
  else engine.run('conv2d', ...g, x, w, bias, y, 0);
}

/** With stride 1 it is a convolution with the kernels turned around. */
function runInputGrad(engine: Engine, g: Geometry, dy: Ptr, w: Ptr, dx: Ptr): void {
  const [n, c, h, width, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow] = g;
  const pad = [(kh - 1) * dh - pt, (kw - 1) * dw - pl] as const;
  const turned = [
    ...([n, oc, oh, ow, c, kh, kw, 1, 1] as const),
    ...([...pad, dh, dw, h, width] as const),
  ] as const;
  if (engine.otherSums && sh * sw === 1 && winogradPays(turned))
    runWinograd(engine, turned, [w, kh * kw, c * kh * kw, 1], [dy, 0, dx]);
  else engine.run('conv2d_input_grad', ...g, dy, w, dx);
}

/** Where transforming the weights and all is clearly less work. */
const winogradPays = (g: Geometry): boolean =>
  winogradCost(...g) + transformCost(...g) < 0.8 * Math.min(gatheredCost(...g), linesCost(...g));

function runWinograd(
  engine: Engine,
  g: Geometry,
  weights: readonly [w: Ptr, wo: number, wi: number, flip: number],
  [x, bias, y]: readonly [Ptr, Ptr, Ptr],
): void {
  const [, c, , , oc, k, , s] = g;
  const u = engine.arena.alloc(4 * 16 * oc * c * s * s);
  engine.run('winograd_weights', oc, c, k, s, ...weights, u);
  engine.run('conv2d_winograd', ...g, x, u, bias, y, 0);
}

/** The transpose of `conv2d` in x: dy [n, oc, oh, ow] -> [n, c, h, w] = `xShape`. */
export function conv2dInputGrad(dy: Tensor, w: Tensor, xShape: Shape, o: ConvOptions): Tensor {
  const batch = [dy.shape[0]!, ...xShape.slice(1)];
  const g = geometry(batch, w.shape, o);
  checkOutput(dy, g);
  const dx = empty(dy.engine, batch);
  runInputGrad(dy.engine, g, dy.ptr, w.ptr, dx.ptr);
  return record(dx, [dy, w], [(h) => conv2d(h, w, o), (h) => conv2dWeightGrad(h, dy, w.shape, o)]);
}

/** The transpose of `conv2d` in w: x, dy -> [oc, c, kh, kw] = `wShape`. */
export function conv2dWeightGrad(x: Tensor, dy: Tensor, wShape: Shape, o: ConvOptions): Tensor {
  const g = geometry(x.shape, wShape, o);
  checkOutput(dy, g);
  const dw = empty(x.engine, wShape);
  x.engine.run('conv2d_weight_grad', ...g, x.ptr, dy.ptr, dw.ptr);
  return record(dw, [x, dy], [(h) => conv2dInputGrad(dy, h, x.shape, o), (h) => conv2d(x, h, o)]);
}

/**
 * Rows of the matrix of a convolution of one image `xShape` = [c, h, w]: row r is `factor[r]` times
 * the weights behind output `index[r]`, where they lie. Groups follow from the shape of w.
 */
export function conv2dRows(
  { index, factor }: { readonly index: Int32Array; readonly factor: Float32Array },
  w: Tensor,
  [c, h, width]: Shape,
  o: ConvOptions,
): Tensor {
  const [oc, depth, kh, kw] = w.shape as [number, number, number, number];
  const [oh, ow] = convSize([h!, width!], [kh, kw], o);
  const [weights, perGroup] = [w.read(), oc / (c! / depth)];
  const y = filled(w.engine, [index.length, c!, h!, width!], 0);
  const out = w.engine.memory.f32(y.ptr, y.size);
  index.forEach((place, r) => {
    const [channel, spot] = [Math.floor(place / (oh * ow)), place % (oh * ow)];
    const top = Math.floor(spot / ow) * o.stride[0] - o.pad[0];
    const left = (spot % ow) * o.stride[1] - o.pad[1];
    const first = r * c! + Math.floor(channel / perGroup) * depth;
    for (let ky = 0; ky < kh; ky++) {
      const iy = top + ky * o.dilation[0];
      if (iy < 0 || iy >= h!) continue;
      for (let kx = 0; kx < kw; kx++) {
        const ix = left + kx * o.dilation[1];
        if (ix < 0 || ix >= width!) continue;
        for (let ic = 0; ic < depth; ic++)
          out[((first + ic) * h! + iy) * width! + ix] =
            factor[r]! * weights[((channel * depth + ic) * kh + ky) * kw + kx]!;
      }
    }
  });
  return y;
}

/** [n, c, ...] -> [c]: planes first, then the batch. */
export function channelSum(x: Tensor): Tensor {
  const [n, c, ...plane] = x.shape as [number, number, ...number[]];
  const planes = reshape(x, [n, c, sizeOf(plane)]);
  return sumTo(reshape(sumTo(planes, [n, c, 1]), [n, c]), [c]);
}

type Geometry = readonly [
  ...[n: number, c: number, h: number, w: number, oc: number, kh: number, kw: number],
  ...[sh: number, sw: number, pt: number, pl: number, dh: number, dw: number],
  ...[oh: number, ow: number],
];

function checkOutput({ shape }: Tensor, [n, , , , oc, , , , , , , , , oh, ow]: Geometry): void {
  const fits = sameShape(shape, [n, oc, oh, ow]);
  expect(fits, 'conv2d', `a gradient [${[n, oc, oh, ow]}]`, `[${shape}]`);
}

function geometry(x: Shape, w: Shape, o: ConvOptions): Geometry {
  const fits = x.length === 4 && w.length === 4 && x[1] === w[1];
  expect(fits, 'conv2d', 'x [n, c, h, w] and w [oc, c, kh, kw]', `[${x}] and [${w}]`);
  const [n, c, h, width] = x as [number, number, number, number];
  const [oc, , kh, kw] = w as [number, number, number, number];
  const [oh, ow] = convSize([h, width], [kh, kw], o);
  expect(oh > 0 && ow > 0, 'conv2d', 'an input at least as large as the kernel', [h, width]);
  const { stride: s, pad: p, dilation: d } = o;
  return [n, c, h, width, oc, kh, kw, s[0], s[1], p[0], p[1], d[0], d[1], oh, ow];
}
