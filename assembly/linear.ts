/**
 * Elementwise kernels of two arrays or none: linear combination, fill, copy, and the two changes
 * of coordinates of an interval. Products and sums are rounded separately in both binaries,
 * because the rounding terms of sound bounds are stated that way. Outputs may be inputs.
 * Cost: bound by memory.
 */
import { bytes, load_part, store_part } from './simd';

/** y = alpha a + beta b. */
export function lincomb(
  n: i32, alpha: f32, a: usize, beta: f32, b: usize, y: usize, r0: i32, r1: i32,
): void {
  const av = f32x4.splat(alpha);
  const bv = f32x4.splat(beta);
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) {
    const p = f32x4.mul(av, v128.load(a + i));
    v128.store(y + i, f32x4.add(p, f32x4.mul(bv, v128.load(b + i))));
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    const p = f32x4.mul(av, load_part(a + i, rest));
    store_part(y + i, f32x4.add(p, f32x4.mul(bv, load_part(b + i, rest))), rest);
  }
}

export function fill(n: i32, value: f32, y: usize, r0: i32, r1: i32): void {
  const v = f32x4.splat(value);
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) v128.store(y + i, v);
  if (i < end) store_part(y + i, v, <i32>((end - i) >> 2));
}

export function copy(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  memory.copy(y + bytes(r0), x + bytes(r0), bytes(r1 - r0));
}

@inline
function centre_of(lo: v128, hi: v128): v128 {
  const half = f32x4.splat(0.5);
  return f32x4.add(f32x4.mul(half, lo), f32x4.mul(half, hi));
}

@inline
function radius_of(lo: v128, hi: v128, c: v128, grow: v128, tiny: v128): v128 {
  const r = f32x4.max(f32x4.sub(hi, c), f32x4.sub(c, lo));
  return f32x4.add(f32x4.add(r, f32x4.mul(r, grow)), tiny);
}

/** c = lo/2 + hi/2, r = max(hi - c, c - lo), then r += r grow + tiny, each step rounded. */
export function interval_to_centre(
  n: i32, lo: usize, hi: usize, c: usize, r: usize, grow: f32, tiny: f32, r0: i32, r1: i32,
): void {
  const gv = f32x4.splat(grow);
  const tv = f32x4.splat(tiny);
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) {
    const a = v128.load(lo + i);
    const b = v128.load(hi + i);
    const m = centre_of(a, b);
    v128.store(c + i, m);
    v128.store(r + i, radius_of(a, b, m, gv, tv));
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    const a = load_part(lo + i, rest);
    const b = load_part(hi + i, rest);
    const m = centre_of(a, b);
    store_part(c + i, m, rest);
    store_part(r + i, radius_of(a, b, m, gv, tv), rest);
  }
}

/** |v| grow + tiny. */
@inline
function margin(v: v128, grow: v128, tiny: v128): v128 {
  return f32x4.add(f32x4.mul(f32x4.abs(v), grow), tiny);
}

/** lo = c - r and hi = c + r, then each outwards by |end| grow + tiny, each step rounded. */
export function interval_to_ends(
  n: i32, c: usize, r: usize, lo: usize, hi: usize, grow: f32, tiny: f32, r0: i32, r1: i32,
): void {
  const gv = f32x4.splat(grow);
  const tv = f32x4.splat(tiny);
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) {
    const m = v128.load(c + i);
    const d = v128.load(r + i);
    const a = f32x4.sub(m, d);
    const b = f32x4.add(m, d);
    v128.store(lo + i, f32x4.sub(a, margin(a, gv, tv)));
    v128.store(hi + i, f32x4.add(b, margin(b, gv, tv)));
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    const m = load_part(c + i, rest);
    const d = load_part(r + i, rest);
    const a = f32x4.sub(m, d);
    const b = f32x4.add(m, d);
    store_part(lo + i, f32x4.sub(a, margin(a, gv, tv)), rest);
    store_part(hi + i, f32x4.add(b, margin(b, gv, tv)), rest);
  }
}
