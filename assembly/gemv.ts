/**
 * Dense products with few rows, X [m, k] W^T: the rows of W are read as they lie, since packing
 * them would cost as much as the product. An element is the sum of two vectors of partial sums,
 * whatever rows stand beside it.
 * Cost: 2 m n k flops, bound by reading W once.
 */
import { bytes, load_part, madd } from './simd';

/** ((v0 + v1) + (v2 + v3)) of a + b. */
@inline
function total(a: v128, b: v128): f32 {
  const s = f32x4.add(a, b);
  return (
    f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1) +
    (f32x4.extract_lane(s, 2) + f32x4.extract_lane(s, 3))
  );
}

/** y[0 .. rows) = the products of x with `rows` (1 or 4) rows of W (+ bias), at 0 or more on demand. */
@inline
function dots(
  rows: i32, x: usize, w: usize, row: usize, k: i32, bias: usize, relu: i32, y: usize,
): void {
  const zero = f32x4.splat(0);
  let a0 = zero;
  let a1 = zero;
  let b0 = zero;
  let b1 = zero;
  let c0 = zero;
  let c1 = zero;
  let d0 = zero;
  let d1 = zero;
  const w1 = w + row;
  const w2 = w1 + row;
  const w3 = w2 + row;
  const full = bytes(k & ~7);
  let i: usize = 0;
  for (; i < full; i += 32) {
    const x0 = v128.load(x + i);
    const x1 = v128.load(x + i, 16);
    a0 = madd(x0, v128.load(w + i), a0);
    a1 = madd(x1, v128.load(w + i, 16), a1);
    if (rows > 1) {
      b0 = madd(x0, v128.load(w1 + i), b0);
      b1 = madd(x1, v128.load(w1 + i, 16), b1);
      c0 = madd(x0, v128.load(w2 + i), c0);
      c1 = madd(x1, v128.load(w2 + i, 16), c1);
      d0 = madd(x0, v128.load(w3 + i), d0);
      d1 = madd(x1, v128.load(w3 + i, 16), d1);
    }
  }
  for (let rest = k & 7; rest > 0; rest -= 4, i += 16) {
    const whole = rest >= 4;
    const v = whole ? v128.load(x + i) : load_part(x + i, rest);
    a0 = madd(v, whole ? v128.load(w + i) : load_part(w + i, rest), a0);
    if (rows > 1) {
      b0 = madd(v, whole ? v128.load(w1 + i) : load_part(w1 + i, rest), b0);
      c0 = madd(v, whole ? v128.load(w2 + i) : load_part(w2 + i, rest), c0);
      d0 = madd(v, whole ? v128.load(w3 + i) : load_part(w3 + i, rest), d0);
    }
  }
  put(total(a0, a1), 0, bias, relu, y);
  if (rows > 1) {
    put(total(b0, b1), 4, bias, relu, y);
    put(total(c0, c1), 8, bias, relu, y);
    put(total(d0, d1), 12, bias, relu, y);
  }
}

@inline
function put(sum: f32, at: usize, bias: usize, relu: i32, y: usize): void {
  if (bias) sum += load<f32>(bias + at);
  store<f32>(y + at, relu ? max<f32>(sum, 0) : sum);
}

/**
 * y [m, n] = x [m, k] wt^T (+ bias [n]), max(0, .) of it when relu is not 0; wt [n, k]. Rows are n.
 */
export function gemv(
  m: i32, n: i32, k: i32, x: usize, wt: usize, bias: usize, y: usize, relu: i32,
  r0: i32, r1: i32,
): void {
  const row = bytes(k);
  for (let j = r0; j < r1; ) {
    const four = j + 4 <= r1;
    const w = wt + row * j;
    const b = bias ? bias + bytes(j) : 0;
    for (let i = 0; i < m; i++) {
      const to = y + bytes(i * n + j);
      if (four) dots(4, x + row * i, w, row, k, b, relu, to);
      else dots(1, x + row * i, w, row, k, b, relu, to);
    }
    j += four ? 4 : 1;
  }
}
