/**
 * One step of SGD with momentum, and of Adam (Kingma and Ba 2014), elementwise and in place.
 * Weight decay is added to the gradient. Products and sums are rounded separately: both binaries train
 * the same network as far as these kernels go. Cost: 8 and 16 flops an element, bound by memory.
 */
import { bytes, load_part, store_part } from './simd';

/** Elements i of p: 4, or the `rest` of them at the end. */
@inline
function get(p: usize, i: usize, rest: i32): v128 {
  return rest ? load_part(p + i, rest) : v128.load(p + i);
}

@inline
function put(p: usize, i: usize, v: v128, rest: i32): void {
  if (rest) store_part(p + i, v, rest);
  else v128.store(p + i, v);
}

@inline
function sgd_lanes(
  w: usize, g: usize, v: usize, i: usize, rest: i32, lr: v128, momentum: v128, weight_decay: v128,
): void {
  const weight = get(w, i, rest);
  let d = f32x4.add(get(g, i, rest), f32x4.mul(weight_decay, weight));
  if (v) {
    d = f32x4.add(f32x4.mul(momentum, get(v, i, rest)), d);
    put(v, i, d, rest);
  }
  put(w, i, f32x4.sub(weight, f32x4.mul(lr, d)), rest);
}

/** v = momentum v + g + weight_decay w; w -= lr v. Without v (0) there is no momentum. */
export function sgd(
  n: i32, w: usize, g: usize, v: usize, lr: f32, momentum: f32, weight_decay: f32, r0: i32, r1: i32,
): void {
  const a = f32x4.splat(lr), b = f32x4.splat(momentum), c = f32x4.splat(weight_decay);
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) sgd_lanes(w, g, v, i, 0, a, b, c);
  if (i < end) sgd_lanes(w, g, v, i, <i32>((end - i) >> 2), a, b, c);
}

@inline
function adam_lanes(
  w: usize, g: usize, m: usize, v: usize, i: usize, rest: i32,
  lr: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32, c1: f32, c2: f32,
): void {
  const weight = get(w, i, rest);
  const d = f32x4.add(get(g, i, rest), f32x4.mul(f32x4.splat(weight_decay), weight));
  let first = f32x4.mul(f32x4.splat(beta1), get(m, i, rest));
  first = f32x4.add(first, f32x4.mul(f32x4.splat(1 - beta1), d));
  let second = f32x4.mul(f32x4.splat(beta2), get(v, i, rest));
  second = f32x4.add(second, f32x4.mul(f32x4.splat(1 - beta2), f32x4.mul(d, d)));
  put(m, i, first, rest);
  put(v, i, second, rest);
  const root = f32x4.sqrt(f32x4.mul(f32x4.splat(c2), second));
  const step = f32x4.div(
    f32x4.mul(f32x4.splat(lr), f32x4.mul(f32x4.splat(c1), first)),
    f32x4.add(root, f32x4.splat(eps)),
  );
  put(w, i, f32x4.sub(weight, step), rest);
}

/**
 * d = g + weight_decay w; m = beta1 m + (1 - beta1) d; v = beta2 v + (1 - beta2) d^2;
 * w -= lr (c1 m) / (sqrt(c2 v) + eps), with c1 = 1 / (1 - beta1^t), c2 = 1 / (1 - beta2^t).
 */
export function adam(
  n: i32, w: usize, g: usize, m: usize, v: usize, lr: f32, beta1: f32, beta2: f32, eps: f32,
  weight_decay: f32, c1: f32, c2: f32, r0: i32, r1: i32,
): void {
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) {
    adam_lanes(w, g, m, v, i, 0, lr, beta1, beta2, eps, weight_decay, c1, c2);
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    adam_lanes(w, g, m, v, i, rest, lr, beta1, beta2, eps, weight_decay, c1, c2);
  }
}
