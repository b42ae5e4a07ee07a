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

@inline
function zero_run(q: usize, count: i32): void {
  for (let i = 0; i < count; i++, q += 4) store<u32>(q, 0);
}

/** out [ph, pw] = the plane [h, w] from line -top and column -left on, zero where it is not. */
export function pad_plane(
  x: usize, h: i32, w: i32, top: i32, left: i32, ph: i32, pw: i32, out: usize,
): void {
  const lo = max<i32>(0, min<i32>(pw, left));
  const hi = max<i32>(lo, min<i32>(pw, w + left));
  for (let y = 0; y < ph; y++, out += bytes(pw)) {
    const iy = y - top;
    if (<u32>iy >= <u32>h) {
      zero_run(out, pw);
      continue;
    }
    zero_run(out, lo);
    copy_run(x + bytes(iy * w + lo - left), hi - lo, out + bytes(lo));
    zero_run(out + bytes(hi), pw - hi);
  }
}

/** out [ph, pw] = every s-th element (s = 1 or 2) of the plane from (y0, x0) on, zero outside. */
export function pad_phase(
  x: usize, h: i32, w: i32, y0: i32, x0: i32, s: i32, ph: i32, pw: i32, out: usize,
): void {
  if (s == 1) {
    pad_plane(x, h, w, -y0, -x0, ph, pw, out);
    return;
  }
  const lo = max<i32>(0, min<i32>(pw, (1 - x0) >> 1));
  const hi = max<i32>(lo, min<i32>(pw, (w - x0 + 1) >> 1));
  for (let y = 0; y < ph; y++, out += bytes(pw)) {
    const iy = y0 + 2 * y;
    if (<u32>iy >= <u32>h) {
      zero_run(out, pw);
      continue;
    }
    zero_run(out, lo);
    let p = x + bytes(iy * w + x0 + 2 * lo);
    let q = out + bytes(lo);
    let left = hi - lo;
    for (; left >= 4; left -= 4, p += 32, q += 16) {
      v128.store(q, v128.shuffle<i32>(v128.load(p), v128.load(p, 12), 0, 2, 5, 7));
    }
    for (; left > 0; left--, p += 8, q += 4) store<u32>(q, load<u32>(p));
    zero_run(out + bytes(hi), pw - hi);
  }
}
