/**
 * The gradient of a convolution by its weights: a product over all positions of dy and of what
 * the weight's tap sees. Both run along positions in memory, so the vectors run along positions
 * too: each element of the gradient is four partial sums, added up at the very end.
 *
 * A row is a panel of 8 of the c * kh * kw columns; the whole reduction is inside it, image by
 * image. Each block of positions is summed from zero and then added to the total, which keeps
 * the rounding error that of the blocks, not of one long chain.
 * Cost: 2 n oh ow oc c kh kw flops; 6 loads for each 8 multiply-adds.
 */
import { bytes, load_part, madd } from './simd';

/** Positions of a block, in whole lines; 8 columns of them stay in the first cache. */
const BLOCK: i32 = 512;

/** Copies `count` elements that are `stride` elements apart. */
// @ts-ignore: decorator
@inline
function copy_run(p: usize, stride: i32, count: i32, q: usize): void {
  const step = bytes(stride);
  if (stride <= 2 && count >= 4) {
    // The last vector overlaps the one before, so nothing past the run is read.
    for (let i = 0; i < count; i += 4) {
      const j = min<i32>(i, count - 4);
      const s = p + step * j;
      const v = stride == 1
        ? v128.load(s)
        : v128.shuffle<i32>(v128.load(s), v128.load(s, 12), 0, 2, 5, 7);
      v128.store(q + bytes(j), v);
    }
    return;
  }
  for (let i = 0; i < count; i++, p += step, q += 4) store<u32>(q, load<u32>(p));
}

// @ts-ignore: decorator
@inline
function zero_run(q: usize, count: i32): void {
  for (let i = 0; i < count; i++, q += 4) store<u32>(q, 0);
}

/** ceil(a / b) for b > 0. */
// @ts-ignore: decorator
@inline
function ceil_div(a: i32, b: i32): i32 {
  return a > 0 ? (a + b - 1) / b : -(-a / b);
}

/** What one tap, moved by (dy, dx), sees of a plane from lines [y0, y1) of the output. */
function see(
  x: usize, h: i32, w: i32, dy: i32, dx: i32, sh: i32, sw: i32, ow: i32, y0: i32, y1: i32,
  out: usize,
): void {
  const lo = max<i32>(0, min<i32>(ow, ceil_div(-dx, sw)));
  const hi = max<i32>(lo, min<i32>(ow, ceil_div(w - dx, sw)));
  let q = out;
  for (let oy = y0; oy < y1; oy++, q += bytes(ow)) {
    const iy = oy * sh + dy;
    if (<u32>iy >= <u32>h) {
      zero_run(q, ow);
      continue;
    }
    zero_run(q, lo);
    copy_run(x + bytes(iy * w + lo * sw + dx), sw, hi - lo, q + bytes(lo));
    zero_run(q + bytes(hi), ow - hi);
  }
  zero_run(q, 4);
}

// @ts-ignore: decorator
@inline
function add_to(p: usize, v: v128): void {
  v128.store(p, f32x4.add(v128.load(p), v));
}

/**
 * total [rows][8][4 lanes] += dy [rows, count] times two columns at b; rows (1 or 4) of dy are
 * dy_row bytes apart, the columns b_row.
 */
// @ts-ignore: decorator
@inline
function dots(
  rows: i32, dy: usize, dy_row: usize, b: usize, b_row: usize, count: i32, total: usize,
): void {
  const d1 = dy + dy_row;
  const d2 = d1 + dy_row;
  const d3 = d2 + dy_row;
  const b2 = b + b_row;
  let s00 = f32x4.splat(0);
  let s01 = s00;
  let s10 = s00;
  let s11 = s00;
  let s20 = s00;
  let s21 = s00;
  let s30 = s00;
  let s31 = s00;
  const end = bytes(count);
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) {
    const u = v128.load(b + i);
    const v = v128.load(b2 + i);
    let g = v128.load(dy + i);
    s00 = madd(g, u, s00);
    s01 = madd(g, v, s01);
    if (rows > 1) {
      g = v128.load(d1 + i);
      s10 = madd(g, u, s10);
      s11 = madd(g, v, s11);
      g = v128.load(d2 + i);
      s20 = madd(g, u, s20);
      s21 = madd(g, v, s21);
      g = v128.load(d3 + i);
      s30 = madd(g, u, s30);
      s31 = madd(g, v, s31);
    }
  }
  if (i < end) {
    // The columns go on with zeros, but what follows a row of dy may be anything.
    const rest = <i32>((end - i) >> 2);
    const u = v128.load(b + i);
    const v = v128.load(b2 + i);
    let g = load_part(dy + i, rest);
    s00 = madd(g, u, s00);
    s01 = madd(g, v, s01);
    if (rows > 1) {
      g = load_part(d1 + i, rest);
      s10 = madd(g, u, s10);
      s11 = madd(g, v, s11);
      g = load_part(d2 + i, rest);
      s20 = madd(g, u, s20);
      s21 = madd(g, v, s21);
      g = load_part(d3 + i, rest);
      s30 = madd(g, u, s30);
      s31 = madd(g, v, s31);
    }
  }
  add_to(total, s00);
  add_to(total + 16, s01);
  if (rows > 1) {
    add_to(total + 128, s10);
    add_to(total + 144, s11);
    add_to(total + 256, s20);
    add_to(total + 272, s21);
    add_to(total + 384, s30);
    add_to(total + 400, s31);
  }
}

function dots4(dy: usize, dy_row: usize, b: usize, b_row: usize, count: i32, t: usize): void {
  dots(4, dy, dy_row, b, b_row, count, t);
}

function dots1(dy: usize, dy_row: usize, b: usize, b_row: usize, count: i32, t: usize): void {
  dots(1, dy, dy_row, b, b_row, count, t);
}

/** Adds one block of positions of one image to total [oc][8][4]. */
// @ts-ignore: decorator
@inline
function add_block(
  oc: i32, width: i32, dy: usize, dy_row: usize, columns: usize, row: usize, count: i32,
  total: usize,
): void {
  for (let j = 0; j < width; j += 2) {
    const b = columns + row * j;
    let o = 0;
    for (; o + 4 <= oc; o += 4) {
      dots4(dy + dy_row * o, dy_row, b, row, count, total + (<usize>o << 7) + (<usize>j << 4));
    }
    for (; o < oc; o++) {
      dots1(dy + dy_row * o, dy_row, b, row, count, total + (<usize>o << 7) + (<usize>j << 4));
    }
  }
}

/** grad [oc, c, kh, kw] = gradient of conv2d by its weights. Rows are panels of 8 columns. */
export function conv2d_weight_grad(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, x: usize, dy: usize, grad: usize,
  work: usize, r0: i32, r1: i32,
): void {
  const taps = kh * kw;
  const depth = c * taps;
  const plane = oh * ow;
  const lines = max<i32>(1, BLOCK / max<i32>(ow, 1));
  const row = bytes(min<i32>(lines, oh) * ow + 4);
  const columns = work + (<usize>oc << 7);
  for (let r = r0; r < r1; r++) {
    const k0 = r * 8;
    const width = min<i32>(8, depth - k0);
    memory.fill(work, 0, <usize>oc << 7);
    // An odd width leaves half of the last pair empty.
    if (width & 1) memory.fill(columns + row * width, 0, row);
    for (let image = 0; image < n; image++) {
      for (let y0 = 0; y0 < oh; y0 += lines) {
        const y1 = min<i32>(oh, y0 + lines);
        for (let j = 0; j < width; j++) {
          const i = (k0 + j) / taps;
          const t = (k0 + j) % taps;
          const ky = (t / kw) * dh - pt;
          const kx = (t % kw) * dw - pl;
          const source = x + bytes((image * c + i) * h * w);
          see(source, h, w, ky, kx, sh, sw, ow, y0, y1, columns + row * j);
        }
        const g = dy + bytes(image * oc * plane + y0 * ow);
        add_block(oc, width, g, bytes(plane), columns, row, (y1 - y0) * ow, work);
      }
    }
    for (let o = 0; o < oc; o++) {
      for (let j = 0; j < width; j++) {
        const v = v128.load(work + (<usize>o << 7) + (<usize>j << 4));
        const s = f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1);
        const t = f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3);
        store<f32>(grad + bytes(o * depth + k0 + j), s + t);
      }
    }
  }
}
