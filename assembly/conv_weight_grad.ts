/**
 * The gradient of a convolution by its weights: for every column (channel, ky, kx) of the weights
 * and every output channel, a sum over all positions. The wide axis of the tile are 8 output
 * channels of dy, transposed into a panel [positions][8]; the 4 rows are columns of the weights,
 * read in place from a copy of x with its padding: a position is a byte offset in that copy, the
 * same for every column, so one table of offsets serves any stride, dilation and plane, and no tap
 * is ever gathered.
 *
 * A row is 4 columns; the whole reduction is inside it. Positions come in blocks of whole lines of
 * one image or of several whole images. Each block is summed from zero and then added to the
 * total, which keeps the rounding error that of the blocks, not of one long chain.
 * x [n, c, h, w], dy [n, oc, oh, ow], grad [oc, c, kh, kw].
 * Cost: 2 n oh ow oc c kh kw flops; 7 loads for each 8 multiply-adds.
 */
import { pad_plane } from './padded';
import { bytes, madd, transpose4 } from './simd';

/** Positions of a block, about; also in kernels.ts. */
const BLOCK: i32 = 384;
/** Elements of the totals of a group of channels, and channels of a group, at most. */
const TOTALS: i32 = 65536;
const CHANNELS: i32 = 32;

/** Rows (1 to 4) of total, `wide` bytes apart, take (or add) a panel times columns of x. */
@inline
function tile(
  rows: i32, bases: usize, table: usize, panel: usize, count: i32, add: bool, total: usize,
  wide: usize,
): void {
  const a0: usize = load<u32>(bases);
  const a1: usize = rows > 1 ? load<u32>(bases, 4) : 0;
  const a2: usize = rows > 2 ? load<u32>(bases, 8) : 0;
  const a3: usize = rows > 3 ? load<u32>(bases, 12) : 0;
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00;
  let s31 = s00;
  const end = table + bytes(count);
  for (; table < end; table += 4, panel += 32) {
    const at: usize = load<u32>(table);
    const b0 = v128.load(panel), b1 = v128.load(panel, 16);
    let v = v128.load32_splat(a0 + at);
    s00 = madd(v, b0, s00);
    s01 = madd(v, b1, s01);
    if (rows > 1) {
      v = v128.load32_splat(a1 + at);
      s10 = madd(v, b0, s10);
      s11 = madd(v, b1, s11);
    }
    if (rows > 2) {
      v = v128.load32_splat(a2 + at);
      s20 = madd(v, b0, s20);
      s21 = madd(v, b1, s21);
    }
    if (rows > 3) {
      v = v128.load32_splat(a3 + at);
      s30 = madd(v, b0, s30);
      s31 = madd(v, b1, s31);
    }
  }
  finish(add, total, s00, s01);
  if (rows > 1) finish(add, total + wide, s10, s11);
  if (rows > 2) finish(add, total + wide * 2, s20, s21);
  if (rows > 3) finish(add, total + wide * 3, s30, s31);
}

@inline
function finish(add: bool, total: usize, lo: v128, hi: v128): void {
  if (add) {
    lo = f32x4.add(v128.load(total), lo);
    hi = f32x4.add(v128.load(total, 16), hi);
  }
  v128.store(total, lo);
  v128.store(total, hi, 16);
}

function tile4(
  bases: usize, table: usize, panel: usize, count: i32, add: bool, total: usize, wide: usize,
): void {
  tile(4, bases, table, panel, count, add, total, wide);
}

function tile3(
  bases: usize, table: usize, panel: usize, count: i32, add: bool, total: usize, wide: usize,
): void {
  tile(3, bases, table, panel, count, add, total, wide);
}

function tile2(
  bases: usize, table: usize, panel: usize, count: i32, add: bool, total: usize, wide: usize,
): void {
  tile(2, bases, table, panel, count, add, total, wide);
}

function tile1(
  bases: usize, table: usize, panel: usize, count: i32, add: bool, total: usize, wide: usize,
): void {
  tile(1, bases, table, panel, count, add, total, wide);
}

/** panel [count][8] = the transpose of `width` runs of `count` elements, `apart` bytes apart. */
function pack_panel(dy: usize, apart: usize, width: i32, count: i32, panel: usize): void {
  if (width < 8) {
    memory.fill(panel, 0, <usize>count << 5);
    for (let j = 0; j < width; j++) {
      let p = dy + apart * j;
      let q = panel + bytes(j);
      for (let i = 0; i < count; i++, p += 4, q += 32) store<u32>(q, load<u32>(p));
    }
    return;
  }
  for (let half = 0; half < 2; half++) {
    let p0 = dy + apart * (half * 4);
    let p1 = p0 + apart, p2 = p1 + apart, p3 = p2 + apart;
    let q = panel + (<usize>half << 4), i = 0;
    for (; i + 4 <= count; i += 4, q += 128) {
      transpose4(v128.load(p0), v128.load(p1), v128.load(p2), v128.load(p3), q, 32);
      p0 += 16;
      p1 += 16;
      p2 += 16;
      p3 += 16;
    }
    for (; i < count; i++, q += 32) {
      store<u32>(q, load<u32>(p0));
      store<u32>(q, load<u32>(p1), 4);
      store<u32>(q, load<u32>(p2), 8);
      store<u32>(q, load<u32>(p3), 12);
      p0 += 4;
      p1 += 4;
      p2 += 4;
      p3 += 4;
    }
  }
}

/** grad [oc][depth], columns [first, first + width), from totals [width][wide bytes]. */
function write_out(
  totals: usize, wide: usize, oc: i32, depth: i32, first: i32, width: i32, grad: usize,
): void {
  const down = bytes(depth);
  for (let j = 0; j < width; j += 4) {
    const p = totals + wide * j;
    const q = grad + bytes(first + j);
    let o = 0;
    if (j + 4 <= width) {
      for (; o + 4 <= oc; o += 4) {
        const s = p + bytes(o);
        transpose4(
          v128.load(s), v128.load(s + wide), v128.load(s + wide * 2), v128.load(s + wide * 3),
          q + down * o, down,
        );
      }
    }
    const have = min<i32>(4, width - j);
    for (; o < oc; o++) {
      for (let i = 0; i < have; i++) {
        store<u32>(q + down * o + bytes(i), load<u32>(p + wide * i + bytes(o)));
      }
    }
  }
}

/** Adds one block: every panel of output channels times every column. */
function add_block(
  columns: i32, bases: usize, table: usize, images: i32, count: i32, oc: i32, plane: i32, dy: usize,
  add: bool, panel: usize, totals: usize, wide: usize,
): void {
  const all = images * count;
  for (let o = 0; o < oc; o += 8) {
    const width = min<i32>(8, oc - o);
    for (let image = 0; image < images; image++) {
      pack_panel(
        dy + bytes((image * oc + o) * plane), bytes(plane), width, count,
        panel + (<usize>(image * count) << 5),
      );
    }
    let t = totals + bytes(o), b = bases, j = columns;
    for (; j >= 4; j -= 4, b += 16, t += wide << 2) tile4(b, table, panel, all, add, t, wide);
    if (j == 3) tile3(b, table, panel, all, add, t, wide);
    else if (j == 2) tile2(b, table, panel, all, add, t, wide);
    else if (j == 1) tile1(b, table, panel, all, add, t, wide);
  }
}

/** grad [oc, c, kh, kw] = gradient of conv2d by its weights. Rows are groups of 4 columns. */
export function conv2d_weight_grad(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, x: usize, dy: usize, grad: usize,
  work: usize, r0: i32, r1: i32,
): void {
  const taps = kh * kw;
  const depth = c * taps;
  const plane = oh * ow;
  // Blocks of equal size: lines of one image, or whole images.
  const blocks = max<i32>(1, min<i32>(oh, (plane + BLOCK - 1) / BLOCK));
  const lines = (oh + blocks - 1) / max<i32>(blocks, 1);
  const images = blocks > 1 ? 1 : max<i32>(1, min<i32>(n, BLOCK / max<i32>(plane, 1)));
  const ph = (lines - 1) * sh + (kh - 1) * dh + 1;
  const pw = (ow - 1) * sw + (kw - 1) * dw + 1;
  const positions = images * lines * ow;
  // Columns of a group: whole channels, so that totals and copies of x stay cached.
  const group = max<i32>(1, min<i32>(min<i32>(c, CHANNELS), TOTALS / max<i32>(1, oc * taps)));
  const wide = bytes((oc + 7) & -8);
  const bases = work;
  const table = bases + bytes(group * taps);
  const panel = table + bytes(positions);
  const padded = panel + (<usize>positions << 5);
  const totals = padded + bytes(group * images * ph * pw);

  let q = table;
  for (let image = 0; image < images; image++) {
    for (let oy = 0; oy < lines; oy++) {
      for (let ox = 0; ox < ow; ox++, q += 4) {
        store<u32>(q, <u32>bytes(image * ph * pw + oy * sh * pw + ox * sw));
      }
    }
  }
  const last = min<i32>(depth, r1 * 4);
  for (let j0 = r0 * 4; j0 < last; ) {
    const c0 = j0 / taps;
    const c1 = min<i32>(c, c0 + group);
    // A group but the last ends on a whole tile of rows.
    let j1 = min<i32>(last, c1 * taps);
    if (j1 < last && j1 - j0 > 4) j1 -= (j1 - j0) & 3;
    for (let j = j0; j < j1; j++) {
      const t = j % taps;
      const at = (j / taps - c0) * images * ph * pw + (t / kw) * dh * pw + (t % kw) * dw;
      store<u32>(bases + bytes(j - j0), <u32>(padded + bytes(at)));
    }
    if (n * plane == 0) memory.fill(totals, 0, wide * (j1 - j0));
    for (let i0 = 0; i0 < n; i0 += images) {
      const have = min<i32>(images, n - i0);
      for (let y0 = 0; y0 < oh; y0 += lines) {
        const high = min<i32>(lines, oh - y0);
        const seen = (high - 1) * sh + (kh - 1) * dh + 1;
        for (let i = 0; i < have; i++) {
          for (let ch = c0; ch < c1; ch++) {
            pad_plane(
              x + bytes(((i0 + i) * c + ch) * h * w), h, w, pt - y0 * sh, pl, seen, pw,
              padded + bytes(((ch - c0) * images + i) * ph * pw),
            );
          }
        }
        add_block(
          j1 - j0, bases, table, have, high * ow, oc, plane,
          dy + bytes(i0 * oc * plane + y0 * ow), i0 + y0 > 0, panel, totals, wide,
        );
      }
    }
    write_out(totals, wide, oc, depth, j0, j1 - j0, grad);
    j0 = j1;
  }
}
