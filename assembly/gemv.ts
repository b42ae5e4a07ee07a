/**
 * Dense products with few rows, X [m, k] W^T: the rows of W are read as they lie, since packing
 * them would cost as much as the product. An element is the sum of four partial sums, whatever
 * rows stand beside it.
 * Cost: 2 m n k flops, bound by reading W once.
 */
import { bytes, lanes } from './simd';

/** a b + c, rounded twice in both binaries: with six chains a fused one would wait for itself. */
@inline
function sum(a: v128, b: v128, c: v128): v128 {
  return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * y[0 .. rows) = the products of x with `rows` (1 or 6) rows of W (+ bias), at 0 or more on
 * demand. Six sums hide the latency of a multiply-add; with eight, V8 of Node 20 keeps some of them
 * in memory, at half the speed.
 */
@inline
function dots(
  rows: i32, x: usize, w: usize, row: usize, k: i32, bias: usize, relu: i32, y: usize,
): void {
  let a = f32x4.splat(0), b = a, c = a, d = a, e = a, f = a;
  const end = x + bytes(k & ~3);
  for (; x < end; x += 16, w += 16) {
    const v = v128.load(x);
    a = sum(v, v128.load(w), a);
    if (rows > 1) {
      b = sum(v, v128.load(w + row), b);
      c = sum(v, v128.load(w + row * 2), c);
      d = sum(v, v128.load(w + row * 3), d);
      e = sum(v, v128.load(w + row * 4), e);
      f = sum(v, v128.load(w + row * 5), f);
    }
  }
  const rest = k & 3;
  const next: usize = bias ? 4 : 0;
  put(lanes(a), x, w, rest, bias, relu, y);
  if (rows > 1) {
    put(lanes(b), x, w + row, rest, bias + next, relu, y + 4);
    put(lanes(c), x, w + row * 2, rest, bias + next * 2, relu, y + 8);
    put(lanes(d), x, w + row * 3, rest, bias + next * 3, relu, y + 12);
    put(lanes(e), x, w + row * 4, rest, bias + next * 4, relu, y + 16);
    put(lanes(f), x, w + row * 5, rest, bias + next * 5, relu, y + 20);
  }
}

/** Writes total + the last `rest` products + bias. */
function put(total: f32, x: usize, w: usize, rest: i32, bias: usize, relu: i32, y: usize): void {
  for (; rest > 0; rest--, x += 4, w += 4) total += load<f32>(x) * load<f32>(w);
  if (bias) total += load<f32>(bias);
  store<f32>(y, relu ? max<f32>(total, 0) : total);
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
    const left = r1 - j;
    const rows = left >= 6 ? 6 : 1;
    const w = wt + row * j;
    const b = bias ? bias + bytes(j) : 0;
    for (let i = 0; i < m; i++) {
      const from = x + row * i;
      const to = y + bytes(i * n + j);
      if (rows == 6) dots(6, from, w, row, k, b, relu, to);
      else dots(1, from, w, row, k, b, relu, to);
    }
    j += rows;
  }
}
