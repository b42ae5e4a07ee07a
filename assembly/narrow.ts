/**
 * The input gradient of a convolution with few input channels (a first layer), where gathering
 * panels would cost more than the products. Every phase reads dy with stride 1, so 8 positions of
 * a line are two vectors of a padded copy of the image: a tap is a byte offset in that copy, from
 * a table, and nothing is gathered. The chains are those of `tile.ts`.
 */
import { pad_plane } from './padded';
import { bytes, madd } from './simd';

/** Rows (input channels) of the widest tile here; also in kernels.ts. */
export const MOST_ROWS: i32 = 4;

/** True where lines are not mostly the unused end of a run of 8. */
@inline
export function wide_enough(gw: i32): bool {
  return gw >= 6;
}

/**
 * temp [rows][8] = a [rows, k] times the 8 elements at p + table[k]; with at most 2 rows also
 * temp [2 + row][8] for q, as more independent sums.
 */
@inline
function tile(
  rows: i32, a: usize, a_row: usize, table: usize, k: i32, p: usize, q: usize, temp: usize,
): void {
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00;
  let s31 = s00, t00 = s00, t01 = s00, t10 = s00, t11 = s00, v = s00, d0 = s00, d1 = s00;
  const end = table + bytes(k);
  for (; table < end; table += 4, a += 4) {
    const at: usize = load<u32>(table);
    const b0 = v128.load(p + at), b1 = v128.load(p + at, 16);
    if (rows <= 2) {
      d0 = v128.load(q + at);
      d1 = v128.load(q + at, 16);
    }
    v = v128.load32_splat(a);
    s00 = madd(v, b0, s00);
    s01 = madd(v, b1, s01);
    if (rows <= 2) {
      t00 = madd(v, d0, t00);
      t01 = madd(v, d1, t01);
    }
    if (rows > 1) {
      v = v128.load32_splat(a + a_row);
      s10 = madd(v, b0, s10);
      s11 = madd(v, b1, s11);
      if (rows <= 2) {
        t10 = madd(v, d0, t10);
        t11 = madd(v, d1, t11);
      }
    }
    if (rows > 2) {
      v = v128.load32_splat(a + a_row * 2);
      s20 = madd(v, b0, s20);
      s21 = madd(v, b1, s21);
    }
    if (rows > 3) {
      v = v128.load32_splat(a + a_row * 3);
      s30 = madd(v, b0, s30);
      s31 = madd(v, b1, s31);
    }
  }
  v128.store(temp, s00, 0);
  v128.store(temp, s01, 16);
  if (rows > 1) {
    v128.store(temp, s10, 32);
    v128.store(temp, s11, 48);
  }
  if (rows > 2) {
    v128.store(temp, s20, 64);
    v128.store(temp, s21, 80);
  }
  if (rows > 3) {
    v128.store(temp, s30, 96);
    v128.store(temp, s31, 112);
  }
  if (rows <= 2) {
    v128.store(temp, t00, 64);
    v128.store(temp, t01, 80);
    if (rows > 1) {
      v128.store(temp, t10, 96);
      v128.store(temp, t11, 112);
    }
  }
}

/** Writes the first `have` of 8 lanes of `rows` rows. */
function put(
  rows: i32, temp: usize, have: i32, out: usize, plane: usize, right: i32,
): void {
  for (let i = 0; i < rows; i++, temp += 32, out += plane) {
    if (have == 8 && right == 1) {
      v128.store(out, v128.load(temp));
      v128.store(out, v128.load(temp, 16), 16);
      continue;
    }
    let p = out;
    for (let lane = 0; lane < have; lane++, p += bytes(right)) {
      store<u32>(p, load<u32>(temp + bytes(lane)));
    }
  }
}

/**
 * The positions [first, last) of the grid [n, gh, gw], as `run_panels` of conv.ts with strides 1
 * would write them. work: tile, table, one padded image.
 */
export function run_lines(
  a: usize, rows: i32, n: i32, c: i32, h: i32, w: i32, taps: usize, count: i32, gh: i32, gw: i32,
  x: usize, out: usize, plane: i32, origin: i32, down: i32, right: i32, work: usize,
  first: i32, last: i32,
): void {
  let y0 = 0, y1 = 0, x0 = 0, x1 = 0;
  for (let t = 0; t < count; t++) {
    const ty = load<i32>(taps + (<usize>t << 3));
    const tx = load<i32>(taps + (<usize>t << 3), 4);
    y0 = t ? min<i32>(y0, ty) : ty;
    y1 = t ? max<i32>(y1, ty) : ty;
    x0 = t ? min<i32>(x0, tx) : tx;
    x1 = t ? max<i32>(x1, tx) : tx;
  }
  const ph = gh + y1 - y0;
  const pw = gw + x1 - x0 + 7;
  const depth = c * count;
  const a_row = bytes(depth);
  const table = work + 128;
  const padded = table + bytes(depth);
  for (let i = 0; i < c; i++) {
    for (let t = 0; t < count; t++) {
      const ty = load<i32>(taps + (<usize>t << 3)) - y0;
      const tx = load<i32>(taps + (<usize>t << 3), 4) - x0;
      store<u32>(table + bytes(i * count + t), <u32>bytes((i * ph + ty) * pw + tx));
    }
  }
  let image = -1;
  let p: usize = 0;
  let to: usize = 0;
  let waiting = 0;
  for (let r = first; r < last; ) {
    const line = r / gw;
    const gx = r % gw;
    const gy = line % gh;
    const have = min<i32>(min<i32>(8, gw - gx), last - r);
    if (line / gh != image) {
      image = line / gh;
      for (let i = 0; i < c; i++) {
        pad_plane(
          x + bytes((image * c + i) * h * w), h, w, -y0, -x0, ph, pw, padded + bytes(i * ph * pw),
        );
      }
    }
    const q = padded + bytes(gy * pw + gx);
    const at = out + bytes(image * rows * plane + origin + gy * down + gx * right);
    r += have;
    if (rows > 2) {
      if (rows == 3) tile(3, a, a_row, table, depth, q, q, work);
      else tile(4, a, a_row, table, depth, q, q, work);
      put(rows, work, have, at, bytes(plane), right);
      continue;
    }
    // Two runs at a time, both of one image.
    if (!waiting && r < last && r / gw / gh == image) {
      waiting = have;
      p = q;
      to = at;
      continue;
    }
    if (rows == 2) tile(2, a, a_row, table, depth, q, waiting ? p : q, work);
    else tile(1, a, a_row, table, depth, q, waiting ? p : q, work);
    put(rows, work, have, at, bytes(plane), right);
    if (waiting) put(rows, work + 64, waiting, to, bytes(plane), right);
    waiting = 0;
  }
}
