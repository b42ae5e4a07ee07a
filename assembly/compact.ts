/**
 * Decoding of compact models (src/io/compact.ts), for `espalier/runtime` alone: in a fresh process
 * JavaScript's loops run before they are compiled. Called directly and not by rows, as each weight's
 * place follows from the one before. Cost: some 4 ns a non-zero weight until this code is optimised too.
 */
import { bytes } from './simd';

/** A step that is followed by no weight. */
const SKIP: u32 = 255;

/**
 * positions [nnz] of a tensor of `size` elements from `count` steps [count] (bytes, zeros before each
 * weight); returns 1, or 0 where there are not nnz of them or one is outside.
 */
export function compact_places(count: i32, steps: usize, nnz: i32, size: f64, positions: usize): i32 {
  let at: u64 = 0;
  let n = 0;
  for (let i = 0; i < count; i++) {
    const gap: u32 = load<u8>(steps + i);
    at += gap;
    if (gap == SKIP) continue;
    if (n == nnz) return 0;
    store<u32>(positions + bytes(n++), u32(at++));
  }
  return i32(n == nnz && f64(at) <= size);
}

/** values [nnz] = table [256] at codes [nnz] (bytes); returns 1, or 0 where a code is not below k. */
export function compact_values(nnz: i32, codes: usize, k: i32, table: usize, values: usize): i32 {
  let most: u32 = 0;
  for (let i = 0; i < nnz; i++) {
    const code: u32 = load<u8>(codes + i);
    most = max(most, code);
    store<f32>(values + bytes(i), load<f32>(table + bytes(code)));
  }
  return i32(most < u32(k));
}
