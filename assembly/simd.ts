/**
 * Helpers shared by the kernels: the one multiply-add, and loads and stores of partial vectors.
 *
 * Partial vectors exist so that the end of a row goes through the very same vector instructions
 * as its middle: an element's value then never depends on where it lies in a vector, nor on how
 * a call was split over threads. They are calls, not inlined: ends of rows are rare, and a tenth of
 * the binary was copies of them.
 */

/** a * b + c: fused in the relaxed binary, two roundings in the plain one. */
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** Bytes of `count` f32 elements. */
@inline
export function bytes(count: i32): usize {
  return (<usize>count) << 2;
}

/** The first `count` (1, 2 or 3) elements at `p`; the other lanes are zero. */
export function load_part(p: usize, count: i32): v128 {
  if (count == 1) return v128.load32_zero(p);
  const v = v128.load64_zero(p);
  return count == 2 ? v : v128.load32_lane(p, v, 2, 8);
}

/** Writes the first `count` (1, 2 or 3) lanes to `p`. */
export function store_part(p: usize, v: v128, count: i32): void {
  if (count == 1) {
    v128.store32_lane(p, v, 0);
    return;
  }
  v128.store64_lane(p, v, 0);
  if (count == 3) v128.store32_lane(p, v, 2, 8);
}

/** 1 where the mask is set, +0 elsewhere. */
@inline
export function indicator(mask: v128): v128 {
  return v128.and(mask, f32x4.splat(1));
}

/** The sum of the lanes, two by two. */
@inline
export function lanes(s: v128): f32 {
  return (
    f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1) +
    (f32x4.extract_lane(s, 2) + f32x4.extract_lane(s, 3))
  );
}

/** Stores the transpose of four vectors as lines `apart` bytes apart. */
@inline
export function transpose4(a: v128, b: v128, c: v128, d: v128, q: usize, apart: usize): void {
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const ef = v128.shuffle<i32>(a, b, 2, 6, 3, 7), gh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(q, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(q + apart, v128.shuffle<i64>(ab, cd, 1, 3));
  v128.store(q + apart * 2, v128.shuffle<i64>(ef, gh, 0, 2));
  v128.store(q + apart * 3, v128.shuffle<i64>(ef, gh, 1, 3));
}
