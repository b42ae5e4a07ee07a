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

/** alpha (r + r grow + tiny) + beta |c|. */
@inline
function radius_of(
  lo: v128, hi: v128, c: v128, grow: f32, tiny: f32, alpha: f32, beta: f32,
): v128 {
  const r = f32x4.max(f32x4.sub(hi, c), f32x4.sub(c, lo));
  const e = f32x4.add(f32x4.add(r, f32x4.mul(r, f32x4.splat(grow))), f32x4.splat(tiny));
  const share = f32x4.mul(f32x4.splat(beta), f32x4.abs(c));
  return f32x4.add(f32x4.mul(f32x4.splat(alpha), e), share);
}

/**
 * c = lo/2 + hi/2, e = max(hi - c, c - lo), e += e grow + tiny, and r = alpha e + beta |c|, each step
 * rounded.
 */
export function interval_to_centre(
  n: i32, lo: usize, hi: usize, c: usize, r: usize, grow: f32, tiny: f32, alpha: f32, beta: f32,
  r0: i32, r1: i32,
): void {
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) {
    const a = v128.load(lo + i), b = v128.load(hi + i);
    const m = centre_of(a, b);
    v128.store(c + i, m);
    v128.store(r + i, radius_of(a, b, m, grow, tiny, alpha, beta));
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    const a = load_part(lo + i, rest), b = load_part(hi + i, rest), m = centre_of(a, b);
    store_part(c + i, m, rest);
    store_part(r + i, radius_of(a, b, m, grow, tiny, alpha, beta), rest);
  }
}

/** |v| grow + tiny. */
@inline
function margin(v: v128, grow: f32, tiny: f32): v128 {
  return f32x4.add(f32x4.mul(f32x4.abs(v), f32x4.splat(grow)), f32x4.splat(tiny));
}

/** r, or with a shift scale r + shift, and NaN where r is 2^80 or more. */
@inline
function lifted(r: v128, scale: f32, shift: f32): v128 {
  if (shift == 0) return r;
  const large = f32x4.mul(r, f32x4.splat(281474976710656));
  const far = f32x4.add(f32x4.mul(r, f32x4.splat(scale)), f32x4.splat(shift));
  return f32x4.add(far, f32x4.sub(large, large));
}

/**
 * lo = c - d and hi = c + d with d = scale r + shift, then each outwards by |end| grow + tiny, each
 * step rounded. A shift of 0 is for d = r.
 */
export function interval_to_ends(
  n: i32, c: usize, r: usize, lo: usize, hi: usize, grow: f32, tiny: f32, scale: f32, shift: f32,
  r0: i32, r1: i32,
): void {
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) {
    const m = v128.load(c + i);
    const d = lifted(v128.load(r + i), scale, shift);
    const a = f32x4.sub(m, d), b = f32x4.add(m, d);
    v128.store(lo + i, f32x4.sub(a, margin(a, grow, tiny)));
    v128.store(hi + i, f32x4.add(b, margin(b, grow, tiny)));
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    const m = load_part(c + i, rest);
    const d = lifted(load_part(r + i, rest), scale, shift);
    const a = f32x4.sub(m, d), b = f32x4.add(m, d);
    store_part(lo + i, f32x4.sub(a, margin(a, grow, tiny)), rest);
    store_part(hi + i, f32x4.add(b, margin(b, grow, tiny)), rest);
  }
}
