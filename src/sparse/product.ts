/**
 * Convolutions and dense layers over the non-zeros of their weight: the product, its transpose in x and
 * its gradient in the weight's values (assembly/sparse.ts). Like those of tensor/ops/product.ts the three
 * are closed under differentiation.
 *
 * Operands are packed as planes with margins, once: a backward pass uses what the forward pass and
 * the other gradient packed. Copies and products take turns over as many images as stay cached.
 * Cost: 2 flops a non-zero and output, and the copies: about 1 ns an element.
 */
import { expect } from '../errors';
import type { Engine } from '../runtime/engine';
import { element, type OptionalPtr, type Ptr } from '../runtime/kernels';
import type { ConvShape } from '../tensor/convolution';
import { sumTo } from '../tensor/ops/core';
import { withNaN } from '../tensor/ops/interval';
import { channelSum } from '../tensor/ops/product';
import { type Shape, sizeOf } from '../tensor/shape';
import { record } from '../tensor/tape';
import { empty, type Tensor } from '../tensor/tensor';
import { copyCall, mergeCalls, splitCalls, type View, viewOfImages, viewOfPlanes } from './calls';
import type { Direction, Encoding, OperandLayout } from './encoding';
import type { SparsityPattern } from './pattern';
import type { Planes } from './tables';
import { type SparseWeight, sparseWeight } from './weight';

/** Bytes of planes a thread that are packed and used before the next ones are. */
const CACHED = 1 << 18;

/** Blocks of lanes for a batch; the last one may have room. */
const blockCount = ({ lanes }: Encoding, batch: number): number => Math.ceil(batch / lanes);

/** Blocks [first, end) of images and of planes. */
interface Part {
  readonly first: number;
  readonly end: number;
}

/** A batch in parts of blocks whose planes stay cached, each thread having a cache of its own. */
function partsOf(
  s: Encoding,
  { planes: { size } }: OperandLayout,
  { engine, shape }: Tensor,
): Part[] {
  const blocks = blockCount(s, shape[0]!);
  const step = Math.max(1, Math.floor((CACHED * engine.threads) / (4 * size)));
  return Array.from({ length: Math.ceil(blocks / step) }, (_, i) => ({
    first: i * step,
    end: Math.min(blocks, (i + 1) * step),
  }));
}

/** `into`: from images to planes; else back. `planes` are those of the part's first block. */
function copy(
  { lanes }: Encoding,
  layout: OperandLayout,
  into: boolean,
  { first, end }: Part,
  x: Tensor,
  planes: Ptr,
): void {
  const { engine } = x;
  const batch = x.shape[0]!;
  // Image by image is faster, but nothing that threads could share.
  const even = !!layout.split && layout.shape[2] % layout.split[1] === 0;
  const phases = lanes === 1 && even && engine.threads <= 2;
  // Without lanes, images lie apart in both.
  const step = lanes === 1 && !phases ? end - first : 1;
  for (let b = first; b < end; b += step) {
    const count = Math.min(batch - b * lanes, step * lanes);
    const images = viewOfImages(element(x.ptr, b * lanes * sizeOf(layout.shape)), layout.shape);
    const ptr = element(planes, (b - first) * layout.planes.size);
    const view = viewOfPlanes(ptr, layout.planes, lanes === 1 ? layout.planes.size : 1);
    const ends = into ? ([images, view] as const) : ([view, images] as const);
    if (!layout.split) run(engine, [copyCall(engine, count, layout.shape, ...ends)]);
    else if (phases) copyPhases(engine, layout, into, images, view);
    else if (into) run(engine, splitCalls(engine, count, layout.shape, layout.split, ...ends));
    else run(engine, mergeCalls(engine, count, layout.shape, layout.split, ...ends));
  }
}

function run(engine: Engine, calls: ReturnType<typeof splitCalls>): void {
  for (const call of calls) engine.start(call);
}

/** All phases of the lines of one image, whose width they share out evenly. */
function copyPhases(
  engine: Engine,
  layout: OperandLayout,
  into: boolean,
  whole: View,
  split: View,
): void {
  const [c, h, w] = layout.shape;
  const [sy, sx] = layout.split!;
  const phase = c * split.channel;
  for (let py = 0; py < sy; py++) {
    const images = element(whole.ptr, py * whole.line);
    const planes = element(split.ptr, py * sx * phase);
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

/** Packs a part of the images of a tensor, zero around them. */
function pack(s: Encoding, layout: OperandLayout, part: Part, x: Tensor, planes: Ptr): void {
  const { size } = layout.planes;
  const at = element(planes, part.first * size);
  x.engine.run('fill', (part.end - part.first) * size, 0, at);
  copy(s, layout, true, part, x, at);
}

/** The planes of `x`, not packed yet. */
const planesFor = (s: Encoding, { planes }: OperandLayout, x: Tensor): Tensor =>
  empty(x.engine, [blockCount(s, x.shape[0]!) * planes.size]);

/** The planes of a tensor: made when first asked for. */
class PackedTensor {
  readonly x: Tensor;
  #planes: Tensor | undefined;

  constructor(x: Tensor) {
    this.x = x;
  }

  /** Packs part after part, if that was not done, and calls `use` after each. */
  each(s: Encoding, layout: OperandLayout, use: (part: Part, planes: Ptr) => void): void {
    const { x } = this;
    const done = this.#planes;
    this.#planes ??= planesFor(s, layout, x);
    for (const part of partsOf(s, layout, x)) {
      if (!done) pack(s, layout, part, x, this.#planes.ptr);
      use(part, element(this.#planes.ptr, part.first * layout.planes.size));
    }
  }

  all(s: Encoding, layout: OperandLayout): Ptr {
    if (!this.#planes) this.each(s, layout, () => {});
    return this.#planes!.ptr;
  }
}

/** [c, h, w] as a batch like `x`: [batch, c, h, w], or [batch, features] where samples are flat. */
const shapedLike = ({ shape }: Tensor, [c, h, w]: Planes['shape']): Shape =>
  shape.length === 2 ? [shape[0]!, c] : [shape[0]!, c, h, w];

/** The product in one direction: images to images. */
function product(
  s: Encoding,
  direction: Direction,
  packed: PackedTensor,
  values: Tensor,
  bias: OptionalPtr,
): Tensor {
  const { engine } = values;
  const { from, to, passes } = direction;
  const y = empty(engine, shapedLike(packed.x, to.shape));
  const ordered = passes.map(({ order, nnz }) => {
    if (!order) return values.ptr;
    const ptr = engine.arena.alloc(4 * nnz);
    engine.run('take_rows', nnz, 1, values.ptr, order, ptr);
    return ptr;
  });
  const most = Math.max(0, ...partsOf(s, from, packed.x).map(({ first, end }) => end - first));
  const buffer = to.plain ? y.ptr : empty(engine, [most * to.planes.size]).ptr;
  const size = to.plain ? sizeOf(to.shape) : to.planes.size;
  packed.each(s, from, (part, planes) => {
    const output = to.plain ? element(y.ptr, part.first * size) : buffer;
    for (const [i, { rows, tiles, starts, offsets, places, masks }] of passes.entries())
      engine.run(
        ...(['sparse_product', rows, part.end - part.first, tiles, starts] as const),
        ...([ordered[i]!, offsets, places, masks, bias, planes, 4 * from.planes.size] as const),
        ...([output, 4 * size, 4 * to.planes.channel, -Infinity, Infinity] as const),
      );
    if (!to.plain) copy(s, to, false, part, y, buffer);
  });
  return y;
}

function check(x: Tensor, shape: Shape): void {
  const size = x.shape[0]! * sizeOf(shape);
  expect(x.size === size, 'sparse product', `samples of ${sizeOf(shape)}`, `[${x.shape}]`);
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
export function sparseProduct(
  x: Tensor,
  { pattern, values }: SparseWeight,
  conv: ConvShape,
  bias?: Tensor,
): Tensor {
  const s = pattern.encodingFor(conv, x.shape[0]!);
  check(x, s.forward.from.shape);
  const input = new PackedTensor(x);
  const y = product(s, s.forward, input, values, bias?.ptr ?? 0);
  const packed = lastOf((dy: Tensor) => new PackedTensor(dy));
  return record(y, bias ? [x, values, bias] : [x, values], [
    (dy) => transposed(packed(dy), pattern, values, s),
    (dy) => sampled(input, packed(dy), pattern, s),
    (dy) => (dy.shape.length === 2 ? sumTo(dy, [dy.shape[1]!]) : channelSum(dy)),
  ]);
}

/**
 * |W| r (+ bias) of |W|, with the NaN of a dense product: where a radius of a sample is no number or too
 * large for one, all of its result is NaN, though the weights it would meet are 0. Certificates
 * count on it, as a dense execution multiplies those zeros.
 */
export function sparseRadius(
  r: Tensor,
  absolute: SparseWeight,
  conv: ConvShape,
  bias?: Tensor,
): Tensor {
  return withNaN(sparseProduct(r, absolute, conv, bias), r);
}

/** W^T dy: the gradient of x. */
export const sparseTranspose = (
  dy: Tensor,
  { pattern, values }: SparseWeight,
  conv: ConvShape,
): Tensor =>
  transposed(new PackedTensor(dy), pattern, values, pattern.encodingFor(conv, dy.shape[0]!));

function transposed(
  packed: PackedTensor,
  pattern: SparsityPattern,
  values: Tensor,
  s: Encoding,
): Tensor {
  const dy = packed.x;
  check(dy, s.forward.to.shape);
  const dx = product(s, s.transposed, packed, values, 0);
  return record(
    dx,
    [dy, values],
    [
      (h) => sparseProduct(h, sparseWeight(pattern, values), s.conv),
      (h) => sampled(new PackedTensor(h), packed, pattern, s),
    ],
  );
}

/** The gradient of the values. */
function sampled(
  input: PackedTensor,
  output: PackedTensor,
  pattern: SparsityPattern,
  s: Encoding,
): Tensor {
  const { from, to, passes } = s.sampled;
  const [x, dy] = [input.x, output.x];
  check(x, from.shape);
  check(dy, to.shape);
  const values = empty(x.engine, [pattern.nnz]);
  const planes = [input.all(s, from), to.plain ? dy.ptr : output.all(s, to)] as const;
  const size = to.plain ? sizeOf(to.shape) : to.planes.size;
  for (const { rows, nnz, tiles, starts, offsets, places } of passes)
    x.engine.run(
      ...(['sparse_sampled', rows, nnz, blockCount(s, x.shape[0]!), tiles, starts] as const),
      ...([offsets, places, planes[0], 4 * from.planes.size, planes[1], 4 * size] as const),
      ...([4 * to.planes.channel, values.ptr] as const),
    );
  return record(
    values,
    [x, dy],
    [
      (h) => transposed(output, pattern, h, s),
      (h) => sparseProduct(x, sparseWeight(pattern, h), s.conv),
    ],
  );
}
