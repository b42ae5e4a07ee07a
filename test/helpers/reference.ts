/**
 * Float64 references of the operations, written from their definitions: loops over every tap, no
 * cleverness, so that reading them is believing them.
 */
import type { Shape } from '../../src/tensor/shape';
import { at, map, type Nd, nd, ravel, sizeOf, tabulate, zeros } from './nd';

export const size2 = (
  [h, w]: readonly number[],
  [kh, kw]: readonly number[],
  { stride, pad, dilation = [1, 1] }: Window,
): [number, number] => [
  Math.floor((h! + pad[0]! + pad[2]! - dilation[0]! * (kh! - 1) - 1) / stride[0]!) + 1,
  Math.floor((w! + pad[1]! + pad[3]! - dilation[1]! * (kw! - 1) - 1) / stride[1]!) + 1,
];

export interface Window {
  readonly stride: readonly number[];
  /** top, left, bottom, right */
  readonly pad: readonly number[];
  readonly dilation?: readonly number[];
}

/** op(a) op(b) + bias. */
export function matmul(
  a: Nd,
  b: Nd,
  { ta = false, tb = false, bias }: { ta?: boolean; tb?: boolean; bias?: Nd | undefined } = {},
): Nd {
  const [left, right] = [ta ? transpose(a, [1, 0]) : a, tb ? transpose(b, [1, 0]) : b];
  const [m, k, n] = [left.shape[0]!, left.shape[1]!, right.shape[1]!];
  return tabulate([m, n], ([i, j]) => {
    let sum = bias ? bias.data[j!]! : 0;
    for (let l = 0; l < k; l++) sum += left.data[i! * k + l]! * right.data[l * n + j!]!;
    return sum;
  });
}

/** Visits every product of a convolution as flat positions in x, w and y. */
function taps(
  [n, c, h, w]: readonly [number, number, number, number],
  wShape: Shape,
  o: Window,
  visit: (x: number, w: number, y: number) => void,
): Shape {
  const [oc, , kh, kw] = wShape as [number, number, number, number];
  const [oh, ow] = size2([h, w], [kh, kw], o);
  const [dh, dw] = o.dilation ?? [1, 1];
  for (let i = 0; i < n; i++)
    for (let k = 0; k < oc; k++)
      for (let oy = 0; oy < oh; oy++)
        for (let ox = 0; ox < ow; ox++)
          for (let ch = 0; ch < c; ch++)
            for (let ky = 0; ky < kh; ky++)
              for (let kx = 0; kx < kw; kx++) {
                const iy = oy * o.stride[0]! - o.pad[0]! + ky * dh!;
                const ix = ox * o.stride[1]! - o.pad[1]! + kx * dw!;
                if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
                visit(
                  ((i * c + ch) * h + iy) * w + ix,
                  ((k * c + ch) * kh + ky) * kw + kx,
                  ((i * oc + k) * oh + oy) * ow + ox,
                );
              }
  return [n, oc, oh, ow];
}

const four = (shape: Shape) => shape as unknown as readonly [number, number, number, number];

export function conv2d(x: Nd, w: Nd, o: Window, bias?: Nd): Nd {
  const [oh, ow] = size2(x.shape.slice(2), w.shape.slice(2), o);
  const y = tabulate([x.shape[0]!, w.shape[0]!, oh, ow], ([, k]) => (bias ? bias.data[k!]! : 0));
  taps(four(x.shape), w.shape, o, (i, j, k) => {
    y.data[k]! += x.data[i]! * w.data[j]!;
  });
  return y;
}

export function conv2dInputGrad(dy: Nd, w: Nd, xShape: Shape, o: Window): Nd {
  const dx = zeros([dy.shape[0]!, ...xShape.slice(1)]);
  taps(four(dx.shape), w.shape, o, (i, j, k) => {
    dx.data[i]! += dy.data[k]! * w.data[j]!;
  });
  return dx;
}

export function conv2dWeightGrad(x: Nd, dy: Nd, wShape: Shape, o: Window): Nd {
  const dw = zeros(wShape);
  taps(four(x.shape), wShape, o, (i, j, k) => {
    dw.data[j]! += x.data[i]! * dy.data[k]!;
  });
  return dw;
}

/** The values under every window, folded: planes are channels of their own. */
function pool(x: Nd, kernel: readonly number[], o: Window, fold: (v: number[]) => number): Nd {
  const [n, c, h, w] = four(x.shape);
  const [oh, ow] = size2([h, w], kernel, o);
  return tabulate([n, c, oh, ow], ([i, ch, oy, ox]) => {
    const values: number[] = [];
    for (let ky = 0; ky < kernel[0]!; ky++)
      for (let kx = 0; kx < kernel[1]!; kx++) {
        const iy = oy! * o.stride[0]! - o.pad[0]! + ky;
        const ix = ox! * o.stride[1]! - o.pad[1]! + kx;
        if (iy >= 0 && iy < h && ix >= 0 && ix < w) values.push(at(x, [i!, ch!, iy, ix]));
      }
    return fold(values);
  });
}

export const maxPool = (x: Nd, kernel: readonly number[], o: Window): Nd =>
  pool(x, kernel, o, (values) => Math.max(...values));

/** Padding counts as zeros. */
export const avgPool = (x: Nd, kernel: readonly number[], o: Window): Nd =>
  pool(x, kernel, o, (values) => values.reduce((a, b) => a + b, 0) / (kernel[0]! * kernel[1]!));

/** The transpose of avgPool, column by column. */
export function avgPoolGrad(dy: Nd, xShape: Shape, kernel: readonly number[], o: Window): Nd {
  const shape = [dy.shape[0]!, ...xShape.slice(1)];
  const unit = zeros(shape);
  return nd(
    shape,
    Array.from(unit.data, (_, i) => {
      unit.data.fill(0)[i] = 1;
      return avgPool(unit, kernel, o).data.reduce((sum, v, j) => sum + v * dy.data[j]!, 0);
    }),
  );
}

export const reshape = (x: Nd, shape: Shape): Nd => nd(shape, x.data);

export const transpose = (x: Nd, order: readonly number[]): Nd =>
  tabulate(
    order.map((axis) => x.shape[axis]!),
    (index) =>
      at(
        x,
        order.map((_, axis) => index[order.indexOf(axis)]!),
      ),
  );

/** Sums over every axis along which `shape` (aligned at the end) has size 1 or is missing. */
export function sumTo(x: Nd, shape: Shape): Nd {
  const y = zeros(shape);
  const missing = x.shape.length - shape.length;
  tabulate(x.shape, (index) => {
    const target = shape.map((size, axis) => (size === 1 ? 0 : index[axis + missing]!));
    y.data[ravel(target, shape)]! += at(x, index);
    return 0;
  });
  return y;
}

const along = (index: readonly number[], axis: number, shift: number): number[] =>
  index.map((i, a) => (a === axis ? i + shift : i));

export const slice = (x: Nd, axis: number, from: number, to: number): Nd =>
  tabulate(
    x.shape.map((s, a) => (a === axis ? to - from : s)),
    (i) => at(x, along(i, axis, from)),
  );

export const embed = (x: Nd, axis: number, from: number, shape: Shape): Nd =>
  tabulate(shape, (index) => {
    const i = along(index, axis, -from);
    return i[axis]! >= 0 && i[axis]! < x.shape[axis]! ? at(x, i) : 0;
  });

export function concat(xs: readonly Nd[], axis: number): Nd {
  const total = xs.reduce((sum, x) => sum + x.shape[axis]!, 0);
  const shape = xs[0]!.shape.map((s, a) => (a === axis ? total : s));
  let from = 0;
  return xs
    .map((x) => {
      const placed = embed(x, axis, from, shape);
      from += x.shape[axis]!;
      return placed;
    })
    .reduce((a, b) => map((p, q) => p + q, a, b));
}

export const takeRows = (x: Nd, index: readonly number[]): Nd =>
  tabulate([index.length, x.shape[1]!], ([i, j]) => at(x, [index[i!]!, j!]));

export function addRows(x: Nd, index: readonly number[], rows: number): Nd {
  const y = zeros([rows, x.shape[1]!]);
  tabulate(x.shape, ([i, j]) => {
    y.data[index[i!]! * x.shape[1]! + j!]! += at(x, [i!, j!]);
    return 0;
  });
  return y;
}

export function softmax(x: Nd): Nd {
  const rows = rowsOf(x).map((row) => {
    const top = Math.max(...row);
    const e = row.map((value) => Math.exp(value - top));
    const total = e.reduce((a, b) => a + b, 0);
    return e.map((value) => value / total);
  });
  return nd(x.shape, rows.flat());
}

export function crossEntropy(logits: Nd, labels: readonly number[]): Nd {
  const losses = rowsOf(logits).map((row, i) => {
    const top = Math.max(...row);
    const total = row.reduce((sum, value) => sum + Math.exp(value - top), 0);
    return Math.log(total) + top - row[labels[i]!]!;
  });
  return nd([logits.shape[0]!], losses);
}

export function rowsOf(x: Nd): number[][] {
  const n = x.shape[0]!;
  const size = n === 0 ? 0 : sizeOf(x.shape) / n;
  return Array.from({ length: n }, (_, i) => Array.from(x.data.subarray(i * size, (i + 1) * size)));
}

/** Mean and (biased) variance of each channel, the second axis. */
export function channelMoments(x: Nd): { mean: Nd; variance: Nd; count: number } {
  const c = x.shape[1]!;
  const groups: number[][] = Array.from({ length: c }, () => []);
  tabulate(x.shape, (index) => groups[index[1]!]!.push(at(x, index)));
  const means = groups.map((g) => g.reduce((a, b) => a + b, 0) / g.length);
  const variances = groups.map(
    (g, i) => g.reduce((a, b) => a + (b - means[i]!) ** 2, 0) / g.length,
  );
  return { mean: nd([c], means), variance: nd([c], variances), count: groups[0]!.length };
}
