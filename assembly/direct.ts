/**
 * Convolution without gathering: the planes of an image are copied once with their padding, split
 * into the phases of the stride, so that a tap of the kernel is one byte offset, from a table, and 4
 * neighbouring outputs of a line are one unaligned load. The tile is that of tile.ts, 4 rows by two
 * such quads from anywhere in the image; the last quad of a line overlaps the one before, so lines
 * of 4 or more outputs leave no edge. The chains are those of conv.ts, bit for bit.
 * Strides 1 or 2, the same in both directions; lines of at least 4 outputs.
 * Cost: 2 n oh 4 ceil(ow / 4) oc c kh kw flops for 7 loads of a step of 64.
 */
import { pad_phase } from './padded';
import { bytes, madd } from './simd';

/** y[quads p0, p1] of `rows` (1 or 4) output channels. */
@inline
function tile(
  rows: i32, a: usize, a_row: usize, table: usize, end: usize, p0: usize, p1: usize,
  bias: usize, relu: i32, y0: usize, y1: usize, plane: usize,
): void {
  let s00 = bias ? v128.load32_splat(bias) : f32x4.splat(0);
  let s10 = bias && rows > 1 ? v128.load32_splat(bias, 4) : f32x4.splat(0);
  let s20 = bias && rows > 1 ? v128.load32_splat(bias, 8) : f32x4.splat(0);
  let s30 = bias && rows > 1 ? v128.load32_splat(bias, 12) : f32x4.splat(0);
  let s01 = s00, s11 = s10, s21 = s20, s31 = s30, a1 = a + a_row, a2 = a1 + a_row, a3 = a2 + a_row;
  for (; table < end; table += 4) {
    const at: usize = load<u32>(table);
    const b0 = v128.load(p0 + at), b1 = v128.load(p1 + at);
    let v = v128.load32_splat(a);
    a += 4;
    s00 = madd(v, b0, s00);
    s01 = madd(v, b1, s01);
    if (rows > 1) {
      v = v128.load32_splat(a1);
      a1 += 4;
      s10 = madd(v, b0, s10);
      s11 = madd(v, b1, s11);
      v = v128.load32_splat(a2);
      a2 += 4;
      s20 = madd(v, b0, s20);
      s21 = madd(v, b1, s21);
      v = v128.load32_splat(a3);
      a3 += 4;
      s30 = madd(v, b0, s30);
      s31 = madd(v, b1, s31);
    }
  }
  if (relu) {
    const zero = f32x4.splat(0);
    s00 = f32x4.max(s00, zero);
    s01 = f32x4.max(s01, zero);
    s10 = f32x4.max(s10, zero);
    s11 = f32x4.max(s11, zero);
    s20 = f32x4.max(s20, zero);
    s21 = f32x4.max(s21, zero);
    s30 = f32x4.max(s30, zero);
    s31 = f32x4.max(s31, zero);
  }
  v128.store(y0, s00);
  v128.store(y1, s01);
  if (rows > 1) {
    v128.store(y0 + plane, s10);
    v128.store(y1 + plane, s11);
    v128.store(y0 + plane * 2, s20);
    v128.store(y1 + plane * 2, s21);
    v128.store(y0 + plane * 3, s30);
    v128.store(y1 + plane * 3, s31);
  }
}

/**
 * Convolution as conv2d, without a matrix of patches. Rows are the n * oh lines of y; work holds the tables of
 * taps and quads and the padded planes.
 */
export function conv2d_direct(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, x: usize, wt: usize, bias: usize, y: usize,
  relu: i32, work: usize, r0: i32, r1: i32,
): void {
  const s = sh;
  const depth = c * kh * kw;
  const across = (ow + 3) / 4;
  const down = ((kh - 1) * dh) / s;
  const pw = ow + ((kw - 1) * dw) / s;
  const table = work;
  const end = table + bytes(depth);
  // Pairs (from, to) of every quad, and of one more, as they are taken two at a time.
  const quads = end;
  const planes = quads + bytes(2 * oh * across + 2);
  let tabled = -1;
  let q = quads;
  for (let r = r0; r < r1; ) {
    const image = r / oh;
    const first = r % oh;
    const lines = min<i32>(oh - first, r1 - r);
    const ph = lines + down;
    const size = ph * pw;
    if (tabled != lines) {
      tabled = lines;
      let at = table;
      for (let ky = 0; ky < kh; ky++) {
        for (let kx = 0; kx < kw; kx++, at += 4) {
          const phase = ((ky * dh) % s) * s + ((kx * dw) % s);
          const line = phase * ph + (ky * dh) / s;
          store<u32>(at, bytes(line * pw + (kx * dw) / s));
        }
      }
      // Every other channel lies a constant distance behind the one before.
      const next = bytes(s * s * size);
      const area = bytes(kh * kw);
      for (; at < end; at += 4) store<u32>(at, load<u32>(at - area) + <u32>next);
      q = quads;
      for (let line = 0; line < lines; line++) {
        for (let i = 0; i < across; i++, q += 8) {
          const column = min<i32>(4 * i, ow - 4);
          store<u32>(q, bytes(line * pw + column));
          store<u32>(q, bytes(line * ow + column), 4);
        }
      }
      // The odd one out goes twice.
      store<u64>(q, load<u64>(q - 8));
    }
    let out = planes;
    for (let i = 0; i < c; i++) {
      const plane = x + bytes((image * c + i) * h * w);
      for (let phase = 0; phase < s * s; phase++, out += bytes(size)) {
        pad_phase(plane, h, w, first * s + phase / s - pt, (phase % s) - pl, s, ph, pw, out, 1);
      }
    }
    for (let o = 0; o < oc; ) {
      const four = oc - o >= 4;
      const a = wt + bytes(o * depth);
      const b = bias ? bias + bytes(o) : 0;
      const to = y + bytes(((image * oc + o) * oh + first) * ow);
      const row = bytes(depth);
      const plane = bytes(oh * ow);
      for (let i = quads; i < q; i += 16) {
        const p0 = planes + load<u32>(i), p1 = planes + load<u32>(i, 8), y0 = to + load<u32>(i, 4);
        const y1 = to + load<u32>(i, 12);
        if (four) tile(4, a, row, table, end, p0, p1, b, relu, y0, y1, plane);
        else tile(1, a, row, table, end, p0, p1, b, relu, y0, y1, plane);
      }
      o += four ? 4 : 1;
    }
    r += lines;
  }
}
