/**
 * Softmax and cross-entropy of rows of logits, after subtraction of the row's maximum.
 * Everything between the logits and the results is f64. Cost: about 30 flops an element.
 */
import { bytes } from './simd';
import { exp_f64, log_scalar } from './transcend';

function row_max(x: usize, cols: i32): f64 {
  let best = f32.NEGATIVE_INFINITY;
  for (let j = 0; j < cols; j++) best = max<f32>(best, load<f32>(x + bytes(j)));
  return <f64>best;
}

/** exp(x - top) of the two elements at p; arguments below -200 are as good as it. */
@inline
function exp_pair(v: v128, top: v128): v128 {
  return exp_f64(f64x2.max(f64x2.sub(f64x2.promote_low_f32x4(v), top), f64x2.splat(-200)));
}

/** Writes exp(x - top) as f32 to y and returns the sum before rounding. */
function exp_row(x: usize, y: usize, cols: i32, top: f64): f64 {
  const t = f64x2.splat(top);
  let s = f64x2.splat(0), j = 0;
  for (; j + 2 <= cols; j += 2) {
    const e = exp_pair(v128.load64_zero(x + bytes(j)), t);
    s = f64x2.add(s, e);
    v128.store64_lane(y + bytes(j), f32x4.demote_f64x2_zero(e), 0);
  }
  let total = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
  if (j < cols) {
    const e = f64x2.extract_lane(exp_pair(v128.load32_zero(x + bytes(j)), t), 0);
    total += e;
    store<f32>(y + bytes(j), <f32>e);
  }
  return total;
}

@inline
function divide_row(y: usize, cols: i32, total: f64): void {
  for (let j = 0; j < cols; j++) {
    store<f32>(y + bytes(j), <f32>(<f64>load<f32>(y + bytes(j)) / total));
  }
}

/** y = softmax of every row of x [rows_n, cols]; y may be x. */
export function softmax(rows_n: i32, cols: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  for (let r = r0; r < r1; r++) {
    const at = bytes(r) * cols;
    divide_row(y + at, cols, exp_row(x + at, y + at, cols, row_max(x + at, cols)));
  }
}

/**
 * loss[r] = log(sum exp(logits)) - logits[label], and the softmax in probs. A label out of range
 * gives a NaN loss rather than a read out of bounds. probs may be logits.
 */
export function cross_entropy(
  rows_n: i32, cols: i32, logits: usize, labels: usize, loss: usize, probs: usize,
  r0: i32, r1: i32,
): void {
  for (let r = r0; r < r1; r++) {
    const at = bytes(r) * cols;
    const label = load<i32>(labels + bytes(r));
    const top = row_max(logits + at, cols);
    const known = <u32>label < <u32>cols;
    const own = known ? <f64>load<f32>(logits + at + bytes(label)) : NaN;
    const total = exp_row(logits + at, probs + at, cols, top);
    divide_row(probs + at, cols, total);
    store<f32>(loss + bytes(r), <f32>(log_scalar(total) + (top - own)));
  }
}

/**
 * dx = (probs - onehot(label)) * g[row]; dx may be probs. At the label p - 1 is minus the sum of the
 * others, taken so: where the network is sure, p is 1 - 1e-5 and the difference would keep two digits.
 */
export function cross_entropy_grad(
  rows_n: i32, cols: i32, probs: usize, labels: usize, g: usize, dx: usize, r0: i32, r1: i32,
): void {
  for (let r = r0; r < r1; r++) {
    const at = bytes(r) * cols;
    const label = load<i32>(labels + bytes(r));
    const scale = load<f32>(g + bytes(r));
    let others: f64 = 0;
    for (let j = 0; j < cols; j++) {
      const p = load<f32>(probs + at + bytes(j));
      if (j != label) others += <f64>p;
      store<f32>(dx + at + bytes(j), p * scale);
    }
    if (<u32>label < <u32>cols) store<f32>(dx + at + bytes(label), -<f32>others * scale);
  }
}
