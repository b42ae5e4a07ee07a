/** Copies of planes with their padding, in which every tap is a constant distance away. */
import { bytes } from './simd';

/** Copies `count` elements; the last vector overlaps the one before. */
@inline
export function copy_run(p: usize, count: i32, q: usize): void {
  if (count < 4) {
    for (let i = 0; i < count; i++, p += 4, q += 4) store<u32>(q, load<u32>(p));
    return;
  }
  const last = bytes(count - 4);
  for (let i: usize = 0; i < last; i += 16) v128.store(q + i, v128.load(p + i));
  v128.store(q + last, v128.load(p + last));
}

/** Zeros; the last vector overlaps the one before. */
@inline
function zero_run(q: usize, count: i32): void {
  if (count < 4) {
    for (let i = 0; i < count; i++, q += 4) store<u32>(q, 0);
    return;
  }
  const last = q + bytes(count - 4);
  for (; q < last; q += 16) v128.store(q, i32x4.splat(0));
  v128.store(last, i32x4.splat(0));
}

/** `count` elements, every second one of those at p; the last vector overlaps the one before. */
export function copy_seconds(p: usize, count: i32, q: usize): void {
  if (count < 4) {
    for (let i = 0; i < count; i++, p += 8, q += 4) store<u32>(q, load<u32>(p));
    return;
  }
  const last = q + bytes(count - 4);
  for (; q < last; p += 32, q += 16) {
    v128.store(q, v128.shuffle<i32>(v128.load(p), v128.load(p, 12), 0, 2, 5, 7));
  }
  p -= (q - last) << 1;
  v128.store(last, v128.shuffle<i32>(v128.load(p), v128.load(p, 12), 0, 2, 5, 7));
}

/** a, b = every second element of x from its first and second on; `count` of each, 4 or more. */
export function unzip(x: usize, a: usize, b: usize, count: i32): void {
  const last = bytes(count - 4);
  for (let i: usize = 0; ; i += 16) {
    i = min(i, last);
    const v = v128.load(x + (i << 1)), w = v128.load(x + (i << 1), 16);
    v128.store(a + i, v128.shuffle<i32>(v, w, 0, 2, 4, 6));
    v128.store(b + i, v128.shuffle<i32>(v, w, 1, 3, 5, 7));
    if (i == last) return;
  }
}

/** Copies `count` elements, every s-th one of those at p. */
@inline
export function copy_every(p: usize, s: i32, count: i32, q: usize): void {
  if (s == 1) copy_run(p, count, q);
  else if (s == 2) copy_seconds(p, count, q);
  else for (let i = 0; i < count; i++, p += bytes(s), q += 4) store<u32>(q, load<u32>(p));
}

/**
 * out [ph, pw] = every s-th element (s = 1 or 2) of the plane from (y0, x0) on, zero outside; with
 * `zeros` 0 what is outside stays as it is.
 */
export function pad_phase(
  x: usize, h: i32, w: i32, y0: i32, x0: i32, s: i32, ph: i32, pw: i32, out: usize, zeros: i32,
): void {
  const shift = s >> 1;
  const top = max<i32>(0, min<i32>(ph, (s - 1 - y0) >> shift));
  const bottom = max<i32>(top, min<i32>(ph, (h - y0 + s - 1) >> shift));
  const left = max<i32>(0, min<i32>(pw, (s - 1 - x0) >> shift));
  const right = max<i32>(left, min<i32>(pw, (w - x0 + s - 1) >> shift));
  if (zeros) zero_run(out, ph * pw);
  let p = x + bytes((y0 + top * s) * w + x0 + left * s);
  let q = out + bytes(top * pw + left);
  for (let y = top; y < bottom; y++, p += bytes(s * w), q += bytes(pw)) {
    copy_every(p, s, right - left, q);
  }
}

/** out [ph, pw] = the plane [h, w] from line -top and column -left on, zero where it is not. */
export function pad_plane(
  x: usize, h: i32, w: i32, top: i32, left: i32, ph: i32, pw: i32, out: usize,
): void {
  pad_phase(x, h, w, -top, -left, 1, ph, pw, out, 1);
}
