/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", 2011). Element (i, j) of a fill depends on (seed, stream, index of i, j) alone:
 * not on threads, batch size or history. Normals are Box-Muller pairs computed in f64 with
 * plain operations, so both binaries draw the same numbers.
 * Cost: about 10 flops an element uniform, 40 normal.
 */
import { bytes } from './simd';
import { log_scalar } from './transcend';

const UNIT: f64 = 1.0 / 16777216.0;
const HALF_PI: f64 = 1.5707963267948966;

/** Ten rounds on the block (c0..c3) with key (k0, k1); the four words go to y. */
@inline
function block(c0: u32, c1: u32, c2: u32, c3: u32, k0: u32, k1: u32, y: usize): void {
  for (let round = 0; round < 10; round++) {
    const a = <u64>c0 * 0xd2511f53;
    const b = <u64>c2 * 0xcd9e8d57;
    c0 = <u32>(b >> 32) ^ c1 ^ k0;
    c1 = <u32>b;
    c2 = <u32>(a >> 32) ^ c3 ^ k1;
    c3 = <u32>a;
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  store<u32>(y, c0);
  store<u32>(y, c1, 4);
  store<u32>(y, c2, 8);
  store<u32>(y, c3, 12);
}

/** n independent blocks: ctr [n, 4], key [n, 2], y [n, 4], all u32. */
export function philox(n: i32, ctr: usize, key: usize, y: usize, r0: i32, r1: i32): void {
  for (let r = r0; r < r1; r++) {
    const c = ctr + <usize>r * 16;
    const k = key + <usize>r * 8;
    block(
      load<u32>(c), load<u32>(c, 4), load<u32>(c, 8), load<u32>(c, 12),
      load<u32>(k), load<u32>(k, 4), y + <usize>r * 16,
    );
  }
}

@inline
function row_index(index: usize, i: i32): u32 {
  return index ? load<u32>(index + bytes(i)) : <u32>i;
}

/** y[i, j] uniform in [lo, hi]. `work` holds one block. */
export function random_uniform(
  rows_n: i32, cols: i32, seed_lo: u32, seed_hi: u32, stream: u32, index: usize,
  lo: f32, hi: f32, y: usize, work: usize, r0: i32, r1: i32,
): void {
  const range = <f64>hi - <f64>lo;
  for (let i = r0; i < r1; i++) {
    const id = row_index(index, i);
    const row = y + bytes(i) * cols;
    for (let j = 0; j < cols; j += 4) {
      block(<u32>(j >>> 2), id, stream, 0, seed_lo, seed_hi, work);
      const end = min<i32>(4, cols - j);
      for (let e = 0; e < end; e++) {
        const u = <f64>(load<u32>(work + bytes(e)) >>> 8) * UNIT;
        const v = <f32>(<f64>lo + range * u);
        store<f32>(row + bytes(j + e), min<f32>(max<f32>(v, lo), hi));
      }
    }
  }
}

/** cos and sin of t in [-pi/4, pi/4] by their Taylor series; truncation below 1e-14. */
@inline
function cos_small(z: f64): f64 {
  let p = 1.0 / 479001600.0;
  p = p * z - 1.0 / 3628800.0;
  p = p * z + 1.0 / 40320.0;
  p = p * z - 1.0 / 720.0;
  p = p * z + 1.0 / 24.0;
  p = p * z - 0.5;
  return p * z + 1.0;
}

@inline
function sin_small(t: f64, z: f64): f64 {
  let p = 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  return t + t * z * p;
}

/** y[i, j] normal. Words 2p and 2p + 1 of a row make its elements 2p (cosine), 2p + 1 (sine). */
export function random_normal(
  rows_n: i32, cols: i32, seed_lo: u32, seed_hi: u32, stream: u32, index: usize,
  mean: f32, std: f32, y: usize, work: usize, r0: i32, r1: i32,
): void {
  for (let i = r0; i < r1; i++) {
    const id = row_index(index, i);
    const row = y + bytes(i) * cols;
    for (let j = 0; j < cols; j += 2) {
      if (!(j & 3)) block(<u32>(j >>> 2), id, stream, 0, seed_lo, seed_hi, work);
      const pair = work + bytes(j & 2);
      // In (0, 1], so that the logarithm is finite.
      const u1 = <f64>((load<u32>(pair) >>> 8) + 1) * UNIT;
      const radius = sqrt<f64>(-2 * log_scalar(u1)) * <f64>std;
      const turns = <f64>(load<u32>(pair, 4) >>> 8) * (4 * UNIT);
      const quarter = nearest<f64>(turns);
      const t = (turns - quarter) * HALF_PI;
      const z = t * t;
      const q = <i32>quarter & 3;
      const a = cos_small(z);
      const b = sin_small(t, z);
      const cosine = q == 0 ? a : q == 1 ? -b : q == 2 ? -a : b;
      const sine = q == 0 ? b : q == 1 ? a : q == 2 ? -b : -a;
      store<f32>(row + bytes(j), <f32>(<f64>mean + radius * cosine));
      if (j + 1 < cols) store<f32>(row + bytes(j + 1), <f32>(<f64>mean + radius * sine));
    }
  }
}
