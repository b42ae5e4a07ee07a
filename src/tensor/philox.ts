/**
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011).
 *
 * A draw is a pure function of (seed, stream, index, block), so it is the same at any thread count,
 * at any batch size and after a resume; nothing here holds state that a checkpoint would have to
 * save. The 128-bit counter is [block, index low, stream, index high], as in the kernels of
 * assembly/random.ts (whose index has 32 bits), the key the seed's two halves; one block gives four
 * 32-bit words.
 *
 * Integer arithmetic only (`Math.imul` and 16-bit halves), hence bitwise equal on every engine.
 * Cost: ten rounds, about 0.1 microseconds a block; bulk draws belong to the kernels.
 */
import { expect } from '../errors';

/** Four unsigned 32-bit words. */
export type Words4 = [number, number, number, number];

/**
 * The stream numbers, one for each use, so that no two uses share a draw. What `index` counts is
 * said beside each.
 */
export const STREAMS = {
  /** Initial weights; index: the parameter's position in the network. */
  init: 1,
  /** The order of samples; index: the epoch. */
  shuffle: 2,
  /** Crops and flips; index: the epoch, block: the sample. */
  augment: 3,
  /** Random starts and search directions of attacks; index: the sample. */
  attack: 4,
  /** Dropout masks; index: the sample (the seed counts epochs and nodes on). */
  dropout: 5,
  /** Held-out subsets; index: 0. */
  split: 6,
  /** Random scores and masks; index: the parameter's position in the network. */
  prune: 7,
  /** Additive noise; index: the sample or the step. */
  noise: 8,
  /** Noise of randomised smoothing; index: the sample (the seed's high half is the image). */
  smoothing: 9,
  /** Samples of a batch that get a bound; index: the sample (the seed counts epochs on). */
  samples: 10,
  /** Squares cut out of images; index: the epoch, block: the sample. */
  cutout: 11,
} as const;

/** The high 32 bits of the 64-bit product of two unsigned words. */
function mulHi(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  // Each partial sum stays below 2^32, so doubles hold it exactly and `>>>` reads it unsigned.
  const low = a1 * b0 + ((a0 * b0) >>> 16);
  const mid = a0 * b1 + (low & 0xffff);
  return (a1 * b1 + (low >>> 16) + (mid >>> 16)) >>> 0;
}

/** Philox4x32-10 itself. `counter` and `key` are unsigned 32-bit words, least significant first. */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const hi0 = mulHi(0xd2511f53, c0);
    const lo0 = Math.imul(0xd2511f53, c0);
    const hi1 = mulHi(0xcd9e8d57, c2);
    const lo1 = Math.imul(0xcd9e8d57, c2);
    c0 = (hi1 ^ c1 ^ k0) >>> 0;
    c1 = lo1 >>> 0;
    c2 = (hi0 ^ c3 ^ k1) >>> 0;
    c3 = lo0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/**
 * One block of four words for (seed, stream, index).
 *
 * `seed` and `index` are safe integers >= 0, `stream` and `number` unsigned 32-bit. Raises
 * EspalierError otherwise.
 */
export function block(seed: number, stream: number, index: number, number: number): Words4 {
  checkNatural(seed, 'seed');
  checkNatural(index, 'random index');
  expect(stream >>> 0 === stream, 'random stream', 'an unsigned 32-bit integer', stream);
  expect(number >>> 0 === number, 'random block', 'an unsigned 32-bit integer', number);
  return philox([number, index >>> 0, stream, high(index)], [seed >>> 0, high(seed)]);
}

/**
 * A uniformly random order of 0 .. n-1: Fisher-Yates from the end, bounded draws without bias
 * (Lemire 2019, rejection on the low half of the product). 0 <= n < 2^31.
 */
export function permutation(seed: number, stream: number, index: number, n: number): Int32Array {
  expect(n >>> 0 === n && n < 0x80000000, 'permutation', 'a length in [0, 2^31)', n);
  const next = words(seed, stream, index);
  const order = new Int32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  for (let i = n - 1; i > 0; i--) {
    const j = bounded(next, i + 1);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}

/**
 * `n` doubles in [0, 1), multiples of 2^-53; each takes two words (the high 27 and 26 bits). A
 * longer draw begins with the shorter one.
 */
export function uniform(seed: number, stream: number, index: number, n: number): Float64Array {
  expect(n >>> 0 === n, 'uniform', 'an unsigned 32-bit length', n);
  const next = words(seed, stream, index);
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const hi = next() >>> 5;
    const lo = next() >>> 6;
    out[i] = (hi * 0x4000000 + lo) / 0x20000000000000;
  }
  return out;
}

/** The words of (seed, stream, index), block after block. */
function words(seed: number, stream: number, index: number): () => number {
  let number = 0;
  let at = 4;
  let current: Words4 = [0, 0, 0, 0];
  return () => {
    if (at === 4) {
      current = block(seed, stream, index, number++);
      at = 0;
    }
    return current[at++]!;
  };
}

/** A uniform integer in [0, n), 1 <= n < 2^32. */
function bounded(next: () => number, n: number): number {
  let x = next();
  let low = Math.imul(x, n) >>> 0;
  if (low < n) {
    const threshold = (0x100000000 - n) % n;
    while (low < threshold) {
      x = next();
      low = Math.imul(x, n) >>> 0;
    }
  }
  return mulHi(x, n);
}

function high(value: number): number {
  return Math.floor(value / 0x100000000);
}

function checkNatural(value: number, who: string): void {
  expect(Number.isSafeInteger(value) && value >= 0, who, 'a safe integer >= 0', value);
}
