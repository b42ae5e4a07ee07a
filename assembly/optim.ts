/**
 * One step of SGD with momentum, and of Adam (Kingma and Ba 2014), elementwise and in place.
 * Weight decay is added to the gradient. Where a mask is 0, gradient, moments and weight become
 * exactly +0, whatever they were. Products and sums are rounded separately: both binaries train
 * the same network as far as these kernels go.
 *
 * With `at` [n] (i32, each at most once) element i of the gradient is that of weight at[i], whose
 * moments lie there too: the few weights that a mask keeps. All others stay as they are.
 * Cost: 8 and 16 flops an element, bound by memory.
 */
import { bytes, load_part, store_part } from './simd';

/** Elements i of p, up to 4 of them; or those at the places that `at` has there. */
function gather(p: usize, i: usize, rest: i32, at: usize): v128 {
  if (!at) return rest > 3 ? v128.load(p + i) : load_part(p + i, rest);
  at += i;
  let v = v128.load32_zero(p + bytes(load<i32>(at)));
  if (rest > 1) v = v128.load32_lane(p + bytes(load<i32>(at, 4)), v, 1);
  if (rest > 2) v = v128.load32_lane(p + bytes(load<i32>(at, 8)), v, 2);
  if (rest > 3) v = v128.load32_lane(p + bytes(load<i32>(at, 12)), v, 3);
  return v;
}

function scatter(p: usize, i: usize, v: v128, rest: i32, at: usize): void {
  if (!at) {
    if (rest > 3) v128.store(p + i, v);
    else store_part(p + i, v, rest);
    return;
  }
  at += i;
  v128.store32_lane(p + bytes(load<i32>(at)), v, 0);
  if (rest > 1) v128.store32_lane(p + bytes(load<i32>(at, 4)), v, 1);
  if (rest > 2) v128.store32_lane(p + bytes(load<i32>(at, 8)), v, 2);
  if (rest > 3) v128.store32_lane(p + bytes(load<i32>(at, 12)), v, 3);
}

/** 4 elements in order, or (`rest` not 0) that many as `at` has them. */
@inline
function get(p: usize, i: usize, rest: i32, at: usize): v128 {
  return rest ? gather(p, i, rest, at) : v128.load(p + i);
}

@inline
function put(p: usize, i: usize, v: v128, rest: i32, at: usize): void {
  if (rest) scatter(p, i, v, rest, at);
  else v128.store(p + i, v);
}

/** All ones where the mask is not zero, or everywhere without a mask. */
@inline
function keep(mask: usize, i: usize, rest: i32): v128 {
  if (!mask) return i32x4.splat(-1);
  return f32x4.ne(get(mask, i, rest, 0), f32x4.splat(0));
}

@inline
function sgd_lanes(
  w: usize, g: usize, v: usize, mask: usize, at: usize, i: usize, rest: i32,
  lr: v128, momentum: v128, weight_decay: v128, nesterov: i32,
): void {
  const on = keep(mask, i, rest);
  const weight = get(w, i, rest, at);
  let d = f32x4.add(get(g, i, rest, 0), f32x4.mul(weight_decay, weight));
  d = v128.and(d, on);
  if (v) {
    const speed = v128.and(f32x4.add(f32x4.mul(momentum, get(v, i, rest, at)), d), on);
    put(v, i, speed, rest, at);
    d = nesterov ? f32x4.add(d, f32x4.mul(momentum, speed)) : speed;
  }
  put(w, i, v128.and(f32x4.sub(weight, f32x4.mul(lr, d)), on), rest, at);
}

/**
 * d = g + weight_decay w; v = momentum v + d; w -= lr (nesterov ? d + momentum v : v).
 * v, mask and at may be 0; without v there is no momentum. There is no mask beside `at`.
 */
export function sgd(
  n: i32, w: usize, g: usize, v: usize, mask: usize, at: usize,
  lr: f32, momentum: f32, weight_decay: f32, nesterov: i32, r0: i32, r1: i32,
): void {
  const a = f32x4.splat(lr);
  const b = f32x4.splat(momentum);
  const c = f32x4.splat(weight_decay);
  const end = bytes(r1);
  let i = bytes(r0);
  if (!at) {
    for (; i + 16 <= end; i += 16) sgd_lanes(w, g, v, mask, 0, i, 0, a, b, c, nesterov);
  }
  for (; i < end; i += 16) {
    sgd_lanes(w, g, v, mask, at, i, min<i32>(4, <i32>((end - i) >> 2)), a, b, c, nesterov);
  }
}

@inline
function adam_lanes(
  w: usize, g: usize, m: usize, v: usize, mask: usize, at: usize, i: usize, rest: i32,
  lr: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32, c1: f32, c2: f32,
): void {
  const on = keep(mask, i, rest);
  const weight = get(w, i, rest, at);
  let d = f32x4.add(get(g, i, rest, 0), f32x4.mul(f32x4.splat(weight_decay), weight));
  d = v128.and(d, on);
  let first = f32x4.mul(f32x4.splat(beta1), get(m, i, rest, at));
  first = v128.and(f32x4.add(first, f32x4.mul(f32x4.splat(1 - beta1), d)), on);
  let second = f32x4.mul(f32x4.splat(beta2), get(v, i, rest, at));
  second = f32x4.add(second, f32x4.mul(f32x4.splat(1 - beta2), f32x4.mul(d, d)));
  second = v128.and(second, on);
  put(m, i, first, rest, at);
  put(v, i, second, rest, at);
  const root = f32x4.sqrt(f32x4.mul(f32x4.splat(c2), second));
  const step = f32x4.div(
    f32x4.mul(f32x4.splat(lr), f32x4.mul(f32x4.splat(c1), first)),
    f32x4.add(root, f32x4.splat(eps)),
  );
  put(w, i, v128.and(f32x4.sub(weight, step), on), rest, at);
}

/**
 * d = g + weight_decay w; m = beta1 m + (1 - beta1) d; v = beta2 v + (1 - beta2) d^2;
 * w -= lr (c1 m) / (sqrt(c2 v) + eps), with c1 = 1 / (1 - beta1^t), c2 = 1 / (1 - beta2^t).
 */
export function adam(
  n: i32, w: usize, g: usize, m: usize, v: usize, mask: usize, at: usize, lr: f32, beta1: f32,
  beta2: f32, eps: f32, weight_decay: f32, c1: f32, c2: f32, r0: i32, r1: i32,
): void {
  const end = bytes(r1);
  let i = bytes(r0);
  if (!at) {
    for (; i + 16 <= end; i += 16) {
      adam_lanes(w, g, m, v, mask, 0, i, 0, lr, beta1, beta2, eps, weight_decay, c1, c2);
    }
  }
  for (; i < end; i += 16) {
    const rest = min<i32>(4, <i32>((end - i) >> 2));
    adam_lanes(w, g, m, v, mask, at, i, rest, lr, beta1, beta2, eps, weight_decay, c1, c2);
  }
}
