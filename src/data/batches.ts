/**
 * Batches: which samples, and their images as floats.
 *
 * Order is keyed by (seed, epoch), augmentation by (seed, epoch, sample), so what a sample looks
 * like in an epoch depends neither on the batch size, nor on where the run was resumed, nor on
 * threads. Cost: one table look-up a pixel.
 */
import { expect } from '../errors';
import { block, permutation, STREAMS } from '../tensor/philox';
import { sizeOf } from '../tensor/shape';
import { channelsLast } from './layout';
import type { DataSet, Split } from './types';

export interface EpochOptions {
  /** Safe integer >= 0. */
  readonly seed: number;
  /** 0, 1, 2, ... */
  readonly epoch: number;
  /** A fresh order each epoch, or the split's own order. */
  readonly shuffle: boolean;
  /** Leave out the last batch if it is short, or keep it short. */
  readonly dropLast: boolean;
}

export interface Augment {
  /** Zero padding on each side, in pixels, before a random crop to the original size; 0: none. */
  readonly pad: number;
  /** Mirror left to right with probability 1/2. */
  readonly flip: boolean;
  /**
   * Side of a square of zeros about a random pixel, cut at the edges (DeVries and Taylor 2017, arXiv
   * 1708.04552); 0 or absent: none.
   */
  readonly cutout?: number;
  readonly seed: number;
  readonly epoch: number;
}

/**
 * Sample indices of one epoch's batches: shuffled by (seed, epoch), the last short batch dropped or
 * kept. `count` samples, `batch` >= 1 of them at a time; with `dropLast`, batch <= count, as an epoch
 * without a batch would train nothing. Raises EspalierError otherwise.
 */
export function epochBatches(count: number, batch: number, options: EpochOptions): Int32Array[] {
  const { seed, epoch, shuffle, dropLast } = options;
  expect(Number.isInteger(count) && count >= 1, 'sample count', 'an integer >= 1', count);
  expect(Number.isInteger(batch) && batch >= 1, 'batch size', 'an integer >= 1', batch);
  if (dropLast) expect(batch <= count, 'batch size', `at most the ${count} samples`, batch);
  const order = shuffle
    ? permutation(seed, STREAMS.shuffle, epoch, count)
    : Int32Array.from({ length: count }, (_, i) => i);
  const batches: Int32Array[] = [];
  const end = dropLast ? count - batch + 1 : count;
  for (let at = 0; at < end; at += batch) batches.push(order.subarray(at, at + batch));
  return batches;
}

/**
 * Writes the images of `indices` as floats in [0, 1], [n, C, H, W] (or [n, H, W, C], if that is the
 * set's layout), into the beginning of `out`, augmented if asked. Raises EspalierError if `out` is too short or an index is outside the split.
 */
export function fillBatch(
  split: Split,
  set: Pick<DataSet, 'shape' | 'unit' | 'layout'>,
  indices: Int32Array,
  out: Float32Array,
  augment?: Augment,
): void {
  const size = set.shape[0] * set.shape[1] * set.shape[2];
  checkFill(split, indices, out.length, size);
  // Division once a value, so that every pixel is the correctly rounded quotient.
  const scale = new Float32Array(256);
  for (let value = 0; value < 256; value++) scale[value] = value / set.unit;
  const { images } = split;
  const place = set.layout === 'hwc' ? channelsLast(set.shape) : undefined;
  for (let n = 0; n < indices.length; n++) {
    const from = indices[n]! * size;
    const to = n * size;
    if (augment) {
      const view = placement(augment, indices[n]!);
      fillMoved({ images, from, shape: set.shape, scale, place, ...view }, out, to);
      cutOut(augment, indices[n]!, set.shape, place, out.subarray(to, to + size));
    } else if (place) {
      for (let i = 0; i < size; i++) out[to + place[i]!] = scale[images[from + i]!]!;
    } else {
      for (let i = 0; i < size; i++) out[to + i] = scale[images[from + i]!]!;
    }
  }
}

/** Writes the labels of `indices` into the beginning of `out`. Raises as `fillBatch` does. */
export function fillLabels(split: Split, indices: Int32Array, out: Int32Array): void {
  checkFill(split, indices, out.length, 1);
  for (let n = 0; n < indices.length; n++) out[n] = split.labels[indices[n]!]!;
}

/** The offset in [-pad, pad] and the mirroring of one sample in one epoch. */
function placement(augment: Augment, sample: number): { dy: number; dx: number; flip: boolean } {
  const { pad, seed, epoch } = augment;
  expect(Number.isInteger(pad) && pad >= 0, 'augment pad', 'an integer >= 0', pad);
  const [y, x, mirror] = block(seed, STREAMS.augment, epoch, sample);
  // Scaled words: not exactly uniform, by less than (2 pad + 1) / 2^32.
  const side = (2 * pad + 1) / 0x100000000;
  return {
    dy: Math.floor(y * side) - pad,
    dx: Math.floor(x * side) - pad,
    flip: augment.flip && (mirror & 1) === 1,
  };
}

/** Zeroes the square of one sample in one epoch. */
function cutOut(
  { cutout = 0, seed, epoch }: Augment,
  sample: number,
  [channels, height, width]: DataSet['shape'],
  place: Int32Array | undefined,
  image: Float32Array,
): void {
  expect(Number.isInteger(cutout) && cutout >= 0, 'augment cutout', 'an integer >= 0', cutout);
  if (cutout === 0) return;
  const [a, b] = block(seed, STREAMS.cutout, epoch, sample);
  const range = (word: number, size: number): [from: number, to: number] => {
    const from = Math.floor((word / 0x100000000) * size) - Math.floor(cutout / 2);
    return [Math.max(0, from), Math.min(size, from + cutout)];
  };
  const [[top, bottom], [left, right]] = [range(a, height), range(b, width)];
  for (let c = 0; c < channels; c++)
    for (let y = top; y < bottom; y++)
      for (let x = left; x < right; x++) {
        const at = (c * height + y) * width + x;
        image[place?.[at] ?? at] = 0;
      }
}

interface Moved {
  readonly images: Uint8Array;
  readonly from: number;
  readonly shape: DataSet['shape'];
  readonly scale: Float32Array;
  /** Place of each value; undefined for one after the other. */
  readonly place: Int32Array | undefined;
  readonly dy: number;
  readonly dx: number;
  readonly flip: boolean;
}

/** One image seen through a window moved by (dy, dx), zeros outside it, then mirrored. */
function fillMoved(source: Moved, out: Float32Array, to: number): void {
  const { images, from, scale, place, dy, dx, flip } = source;
  const [channels, height, width] = source.shape;
  let o = 0;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      const row = y + dy;
      const inside = row >= 0 && row < height;
      const start = from + (c * height + row) * width;
      for (let x = 0; x < width; x++) {
        const column = (flip ? width - 1 - x : x) + dx;
        const hit = inside && column >= 0 && column < width;
        out[to + (place?.[o] ?? o)] = hit ? scale[images[start + column]!]! : 0;
        o++;
      }
    }
  }
}

function checkFill(split: Split, indices: Int32Array, length: number, size: number): void {
  const needed = indices.length * size;
  expect(length >= needed, 'batch', `room for ${needed} values`, length);
  for (const index of indices)
    expect(index >= 0 && index < split.count, 'sample index', `one in [0, ${split.count})`, index);
}

/** Images [from, to) of a split as floats, with labels and positions. */
export function batchOf(
  set: DataSet,
  split: Split,
  from: number,
  to: number,
): { images: Float32Array; labels: Int32Array; index: Int32Array } {
  const index = Int32Array.from({ length: to - from }, (_, i) => from + i);
  const images = new Float32Array(index.length * sizeOf(set.shape));
  const labels = new Int32Array(index.length);
  fillBatch(split, set, index, images);
  fillLabels(split, index, labels);
  return { images, labels, index };
}
