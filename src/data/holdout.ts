/**
 * Holding out a part of the training split, for choosing thresholds and stopping early without a
 * look at the test split.
 *
 * Each class gives its share, rounded by largest remainder; which of its samples go is the order of
 * one Philox permutation (stream `split`, index 0). So (count, seed) alone decides, and at one seed
 * a larger held-out part contains nearly all of a smaller one. Cost: one copy of the images.
 */
import { expect } from '../errors';
import { permutation, STREAMS } from '../tensor/philox';
import type { Split } from './types';

/**
 * Cuts `count` samples out of `train`, whose images have the given [C, H, W]. Both parts keep the
 * order of `train` and are copies. 0 <= count < train.count; raises EspalierError otherwise.
 */
export function holdout(
  train: Split,
  shape: readonly [number, number, number],
  count: number,
  seed: number,
): { train: Split; held: Split } {
  const fits = Number.isInteger(count) && count >= 0 && count < train.count;
  expect(fits, 'held-out samples', `an integer in [0, ${train.count})`, count);
  const left = shares(train.labels, count);
  const out = new Uint8Array(train.count);
  for (const sample of permutation(seed, STREAMS.split, 0, train.count)) {
    const label = train.labels[sample]!;
    if (left[label]! > 0) {
      left[label]!--;
      out[sample] = 1;
    }
  }
  const size = shape[0] * shape[1] * shape[2];
  return { train: select(train, size, out, 0), held: select(train, size, out, 1) };
}

/** Number of samples of each label, `count` in all, by largest remainder. */
function shares(labels: Uint8Array, count: number): Uint32Array {
  const present = new Uint32Array(256);
  for (const label of labels) present[label]!++;
  const taken = new Uint32Array(256);
  const rest: { label: number; remainder: number }[] = [];
  let left = count;
  for (let label = 0; label < 256; label++) {
    // Integers throughout (the product is below 2^53), so ties are exact.
    const product = count * present[label]!;
    taken[label] = Math.floor(product / labels.length);
    left -= taken[label]!;
    rest.push({ label, remainder: product % labels.length });
  }
  rest.sort((a, b) => b.remainder - a.remainder || a.label - b.label);
  for (const { label } of rest.slice(0, left)) taken[label]!++;
  return taken;
}

/** The samples whose mark is `wanted`, in order; `size` bytes an image. */
function select(split: Split, size: number, marks: Uint8Array, wanted: number): Split {
  let count = 0;
  for (const mark of marks) if (mark === wanted) count++;
  const images = new Uint8Array(count * size);
  const labels = new Uint8Array(count);
  let to = 0;
  for (let i = 0; i < split.count; i++) {
    if (marks[i] !== wanted) continue;
    images.set(split.images.subarray(i * size, (i + 1) * size), to * size);
    labels[to++] = split.labels[i]!;
  }
  return { images, labels, count };
}
