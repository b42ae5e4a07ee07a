/**
 * Pooling of planes with several images side by side, [c][lines][columns][lanes], as sparse
 * products have them. Windows lie inside of the planes. Strides of channels and lines count bytes;
 * a column is `lanes` elements. Rows are the c * oh lines of y. Cost: kh * kw an output, a
 * quarter of it for single images by every second column.
 */
import { bytes, load_part, store_part } from './simd';

/** Instead of a count: every second of 7 elements. */
const SECONDS = 8;

@inline
function take(p: usize, count: i32): v128 {
  if (count == 4) return v128.load(p);
  if (count != SECONDS) return load_part(p, count);
  return v128.shuffle<i32>(v128.load(p), v128.load(p, 12), 0, 2, 5, 7);
}

/** The maximum (NaN goes through) or the mean of a window of vectors, or of parts of them. */
@inline
function window(
  p: usize, count: i32, kh: i32, kw: i32, line: usize, column: usize, average: i32,
): v128 {
  let s = take(p, count);
  for (let ky = 0; ky < kh; ky++, p += line) {
    for (let kx = ky ? 0 : 1; kx < kw; kx++) {
      const v = take(p + column * kx, count);
      s = average ? f32x4.add(s, v) : f32x4.max(s, v);
    }
  }
  return average ? f32x4.div(s, f32x4.splat(<f32>(kh * kw))) : s;
}

export function pool_lanes(
  c: i32, oh: i32, ow: i32, lanes: i32, kh: i32, kw: i32, sh: i32, sw: i32,
  x: usize, x_channel: i32, x_line: i32, y: usize, y_channel: i32, y_line: i32, average: i32,
  r0: i32, r1: i32,
): void {
  const column = bytes(lanes);
  for (let r = r0; r < r1; r++) {
    const i = r / oh;
    const at = r - i * oh;
    let p = x + <usize>x_channel * i + <usize>x_line * (at * sh);
    let q = y + <usize>y_channel * i + <usize>y_line * at;
    let ox = 0;
    if (lanes == 1 && sw == 2) {
      for (; ox + 4 <= ow; ox += 4, p += 32, q += 16) {
        v128.store(q, window(p, SECONDS, kh, kw, x_line, column, average));
      }
    }
    for (; ox < ow; ox++, p += column * sw, q += column) {
      let l = 0;
      for (; l + 4 <= lanes; l += 4) {
        v128.store(q + bytes(l), window(p + bytes(l), 4, kh, kw, x_line, column, average));
      }
      if (l < lanes) {
        const rest = lanes - l;
        const v = window(p + bytes(l), rest, kh, kw, x_line, column, average);
        store_part(q + bytes(l), v, rest);
      }
    }
  }
}
