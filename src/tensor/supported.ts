/**
 * Convolutions and dense layers whose weight is 0 outside of a support: the product, its transpose
 * in x and its gradient on the support, all over the non-zeros (assembly/sparse.ts). Like those of
 * product.ts the three are closed under differentiation. Gradients of the weight are 0 outside of
 * the support, and only their values on it are written unless someone asks for the others.
 *
 * Operands are laid out as planes with margins, once: a backward pass uses what the forward pass and
 * the other gradient laid out. Copies and products take turns over as many images as stay cached.
 * Cost: 2 flops a non-zero and output, and the copies: about 1 ns an element.
 */
import { expect } from '../errors';
import type { Engine } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { sumTo } from './ops/core';
import { withNaN } from './ops/interval';
import { channelSum } from './ops/product';
import { type Shape, sizeOf } from './shape';
import type { Planes } from './sparse';
import {
  copyCall,
  mergeCalls,
  splitCalls,
  type View,
  viewOfImages,
  viewOfPlanes,
} from './sparse-calls';
import type { End, Side, Support } from './support-sides';
import { record } from './tape';
import { empty, scattered, type Tensor } from './tensor';

/** Bytes of planes a thread that are laid out and used before the next ones are. */
const CACHED = 1 << 18;

/** Blocks of lanes for a batch; the last one may have room. */
const blockCount = ({ lanes }: Support, batch: number): number => Math.ceil(batch / lanes);

/** Blocks [first, end) of images and of planes. */
interface Part {
  readonly first: number;
  readonly end: number;
}

/** A batch in parts of blocks whose planes stay cached, each thread having a cache of its own. */
function partsOf(s: Support, { planes: { size } }: End, { engine, shape }: Tensor): Part[] {
  const blocks = blockCount(s, shape[0]!);
  const step = Math.max(1, Math.floor((CACHED * engine.threads) / (4 * size)));
  return Array.from({ length: Math.ceil(blocks / step) }, (_, i) => ({
    first: i * step,
    end: Math.min(blocks, (i + 1) * step),
  }));
}

/** `into`: from images to planes; else back. `planes` are those of the part's first block. */
function copy(
  { lanes }: Support,
  end: End,
  into: boolean,
  { first, end: last }: Part,
  x: Tensor,
  planes: Ptr,
): void {
  const { engine } = x;
  const batch = x.shape[0]!;
  // Image by image is faster, but nothing that threads could share.
  const even = !!end.split && end.shape[2] % end.split[1] === 0;
  const phases = lanes === 1 && even && engine.threads <= 2;
  // Without lanes, images lie apart in both.
  const step = lanes === 1 && !phases ? last - first : 1;
  for (let b = first; b < last; b += step) {
    const count = Math.min(batch - b * lanes, step * lanes);
    const images = viewOfImages(x.ptr + 4 * b * lanes * sizeOf(end.shape), end.shape);
    const ptr = planes + 4 * (b - first) * end.planes.size;
    const view = viewOfPlanes(ptr, end.planes, lanes === 1 ? end.planes.size : 1);
    const ends = into ? ([images, view] as const) : ([view, images] as const);
    if (!end.split) run(engine, [copyCall(engine, count, end.shape, ...ends)]);
    else if (phases) copyPhases(engine, end, into, images, view);
    else if (into) run(engine, splitCalls(engine, count, end.shape, end.split, ...ends));
    else run(engine, mergeCalls(engine, count, end.shape, end.split, ...ends));
  }
}

function run(engine: Engine, calls: ReturnType<typeof splitCalls>): void {
  for (const call of calls) engine.start(call, 0);
}

/** All phases of the lines of one image, whose width they share out evenly. */
function copyPhases(engine: Engine, end: End, into: boolean, whole: View, split: View): void {
  const [c, h, w] = end.shape;
  const [sy, sx] = end.split!;
  const phase = c * split.channel;
  for (let py = 0; py < sy; py++) {
    const images = whole.ptr + 4 * py * whole.line;
    const planes = split.ptr + 4 * py * sx * phase;
    const lines = Math.ceil((h - py) / sy);
    if (into)
      engine.run(
        ...(['copy_strided', c, lines, sx, w / sx] as const),
        ...([images, whole.channel, sy * whole.line, 1, sx] as const),
        ...([planes, split.channel, split.line, phase, 1, 0] as const),
      );
    else
      engine.run(
        ...(['copy_strided', c, lines, w / sx, sx] as const),
        ...([planes, split.channel, split.line, 1, phase] as const),
        ...([images, whole.channel, sy * whole.line, sx, 1, 0] as const),
      );
  }
}

/** Lays out a part of the images of a tensor, zero around them. */
function lay(s: Support, end: End, part: Part, x: Tensor, planes: Ptr): void {
  const { size } = end.planes;
  const at = planes + 4 * part.first * size;
  x.engine.run('fill', (part.end - part.first) * size, 0, at);
  copy(s, end, true, part, x, at);
}

/** The planes of `x`, not laid out yet. */
const planesFor = (s: Support, { planes }: End, x: Tensor): Tensor =>
  empty(x.engine, [blockCount(s, x.shape[0]!) * planes.size]);

/** The planes of a tensor: made when first asked for. */
class Laid {
  readonly x: Tensor;
  #planes: Tensor | undefined;

  constructor(x: Tensor) {
    this.x = x;
  }

  /** Lays out part after part, if that was not done, and calls `use` after each. */
  each(s: Support, end: End, use: (part: Part, planes: Ptr) => void): void {
    const { x } = this;
    const done = this.#planes;
    this.#planes ??= planesFor(s, end, x);
    for (const part of partsOf(s, end, x)) {
      if (!done) lay(s, end, part, x, this.#planes.ptr);
      use(part, this.#planes.ptr + 4 * part.first * end.planes.size);
    }
  }

  all(s: Support, end: End): Ptr {
    if (!this.#planes) this.each(s, end, () => {});
    return this.#planes!.ptr;
  }
}

/** [c, h, w] as a batch like `x`: [batch, c, h, w], or [batch, features] where samples are flat. */
const shapedLike = ({ shape }: Tensor, [c, h, w]: Planes['shape']): Shape =>
  shape.length === 2 ? [shape[0]!, c] : [shape[0]!, c, h, w];

/** The values of a weight on the support, in its order. */
function valuesOf(s: Support, w: Tensor): Tensor {
  if (w.few?.mask === s.mask) return w.few.values;
  const values = empty(w.engine, [s.nnz]);
  w.engine.run('take_rows', s.nnz, 1, w.ptr, s.at, values.ptr);
  return values;
}

/** The product of one side: images to images. */
function product(s: Support, side: Side, laid: Laid, values: Tensor, bias: Ptr): Tensor {
  const { engine } = values;
  const { from, to, passes } = side;
  const y = empty(engine, shapedLike(laid.x, to.shape));
  const ordered = passes.map(({ order, nnz }) => {
    if (!order) return values.ptr;
    const ptr = engine.arena.alloc(4 * nnz);
    engine.run('take_rows', nnz, 1, values.ptr, order, ptr);
    return ptr;
  });
  const most = Math.max(0, ...partsOf(s, from, laid.x).map(({ first, end }) => end - first));
  const buffer = to.plain ? 0 : empty(engine, [most * to.planes.size]).ptr;
  const size = to.plain ? sizeOf(to.shape) : to.planes.size;
  laid.each(s, from, (part, planes) => {
    const output = to.plain ? y.ptr + 4 * part.first * size : buffer;
    for (const [i, { rows, groups, starts, offsets, places, masks }] of passes.entries())
      engine.run(
        ...(['sparse_product', rows, part.end - part.first, groups, starts] as const),
        ...([ordered[i]!, offsets, places, masks, bias, planes, 4 * from.planes.size] as const),
        ...([output, 4 * size, 4 * to.planes.channel, -Infinity, Infinity] as const),
      );
    if (!to.plain) copy(s, to, false, part, y, buffer);
  });
  return y;
}

function check(s: Support, x: Tensor, shape: Shape, w?: Tensor): void {
  const [c, , , oc, kh, kw] = s.sizes;
  const size = x.shape[0]! * sizeOf(shape);
  expect(x.size === size, 'sparse product', `samples of ${sizeOf(shape)}`, `[${x.shape}]`);
  if (w) expect(w.size === oc * c * kh * kw, 'sparse product', 'its weight', `[${w.shape}]`);
}

/** The last one made, for gradients that several pullbacks are given. */
function lastOf<K, T>(make: (key: K) => T): (key: K) => T {
  let last: { readonly key: K; readonly value: T } | undefined;
  return (key) => {
    if (last?.key !== key) last = { key, value: make(key) };
    return last.value;
  };
}

/** W x (+ bias). */
export function supportedProduct(x: Tensor, w: Tensor, s: Support, bias?: Tensor): Tensor {
  check(s, x, s.forward.from.shape, w);
  const [input, values] = [new Laid(x), valuesOf(s, w)];
  const y = product(s, s.forward, input, values, bias?.ptr ?? 0);
  const laid = lastOf((dy: Tensor) => new Laid(dy));
  return record(y, bias ? [x, w, bias] : [x, w], [
    (dy) => transposed(laid(dy), w, values, s),
    (dy) => weightGrad(input, laid(dy), w.shape, s),
    (dy) => (dy.shape.length === 2 ? sumTo(dy, [dy.shape[1]!]) : channelSum(dy)),
  ]);
}

/**
 * |W| r (+ bias) with the NaN of a dense product: where a radius of a sample is no number or too
 * large for one, all of its result is NaN, though the weights it would meet are 0. Certificates
 * count on it, as a dense execution multiplies those zeros.
 */
export function supportedRadius(r: Tensor, absolute: Tensor, s: Support, bias?: Tensor): Tensor {
  return withNaN(supportedProduct(r, absolute, s, bias), r);
}

/** W^T dy: the gradient of x. */
export const supportedTranspose = (dy: Tensor, w: Tensor, s: Support): Tensor =>
  transposed(new Laid(dy), w, valuesOf(s, w), s);

function transposed(laid: Laid, w: Tensor, values: Tensor, s: Support): Tensor {
  const dy = laid.x;
  check(s, dy, s.forward.to.shape, w);
  const dx = product(s, s.transposed, laid, values, 0);
  return record(
    dx,
    [dy, w],
    [(h) => supportedProduct(h, w, s), (h) => weightGrad(new Laid(h), laid, w.shape, s)],
  );
}

/** The gradient of W on the support, 0 elsewhere. */
function weightGrad(input: Laid, output: Laid, shape: Shape, s: Support): Tensor {
  const { from, to, passes } = s.sampled;
  const [x, dy] = [input.x, output.x];
  check(s, x, from.shape);
  check(s, dy, to.shape);
  const values = empty(x.engine, [s.nnz]);
  const planes = [input.all(s, from), to.plain ? dy.ptr : output.all(s, to)] as const;
  const size = to.plain ? sizeOf(to.shape) : to.planes.size;
  for (const { rows, nnz, groups, starts, offsets, places } of passes)
    x.engine.run(
      ...(['sparse_sampled', rows, nnz, blockCount(s, x.shape[0]!), groups, starts] as const),
      ...([offsets, places, planes[0], 4 * from.planes.size, planes[1], 4 * size] as const),
      ...([4 * to.planes.channel, values.ptr] as const),
    );
  const dw = scattered(x.engine, shape, { mask: s.mask, at: s.at, values });
  return record(
    dw,
    [x, dy],
    [(h) => transposed(output, h, valuesOf(s, h), s), (h) => supportedProduct(x, h, s)],
  );
}
