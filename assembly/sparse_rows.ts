/**
 * The tables of a sparse matrix (src/sparse/tables.ts) from the places of its non-zeros: what a fresh
 * process would spend its first time on in JavaScript that is not compiled yet.
 * Cost: a division a non-zero where kernels have more than one weight.
 */
import { bytes } from './simd';

/**
 * starts [m + 1] and offsets [nnz] of a weight [m, c, area] whose non-zeros are at positions [nnz],
 * ascending: an offset is in_channel [c] + in_kernel [area]. Rows are m. positions may be offsets
 * where nothing is split.
 */
export function sparse_rows(
  m: i32, nnz: i32, c: i32, area: i32, positions: usize, in_channel: usize, in_kernel: usize,
  starts: usize, offsets: usize, r0: i32, r1: i32,
): void {
  const row: u32 = c * area;
  let first: u32 = row * r0;
  let n = 0;
  for (let end = nnz; n < end;) {
    const middle = (n + end) >>> 1;
    if (load<u32>(positions + bytes(middle)) < first) n = middle + 1;
    else end = middle;
  }
  for (let r = r0; r < r1; r++, first += row) {
    store<i32>(starts + bytes(r), n);
    for (; n < nnz; n++) {
      const at = load<u32>(positions + bytes(n)) - first;
      if (at >= row) break;
      const i: u32 = area == 1 ? at : at / area;
      const k = at - i * area;
      const offset = load<i32>(in_channel + bytes(i)) + load<i32>(in_kernel + bytes(k));
      store<i32>(offsets + bytes(n), offset);
    }
  }
  if (r1 == m) store<i32>(starts + bytes(m), nnz);
}
