/**
 * Reductions. Sums run in f64, in the order of the reduced index. A reduction lies inside one
 * row, so that no split crosses it.
 * Cost: one pass; sums over the last axis take two elements at a time.
 */
import { bytes } from './simd';

@inline
function promote(p: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load64_zero(p));
}

@inline
function lanes_sum(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

/** Sum of a contiguous run: four chains, then the rest. */
function sum_run(x: usize, count: i32): f64 {
  const end = x + bytes(count);
  let a = f64x2.splat(0), b = f64x2.splat(0), p = x;
  for (; p + 16 <= end; p += 16) {
    a = f64x2.add(a, promote(p));
    b = f64x2.add(b, promote(p + 8));
  }
  let s = lanes_sum(f64x2.add(a, b));
  for (; p < end; p += 4) s += <f64>load<f32>(p);
  return s;
}

/** y[o, i] = sum over r of x[o, r, i]. Rows are outer * inner. */
export function sum(
  outer: i32, reduce: i32, inner: i32, x: usize, y: usize, r0: i32, r1: i32,
): void {
  if (inner == 1) {
    for (let r = r0; r < r1; r++) {
      store<f32>(y + bytes(r), <f32>sum_run(x + bytes(r) * reduce, reduce));
    }
    return;
  }
  const stride = bytes(inner);
  let r = r0;
  while (r < r1) {
    const o = r / inner;
    const i = r - o * inner;
    let p = x + bytes(o * reduce) * inner + bytes(i);
    // Four neighbours of a line at a time; each column keeps its own chain either way.
    if (i + 4 <= inner && r + 4 <= r1) {
      let a = f64x2.splat(0), b = f64x2.splat(0);
      for (let k = 0; k < reduce; k++, p += stride) {
        a = f64x2.add(a, promote(p));
        b = f64x2.add(b, promote(p + 8));
      }
      const lo = f32x4.demote_f64x2_zero(a);
      v128.store(y + bytes(r), v128.shuffle<i64>(lo, f32x4.demote_f64x2_zero(b), 0, 2));
      r += 4;
    } else {
      let s: f64 = 0;
      for (let k = 0; k < reduce; k++, p += stride) s += <f64>load<f32>(p);
      store<f32>(y + bytes(r), <f32>s);
      r++;
    }
  }
}

/** y[o, i] = max over r of x[o, r, i]; NaN wins; -inf of nothing. Rows are outer * inner. */
export function max_reduce(
  outer: i32, reduce: i32, inner: i32, x: usize, y: usize, r0: i32, r1: i32,
): void {
  const stride = bytes(inner);
  for (let r = r0; r < r1; r++) {
    const o = r / inner;
    let p = x + bytes(o * reduce) * inner + bytes(r - o * inner);
    let best = f32.NEGATIVE_INFINITY;
    for (let k = 0; k < reduce; k++, p += stride) best = max<f32>(best, load<f32>(p));
    store<f32>(y + bytes(r), best);
  }
}

/** y[r] (i32) = index of the first maximum of row r; a NaN counts as the maximum. */
export function argmax(rows_n: i32, cols: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  for (let r = r0; r < r1; r++) {
    const p = x + bytes(r) * cols;
    let best = f32.NEGATIVE_INFINITY;
    let at = 0;
    for (let j = 0; j < cols; j++) {
      const v = load<f32>(p + bytes(j));
      if (v > best) {
        best = v;
        at = j;
      } else if (v != v) {
        at = j;
        break;
      }
    }
    store<i32>(y + bytes(r), at);
  }
}

/** y (one i32) = number of elements that are not +-0. One row. */
export function count_nonzero(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  if (r0 >= r1) return;
  const end = x + bytes(n);
  const zero = f32x4.splat(0);
  let zeros = i32x4.splat(0);
  let p = x;
  // A set mask is -1.
  for (; p + 16 <= end; p += 16) zeros = i32x4.sub(zeros, f32x4.eq(v128.load(p), zero));
  let count = i32x4.extract_lane(zeros, 0) + i32x4.extract_lane(zeros, 1);
  count += i32x4.extract_lane(zeros, 2) + i32x4.extract_lane(zeros, 3);
  for (; p < end; p += 4) count += <i32>(load<f32>(p) == 0);
  store<i32>(y, n - count);
}
