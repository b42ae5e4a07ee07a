/**
 * Convolutions and dense layers whose weight is 0 outside of a support: the product, its transpose
 * in x and its gradient on the support, all over the non-zeros (assembly/sparse.ts). Like those of
 * product.ts the three are closed under differentiation. Gradients of the weight are 0 outside of
 * the support.
 *
 * Convolutions run image by image over padded copies; dense layers take 32 samples as lanes.
 * Cost: 2 flops a non-zero and output, and the copies: about 1 ns an element.
 */
import { expect } from '../errors';
import type { Call, Engine } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { add, affine, reshape, sumTo } from './ops/core';
import { channelSum } from './ops/product';
import { type Shape, sizeOf } from './shape';
import {
  type ConvSizes,
  forwardPass,
  GROUP,
  intoSplitOutput,
  marginsOf,
  overSplitInput,
  type Pass,
  type Planes,
  phasesOf,
  planesOf,
  transposedPasses,
} from './sparse';
import {
  copyCall,
  encode,
  mergeCalls,
  type SparsePass,
  splitCalls,
  type View,
  viewOfImages,
  viewOfPlanes,
} from './sparse-calls';
import { record } from './tape';
import { empty, filled, type Tensor } from './tensor';

/** Samples side by side in a dense layer: two groups. */
const DENSE_LANES = 2 * GROUP;

/** Images as tensors have them, and the planes that a product reads or writes. */
interface End {
  /** [c, h, w] of an image. */
  readonly shape: Planes['shape'];
  readonly planes: Planes;
  /** Of the planes, if they are split. */
  readonly split: readonly [number, number] | undefined;
  /** Whether the planes are just the images. */
  readonly plain: boolean;
}

interface Side {
  readonly from: End;
  readonly to: End;
  readonly passes: readonly SparsePass[];
}

/** A support, encoded for one geometry. */
export interface Support {
  readonly sizes: ConvSizes;
  readonly lanes: number;
  readonly nnz: number;
  readonly forward: Side;
  readonly transposed: Side;
  /** The forward side with groups that do not overlap. */
  readonly sampled: Side;
  /** Gives its tables back. */
  free(): void;
}

/**
 * Encodes where `mask` [oc, c, kh, kw] is not 0, which must stay as it is. Its memory is kept until
 * `free`.
 */
export function supportOf(mask: Tensor, sizes: ConvSizes): Support {
  const [c, h, w, oc, kh, kw] = sizes;
  const { engine } = mask;
  expect(mask.size === oc * c * kh * kw, 'supportOf', `${oc * c * kh * kw} weights`, mask.size);
  const blocks: Ptr[] = [];
  const keep = (bytes: number): Ptr => {
    blocks.push(engine.memory.alloc(bytes));
    return blocks.at(-1)!;
  };
  const lanes = h * w * kh * kw === 1 ? DENSE_LANES : 1;
  const job = { mask, sizes, lanes, keep };
  const forward = sideOf(job, false, true);
  const overlaps = forward.to.plain && forward.to.shape[2] % GROUP !== 0;
  const [transposed, sampled] = [
    once(() => sideOf(job, true, true)),
    once(() => (overlaps ? sideOf(job, false, false) : forward)),
  ];
  return {
    sizes,
    lanes,
    nnz: forward.passes.reduce((sum, { nnz }) => sum + nnz, 0),
    forward,
    get transposed() {
      return transposed();
    },
    get sampled() {
      return sampled();
    },
    free: () => {
      for (const ptr of blocks.splice(0)) engine.memory.free(ptr);
    },
  };
}

/** Encoded when first asked for: bounds and values need one side only. */
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

interface SideJob {
  readonly mask: Tensor;
  readonly sizes: ConvSizes;
  readonly lanes: number;
  keep(bytes: number): Ptr;
}

/** `lines`: whether outputs may go line by line, with groups that overlap. */
function sideOf({ mask, sizes, lanes, keep }: SideJob, transposed: boolean, lines: boolean): Side {
  const [c, h, w, oc, , , sh, sw, , , , , oh, ow] = sizes;
  const [x, y] = [[c, h, w] as const, [oc, oh, ow] as const];
  const [input, output] = transposed ? [y, x] : [x, y];
  const strided = sh * sw > 1;
  const steps = transposed ? ([Math.min(sh, h), Math.min(sw, w)] as const) : ([sh, sw] as const);
  const whole = transposed ? transposedPasses(sizes) : [forwardPass(sizes)];
  const split = transposed ? intoSplitOutput(whole) : whole.map(overSplitInput);
  const passes: readonly Pass[] = strided ? split : whole;
  const inSplit = strided && !transposed ? steps : undefined;
  const outSplit = strided && transposed ? steps : undefined;
  const inShape = inSplit ? phasesOf(input, inSplit) : input;
  const outShape = outSplit ? phasesOf(output, outSplit) : output;
  const margins = marginsOf(passes, inShape);
  const first = planesOf(inShape, lanes, margins);
  // Whole lines go straight into the result.
  const plain = lines && !outSplit && lanes === 1 && outShape[2] >= GROUP;
  const target = plain
    ? { ...planesOf(outShape, 1), channel: outShape[1] * outShape[2] }
    : planesOf(outShape, lanes, undefined, first.line / lanes);
  const source = plain ? first : planesOf(inShape, lanes, margins, target.line / lanes);
  return {
    from: { shape: input, planes: source, split: inSplit, plain: false },
    to: { shape: output, planes: target, split: outSplit, plain },
    passes: passes.map((pass) =>
      encode({
        ...{ engine: mask.engine, keep, weight: mask, sizes, pass, source, target, transposed },
      }),
    ),
  };
}

/** Blocks of lanes for a batch; the last one may have room. */
const blocksOf = ({ lanes }: Support, batch: number): number => Math.ceil(batch / lanes);

function start(engine: Engine, calls: readonly Call[]): void {
  for (const call of calls) engine.start(call, 0);
}

/** For every block its images and its planes: one of all images where there is one lane. */
function viewsOf(
  { lanes }: Support,
  { shape, planes: { size }, planes }: End,
  batch: number,
  images: Ptr,
  ptr: Ptr,
): (readonly [count: number, images: View, planes: View])[] {
  if (lanes === 1) return [[batch, viewOfImages(images, shape), viewOfPlanes(ptr, planes, size)]];
  return Array.from({ length: Math.ceil(batch / lanes) }, (_, b) => [
    Math.min(lanes, batch - b * lanes),
    viewOfImages(images + 4 * b * lanes * sizeOf(shape), shape),
    viewOfPlanes(ptr + 4 * b * size, planes),
  ]);
}

/** The images of a tensor as planes, zero around them. */
function intoPlanes(s: Support, end: End, x: Tensor): Ptr {
  const { engine } = x;
  const batch = x.shape[0]!;
  const { ptr } = filled(engine, [blocksOf(s, batch) * end.planes.size], 0);
  for (const [count, images, planes] of viewsOf(s, end, batch, x.ptr, ptr))
    start(
      engine,
      end.split
        ? splitCalls(engine, count, end.shape, end.split, images, planes)
        : [copyCall(engine, count, end.shape, images, planes)],
    );
  return ptr;
}

const flat = ({ sizes: [, h, w, , kh, kw] }: Support): boolean => h * w * kh * kw === 1;

/** As tensors have it: [batch, c, h, w], or [batch, features] of a dense layer. */
const shaped = (s: Support, batch: number, [c, h, w]: Planes['shape']): Shape =>
  flat(s) ? [batch, c] : [batch, c, h, w];

/** The product of one side: images to images. */
function product(s: Support, side: Side, x: Tensor, w: Tensor, bias: Ptr): Tensor {
  const { engine } = x;
  const { from, to, passes } = side;
  const batch = x.shape[0]!;
  const blocks = blocksOf(s, batch);
  const y = empty(engine, shaped(s, batch, to.shape));
  const input = intoPlanes(s, from, x);
  const output = to.plain ? y.ptr : empty(engine, [blocks * to.planes.size]).ptr;
  const yImage = to.plain ? sizeOf(to.shape) : to.planes.size;
  for (const pass of passes) {
    const { rows, nnz, groups, starts, offsets, places, masks, weights } = pass;
    const values = engine.arena.alloc(4 * nnz);
    engine.run('take_rows', nnz, 1, w.ptr, weights, values);
    engine.run(
      ...(['sparse_product', rows, blocks, groups, starts, values, offsets, places] as const),
      ...([masks, bias, input, 4 * from.planes.size, output, 4 * yImage] as const),
      ...([4 * to.planes.channel, -Infinity, Infinity] as const),
    );
  }
  if (to.plain) return y;
  for (const [count, images, planes] of viewsOf(s, to, batch, y.ptr, output))
    start(
      engine,
      to.split
        ? mergeCalls(engine, count, to.shape, to.split, planes, images)
        : [copyCall(engine, count, to.shape, planes, images)],
    );
  return y;
}

function check(s: Support, x: Tensor, shape: Shape, w?: Tensor): void {
  const [c, , , oc, kh, kw] = s.sizes;
  const size = x.shape[0]! * sizeOf(shape);
  expect(x.size === size, 'sparse product', `samples of ${sizeOf(shape)}`, `[${x.shape}]`);
  if (w) expect(w.size === oc * c * kh * kw, 'sparse product', 'its weight', `[${w.shape}]`);
}

/** W x (+ bias). */
export function supportedProduct(x: Tensor, w: Tensor, s: Support, bias?: Tensor): Tensor {
  check(s, x, s.forward.from.shape, w);
  const y = product(s, s.forward, x, w, bias?.ptr ?? 0);
  return record(y, bias ? [x, w, bias] : [x, w], [
    (dy) => supportedTranspose(dy, w, s),
    (dy) => supportedWeightGrad(x, dy, w.shape, s),
    (dy) => (flat(s) ? sumTo(dy, [dy.shape[1]!]) : channelSum(dy)),
  ]);
}

/**
 * |W| r (+ bias) with the NaN of a dense product: where a radius of a sample is no number or too
 * large for one, all of its result is NaN, though the weights it would meet are 0. Certificates
 * count on it, as a dense execution multiplies those zeros.
 */
export function supportedRadius(r: Tensor, absolute: Tensor, s: Support, bias?: Tensor): Tensor {
  const y = supportedProduct(r, absolute, s, bias);
  const n = r.shape[0]!;
  const total = sumTo(reshape(r, [n, r.size / n]), [n, 1]);
  return add(y, reshape(affine(total, 0, 0), [n, ...y.shape.slice(1).map(() => 1)]));
}

/** W^T dy: the gradient of x. */
export function supportedTranspose(dy: Tensor, w: Tensor, s: Support): Tensor {
  check(s, dy, s.forward.to.shape, w);
  const dx = product(s, s.transposed, dy, w, 0);
  return record(
    dx,
    [dy, w],
    [(h) => supportedProduct(h, w, s), (h) => supportedWeightGrad(h, dy, w.shape, s)],
  );
}

/** The gradient of W on the support, 0 elsewhere. */
export function supportedWeightGrad(x: Tensor, dy: Tensor, shape: Shape, s: Support): Tensor {
  const { from, to, passes } = s.sampled;
  check(s, x, from.shape);
  check(s, dy, to.shape);
  const { engine } = x;
  const dw = filled(engine, shape, 0);
  const input = intoPlanes(s, from, x);
  const output = to.plain ? dy.ptr : intoPlanes(s, to, dy);
  const yImage = to.plain ? sizeOf(to.shape) : to.planes.size;
  for (const { rows, nnz, groups, starts, offsets, places, weights } of passes) {
    const values = engine.arena.alloc(4 * nnz);
    engine.run(
      ...([
        'sparse_sampled',
        rows,
        nnz,
        blocksOf(s, x.shape[0]!),
        groups,
        starts,
        offsets,
      ] as const),
      ...([places, input, 4 * from.planes.size, output, 4 * yImage] as const),
      ...([4 * to.planes.channel, values] as const),
    );
    engine.run('add_rows', nnz, 1, values, weights, dw.ptr);
  }
  return record(
    dw,
    [x, dy],
    [(h) => supportedTranspose(dy, h, s), (h) => supportedProduct(x, h, s)],
  );
}
