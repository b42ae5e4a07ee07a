/**
 * Products with matrices of which four rows share the places of their non-zeros (4 x 1 blocks; compare
 * Elsen et al., "Fast sparse convnets", 2020): one offset and two loads of activations serve four rows.
 * Offsets, places and masks are those of sparse.ts.
 *
 * A step is a block of four rows by half a tile, in 8 registers. An element is one chain of
 * multiply-adds from the bias, in the order of the block.
 *
 * starts [ceil(m / 4) + 1]: the first entry of every block; values [entries][4], 0 below the last
 * row; offsets [entries].
 * Cost: 128 flops an entry and tile, for 12 loads of vectors.
 */
import { bytes, madd } from './simd';

@inline
function put(q: usize, a: v128, b: v128, lo: v128, hi: v128, mask: usize): void {
  // Arguments in this order keep NaN.
  a = f32x4.pmin(f32x4.pmax(a, lo), hi);
  b = f32x4.pmin(f32x4.pmax(b, lo), hi);
  if (mask) {
    a = v128.and(a, v128.load(mask));
    b = v128.and(b, v128.load(mask, 16));
  }
  v128.store(q, a);
  v128.store(q, b, 16);
}

@inline
function start(bias: usize, row: i32, rows: i32): v128 {
  return bias && row < rows ? v128.load32_splat(bias + bytes(row)) : f32x4.splat(0);
}

/** Blocks [b0, b1) of the tile at p, to q. */
@inline
function blocks_of(
  m: i32, starts: usize, values: usize, offsets: usize, bias: usize, p: usize, q: usize,
  y_row: usize, lo: f32, hi: f32, mask: usize, b0: i32, b1: i32,
): void {
  const least = f32x4.splat(lo);
  const most = f32x4.splat(hi);
  q += y_row * (b0 << 2);
  let o = offsets + bytes(load<i32>(starts + bytes(b0)));
  let v = values + ((o - offsets) << 2);
  for (let b = b0; b < b1; b++, q += y_row << 2) {
    const end = offsets + bytes(load<i32>(starts + bytes(b), 4));
    const first = o;
    const from = v;
    const rows = m - (b << 2);
    const added = bias ? bias + bytes(b << 2) : 0;
    for (let half: usize = 0; half < 64; half += 32) {
      let s00 = start(added, 0, rows), s10 = start(added, 1, rows), s20 = start(added, 2, rows);
      let s30 = start(added, 3, rows), s01 = s00, s11 = s10, s21 = s20, s31 = s30;
      v = from;
      for (o = first; o < end; o += 4, v += 16) {
        const at = p + half + load<u32>(o);
        const u0 = v128.load(at), u1 = v128.load(at, 16);
        let w = v128.load32_splat(v);
        s00 = madd(w, u0, s00);
        s01 = madd(w, u1, s01);
        w = v128.load32_splat(v, 4);
        s10 = madd(w, u0, s10);
        s11 = madd(w, u1, s11);
        w = v128.load32_splat(v, 8);
        s20 = madd(w, u0, s20);
        s21 = madd(w, u1, s21);
        w = v128.load32_splat(v, 12);
        s30 = madd(w, u0, s30);
        s31 = madd(w, u1, s31);
      }
      const to = q + half;
      const kept = mask ? mask + half : 0;
      put(to, s00, s01, least, most, kept);
      if (rows > 1) put(to + y_row, s10, s11, least, most, kept);
      if (rows > 2) put(to + y_row * 2, s20, s21, least, most, kept);
      if (rows > 3) put(to + y_row * 3, s30, s31, least, most, kept);
    }
  }
}

/**
 * y = min(max(A x + bias [m], lo), hi). Rows are the blocks of the first tile of the first image, of its
 * second tile, ...
 */
export function sparse_blocks(
  m: i32, n: i32, tiles: i32, starts: usize, values: usize, offsets: usize, places: usize,
  masks: usize, bias: usize, x: usize, x_image: i32, y: usize, y_image: i32, y_row: i32,
  lo: f32, hi: f32, r0: i32, r1: i32,
): void {
  const blocks = (m + 3) >> 2;
  while (r0 < r1) {
    const t = r0 / blocks;
    const from = r0 - t * blocks;
    const to = min<i32>(blocks, r1 - t * blocks);
    r0 += to - from;
    const image = t / tiles;
    const g = t - image * tiles;
    const place = places + (<usize>g << 3);
    blocks_of(
      m, starts, values, offsets, bias, x + <usize>x_image * image + load<u32>(place),
      y + <usize>y_image * image + load<u32>(place, 4), y_row, lo, hi,
      masks ? masks + (<usize>g << 6) : 0, from, to,
    );
  }
}
