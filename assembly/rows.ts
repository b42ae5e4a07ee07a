/**
 * Rows of coefficients meeting tables of lines: what backward linear bounds consist of between two
 * products. A row x of [rows, cols] reads line `at[r]` of a table [lines, cols] (i32 indices), so
 * that many rows share a sample's table, and rows of several samples go in one call. Where a
 * coefficient is above 0 the lower table counts, else the upper one.
 * Cost: bound by memory; `lower_dot` converts to f64, about three times that on rows in cache.
 */
import { bytes, load_part, store_part } from './simd';

@inline
function line_of(at: usize, r: i32, cols: i32): usize {
  return bytes(load<i32>(at + bytes(r)) * cols);
}

@inline
function upper_half(v: v128): v128 {
  return v128.shuffle<i32>(v, v, 2, 3, 2, 3);
}

@inline
function by_sign(x: v128, low: v128, up: v128): v128 {
  return v128.bitselect(low, up, f32x4.gt(x, f32x4.splat(0)));
}

/** y[r][j] = w[r][j] * (x[r][j] > 0 ? low[lowAt[r]][j] : up[upAt[r]][j]). Rows: r. y may be w or x. */
export function relax_rows(
  rows: i32, cols: i32, w: usize, x: usize, lowAt: usize, low: usize, upAt: usize, up: usize,
  y: usize, r0: i32, r1: i32,
): void {
  const wide = bytes(cols);
  for (let r = r0; r < r1; r++) {
    const row = wide * r;
    let a = low + line_of(lowAt, r, cols), c = up + line_of(upAt, r, cols), i = row;
    const end = row + wide;
    for (; i + 16 <= end; i += 16, a += 16, c += 16) {
      const slope = by_sign(v128.load(x + i), v128.load(a), v128.load(c));
      v128.store(y + i, f32x4.mul(v128.load(w + i), slope));
    }
    if (i < end) {
      const rest = <i32>((end - i) >> 2);
      const slope = by_sign(load_part(x + i, rest), load_part(a, rest), load_part(c, rest));
      store_part(y + i, f32x4.mul(load_part(w + i, rest), slope), rest);
    }
  }
}

/** The largest f32 that is not above v. */
@inline
function round_down(v: f64): f32 {
  const nearest = <f32>v;
  if (!(<f64>nearest > v)) return nearest;
  if (nearest == 0) return -f32.MIN_VALUE;
  const bits = reinterpret<i32>(nearest);
  return reinterpret<f32>(nearest > 0 ? bits - 1 : bits + 1);
}

/** The products of the lower or the upper halves of v and t. */
@inline
function halves(v: v128, t: v128, low: bool): v128 {
  return low
    ? f64x2.mul(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(t))
    : f64x2.mul(f64x2.promote_low_f32x4(upper_half(v)), f64x2.promote_low_f32x4(upper_half(t)));
}

/**
 * y[r] <= d[r] + the sum over j of x[r][j] * (x[r][j] > 0 ? p[at[r]][j] : q[at[r]][j]), a lower bound
 * of x . t for every t in the box [p, q]. Products are exact in f64; what their sum may be off is
 * taken away, and the result is rounded down. d may be 0 (absent). Rows: r.
 */
export function lower_dot(
  rows: i32, cols: i32, x: usize, at: usize, p: usize, q: usize, d: usize, y: usize,
  r0: i32, r1: i32,
): void {
  const wide = bytes(cols);
  const share = <f64>(cols + 8) * 2.220446049250313e-16;
  for (let r = r0; r < r1; r++) {
    const line = line_of(at, r, cols);
    let a = p + line, b = q + line;
    let i = x + wide * r;
    const end = i + wide;
    let sum = f64x2.splat(0);
    let size = f64x2.splat(0);
    let sum2 = sum;
    let size2 = size;
    for (; i + 16 <= end; i += 16, a += 16, b += 16) {
      const v = v128.load(i);
      const t = by_sign(v, v128.load(a), v128.load(b));
      const first = halves(v, t, true);
      sum = f64x2.add(sum, first);
      size = f64x2.add(size, f64x2.abs(first));
      const second = halves(v, t, false);
      sum2 = f64x2.add(sum2, second);
      size2 = f64x2.add(size2, f64x2.abs(second));
    }
    // Calls have no place in the loop: nothing would stay in registers across them.
    if (i < end) {
      const rest = <i32>((end - i) >> 2);
      const v = load_part(i, rest);
      const t = by_sign(v, load_part(a, rest), load_part(b, rest));
      const first = halves(v, t, true);
      const second = halves(v, t, false);
      sum = f64x2.add(sum, f64x2.add(first, second));
      size = f64x2.add(size, f64x2.add(f64x2.abs(first), f64x2.abs(second)));
    }
    sum = f64x2.add(sum, sum2);
    size = f64x2.add(size, size2);
    const start: f64 = d ? <f64>load<f32>(d + bytes(r)) : 0;
    const total = start + (f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1));
    const sizes =
      Math.abs(start) + (f64x2.extract_lane(size, 0) + f64x2.extract_lane(size, 1));
    store<f32>(y + bytes(r), round_down(total - sizes * share));
  }
}

/** y[r][index[at[r]][j]] += x[r][j] for x [rows, cols], y [rows, width] and i32 index tables. Rows: r. */
export function add_columns(
  rows: i32, cols: i32, width: i32, x: usize, at: usize, index: usize, y: usize, r0: i32, r1: i32,
): void {
  for (let r = r0; r < r1; r++) {
    const to = index + line_of(at, r, cols);
    const row = x + bytes(r * cols);
    const out = y + bytes(r * width);
    for (let j = 0; j < cols; j++) {
      const place = out + bytes(load<i32>(to + bytes(j)));
      store<f32>(place, load<f32>(place) + load<f32>(row + bytes(j)));
    }
  }
}

/** y[r][j] = x[r][index[at[r]][j]] for x [rows, width], y [rows, cols]: the transpose of the above. */
export function take_columns(
  rows: i32, cols: i32, width: i32, x: usize, at: usize, index: usize, y: usize, r0: i32, r1: i32,
): void {
  for (let r = r0; r < r1; r++) {
    const from = index + line_of(at, r, cols);
    const row = x + bytes(r * width);
    const out = y + bytes(r * cols);
    for (let j = 0; j < cols; j++)
      store<f32>(out + bytes(j), load<f32>(row + bytes(load<i32>(from + bytes(j)))));
  }
}
