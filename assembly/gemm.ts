/**
 * Dense products. B is packed once into panels of 8 columns; A is read in place through strides,
 * so that A B, A^T B and A B^T are one kernel. Blocking after Goto and van de Geijn, "Anatomy of
 * high-performance matrix multiplication" (2008): a block of k stays in the first cache with one
 * panel, a block of rows in the second. The blocks of k are the same for every row range.
 * Cost: 2 m n k flops.
 */
import { bytes } from './simd';
import { From, multiply, multiply_once } from './tile';

const NR: i32 = 8;
const KC: i32 = 256;
const MC: i32 = 64;

/** Four columns of 32 bytes from four rows `stride` bytes apart. */
@inline
function transpose4(p: usize, stride: usize, q: usize): void {
  const a = v128.load(p);
  const b = v128.load(p + stride);
  const c = v128.load(p + stride * 2);
  const d = v128.load(p + stride * 3);
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const ef = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const gh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(q, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(q, v128.shuffle<i64>(ab, cd, 1, 3), 32);
  v128.store(q, v128.shuffle<i64>(ef, gh, 0, 2), 64);
  v128.store(q, v128.shuffle<i64>(ef, gh, 1, 3), 96);
}

/**
 * packed [ceil(n / 8)][k][8] = b [k, n] with element strides b_row and b_col, zero padded.
 * Rows are panels.
 */
export function pack_b(
  k: i32, n: i32, b: usize, b_row: i32, b_col: i32, packed: usize, r0: i32, r1: i32,
): void {
  const down = bytes(b_row);
  const right = bytes(b_col);
  for (let r = r0; r < r1; r++) {
    const width = min<i32>(NR, n - r * NR);
    const source = b + right * (r * NR);
    const panel = packed + bytes(r * NR) * k;
    if (width == NR && b_col == 1) {
      let p = source;
      for (let i = 0; i < k; i++, p += down) {
        v128.store(panel + (<usize>i << 5), v128.load(p));
        v128.store(panel + (<usize>i << 5), v128.load(p, 16), 16);
      }
      continue;
    }
    let i0 = 0;
    if (width == NR && b_row == 1) {
      for (; i0 + 4 <= k; i0 += 4) {
        const q = panel + (<usize>i0 << 5);
        transpose4(source + bytes(i0), right, q);
        transpose4(source + bytes(i0) + right * 4, right, q + 16);
      }
    }
    if (width < NR) memory.fill(panel, 0, bytes(k * NR));
    for (let j = 0; j < width; j++) {
      let p = source + right * j + down * i0;
      let q = panel + bytes(j) + (<usize>i0 << 5);
      for (let i = i0; i < k; i++, p += down, q += 32) store<u32>(q, load<u32>(p));
    }
  }
}

/** Packs `rows` rows of A, `depth` long, into tiles [ceil(rows / 4)][depth][4]. */
function pack_a(
  a: usize, a_row: usize, a_col: usize, rows: i32, depth: i32, out: usize,
): void {
  for (let i = 0; i < rows; i += 4) {
    const tile = out + bytes(i * depth);
    const high = min<i32>(4, rows - i);
    const source = a + a_row * i;
    if (high == 4 && a_row == 4) {
      let p = source;
      for (let k = 0; k < depth; k++, p += a_col) v128.store(tile + (<usize>k << 4), v128.load(p));
      continue;
    }
    for (let e = 0; e < high; e++) {
      let p = source + a_row * e;
      let q = tile + bytes(e);
      for (let k = 0; k < depth; k++, p += a_col, q += 16) store<u32>(q, load<u32>(p));
    }
  }
}

/** The tile of a last panel of fewer than 8 columns: through a full tile in `temp`. */
function edge(
  rows: i32, width: i32, a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize, temp: usize,
): void {
  for (let i = 0; i < rows; i++) {
    const t = temp + (<usize>i << 5);
    v128.store(t, f32x4.splat(0));
    v128.store(t, f32x4.splat(0), 16);
    if (from & From.C) memory.copy(t, c + c_row * i, bytes(width));
    if (from & From.COLUMN_BIAS) {
      for (let j = 0; j < width; j++) {
        store<f32>(t + bytes(j), load<f32>(t + bytes(j)) + load<f32>(bias + bytes(j)));
      }
    }
  }
  multiply_once(rows, a, a_row, a_col, b, k, temp, 32, From.C | (from & From.RELU), 0);
  for (let i = 0; i < rows; i++) memory.copy(c + c_row * i, temp + (<usize>i << 5), bytes(width));
}

/**
 * c [m, n] = A B (+ bias [n]) (+ c when accumulate is not 0), max(0, .) of it when relu is not 0.
 * A [m, k] has element strides a_row and a_col, B comes from pack_b. Rows are m. work: 128 bytes
 * and a block of A.
 */
export function gemm(
  m: i32, n: i32, k: i32, a: usize, a_row: i32, a_col: i32, packed: usize, bias: usize,
  c: usize, accumulate: i32, relu: i32, work: usize, r0: i32, r1: i32,
): void {
  const block = work + 128;
  const stride = bytes(a_row);
  const next = bytes(a_col);
  const c_row = bytes(n);
  let k0 = 0;
  do {
    const depth = min<i32>(KC, k - k0);
    let from: i32 = accumulate || k0 > 0 ? From.C : From.ZERO;
    if (bias && k0 == 0) from |= From.COLUMN_BIAS;
    if (relu && k0 + depth == k) from |= From.RELU;
    for (let i0 = r0; i0 < r1; i0 += MC) {
      const high = min<i32>(MC, r1 - i0);
      const source = a + stride * i0 + next * k0;
      const packs = a_col != 1;
      if (packs) pack_a(source, stride, next, high, depth, block);
      for (let j = 0; j < n; j += NR) {
        const width = n - j;
        const panel = packed + bytes(j) * k + (<usize>k0 << 5);
        for (let i = 0; i < high; i += 4) {
          const rows = high - i;
          const ap = packs ? block + bytes(i * depth) : source + stride * i;
          const ar: usize = packs ? 4 : stride;
          const ac: usize = packs ? 16 : 4;
          const cp = c + c_row * (i0 + i) + bytes(j);
          if (width >= NR) multiply(rows, ap, ar, ac, panel, depth, cp, c_row, from, bias + bytes(j));
          else {
            edge(
              min<i32>(rows, 4), width, ap, ar, ac, panel, depth, cp, c_row, from,
              bias + bytes(j), work,
            );
          }
        }
      }
    }
    k0 += KC;
  } while (k0 < k);
}
