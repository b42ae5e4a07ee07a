/**
 * Products with sparse matrices in compressed rows (CSR), in the one form that serves dense layers,
 * convolutions and the transposes of both: a non-zero is a value and a byte offset, and multiplies
 * the output tiles of 16 activations that lie that offset behind the tiles' own places. Offsets and
 * places are worked out once (src/sparse/tables.ts), so no loop here knows of kernels, strides,
 * padding or layouts (compare Park et al., "Faster CNNs with direct sparse convolutions", 2017, who
 * take runs along the lines of a plane; Elsen et al., "Fast sparse convnets", 2020).
 *
 * Two pairs go together, whose sums stay in 8 registers while the non-zeros of a row pass by. An
 * element is one chain of multiply-adds from the bias, in the order of the row.
 *
 * V8 emits the loads of a block before its arithmetic, and 8 loaded vectors beside 8 sums do not fit
 * into 16 registers: hence the condition around the second of a pair, which nothing can fold, and which
 * makes a non-zero 2.2 times as fast. Values and offsets have a pointer each, as V8 keeps their
 * distance in memory (1.3 times), and a turn takes two non-zeros (1.1 times; measured on Node 20).
 *
 * starts [m + 1]: the first non-zero of every row. values, offsets [nnz]; offsets are in bytes.
 * places [tiles][2]: byte offsets of a tile in x and in a row of y. masks [tiles][16]: and-ed
 * with what is written. Images lie x_image and y_image bytes apart, rows of y y_row bytes.
 * Cost: 32 flops a non-zero and tile, for about 4.5 loads of vectors.
 */
import { bytes, lanes, madd } from './simd';

/** Bytes of a tile. */
const TILE: usize = 64;

// Arguments in this order keep NaN.
@inline
function clamp(v: v128, lo: v128, hi: v128): v128 {
  return f32x4.pmin(f32x4.pmax(v, lo), hi);
}

@inline
function put(
  q: usize, a: v128, b: v128, c: v128, d: v128, lo: v128, hi: v128, mask: usize,
): void {
  a = clamp(a, lo, hi);
  b = clamp(b, lo, hi);
  c = clamp(c, lo, hi);
  d = clamp(d, lo, hi);
  if (mask) {
    a = v128.and(a, v128.load(mask));
    b = v128.and(b, v128.load(mask, 16));
    c = v128.and(c, v128.load(mask, 32));
    d = v128.and(d, v128.load(mask, 48));
  }
  v128.store(q, a);
  v128.store(q, b, 16);
  v128.store(q, c, 32);
  v128.store(q, d, 48);
}

/**
 * Rows [r0, r1) of two tiles: p to out + to_p, and q (none if 0) to out + to_q. With `absolute`,
 * q meets |A| and no bias.
 */
function rows_of(
  absolute: bool, starts: usize, values: usize, offsets: usize, bias: usize, p: usize, q: usize,
  out: usize, to_p: usize, to_q: usize, y_row: usize, lo: f32, hi: f32,
  mask_p: usize, mask_q: usize, r0: i32, r1: i32,
): void {
  const to_offset = offsets - values;
  const sign = i32x4.splat(absolute ? i32.MAX_VALUE : -1);
  const added = i32x4.splat(absolute ? 0 : -1);
  const least = f32x4.splat(lo);
  const most = f32x4.splat(hi);
  out += y_row * r0;
  let v = values + bytes(load<i32>(starts + bytes(r0)));
  let o = v + to_offset;
  for (let r = r0; r < r1; r++, out += y_row) {
    const end = values + bytes(load<i32>(starts + bytes(r), 4));
    const start = bias ? v128.load32_splat(bias + bytes(r)) : f32x4.splat(0);
    let a0 = start, a1 = start, a2 = start, a3 = start, b0 = v128.and(start, added), b1 = b0;
    let b2 = b0, b3 = b0;
    for (; v < end; v += 8, o += 8) {
      const at: usize = load<u32>(o);
      const w = v128.load32_splat(v);
      if (q) {
        const u = v128.and(w, sign);
        b0 = madd(u, v128.load(q + at), b0);
        b1 = madd(u, v128.load(q + at, 16), b1);
        b2 = madd(u, v128.load(q + at, 32), b2);
        b3 = madd(u, v128.load(q + at, 48), b3);
      }
      a0 = madd(w, v128.load(p + at), a0);
      a1 = madd(w, v128.load(p + at, 16), a1);
      a2 = madd(w, v128.load(p + at, 32), a2);
      a3 = madd(w, v128.load(p + at, 48), a3);
      if (v + 4 == end) break;
      const next: usize = load<u32>(o, 4);
      const s = v128.load32_splat(v, 4);
      if (q) {
        const u = v128.and(s, sign);
        b0 = madd(u, v128.load(q + next), b0);
        b1 = madd(u, v128.load(q + next, 16), b1);
        b2 = madd(u, v128.load(q + next, 32), b2);
        b3 = madd(u, v128.load(q + next, 48), b3);
      }
      a0 = madd(s, v128.load(p + next), a0);
      a1 = madd(s, v128.load(p + next, 16), a1);
      a2 = madd(s, v128.load(p + next, 32), a2);
      a3 = madd(s, v128.load(p + next, 48), a3);
    }
    v = end;
    o = end + to_offset;
    put(out + to_p, a0, a1, a2, a3, least, most, mask_p);
    if (q) put(out + to_q, b0, b1, b2, b3, least, most, mask_q);
  }
}

/**
 * y = min(max(A x + bias [m], lo), hi). Rows are the m of the first pair of tiles of the first image, of
 * its second pair, ...
 */
export function sparse_product(
  m: i32, n: i32, tiles: i32, starts: usize, values: usize, offsets: usize, places: usize,
  masks: usize, bias: usize, x: usize, x_image: i32, y: usize, y_image: i32, y_row: i32,
  lo: f32, hi: f32, r0: i32, r1: i32,
): void {
  const pairs = (tiles + 1) >> 1;
  while (r0 < r1) {
    const t = r0 / m;
    const from = r0 - t * m;
    const to = min<i32>(m, r1 - t * m);
    r0 += to - from;
    const image = t / pairs;
    const g = (t - image * pairs) << 1;
    const place = places + (<usize>g << 3);
    const one = g + 1 == tiles;
    const in_x = x + <usize>x_image * image;
    const mask = masks ? masks + TILE * g : 0;
    rows_of(
      false, starts, values, offsets, bias, in_x + load<u32>(place),
      one ? 0 : in_x + load<u32>(place, 8), y + <usize>y_image * image, load<u32>(place, 4),
      one ? 0 : load<u32>(place, 12), y_row, lo, hi, mask, mask ? mask + TILE : 0, from, to,
    );
  }
}

/** Rows whose sums wait in the workspace of `sparse_bounds` for what makes bounds of them. */
const PART = 64;

/** What a layer of interval bounds does, 4 bytes each: src/plan/interval-plan.ts has the argument. */
const enum Form { SCALE, FLOOR, GROW, TINY, ALPHA, BETA, UNDER, FED }

@inline
function of_form(form: usize, which: Form): v128 {
  return v128.load32_splat(form + (<usize>which << 2));
}

/**
 * Sums of `count` rows at p, 32 each, as bounds at q and q + other; NaN to `flag` where a radius is
 * not below 2^76.
 */
@inline
function bounds_of(
  fed: bool, form: usize, lifts: usize, flag: usize, p: usize, count: i32, q: usize, other: usize,
  y_row: usize, mask: usize,
): void {
  const half = f32x4.splat(0.5);
  const sizes = i32x4.splat(i32.MAX_VALUE);
  const limit = f32x4.splat(75557863725914323419136.0);
  const scale = of_form(form, Form.SCALE);
  const floor = of_form(form, Form.FLOOR);
  const share = of_form(form, fed ? Form.BETA : Form.GROW);
  const under = of_form(form, fed ? Form.UNDER : Form.TINY);
  const alpha = of_form(form, Form.ALPHA);
  let fine = i32x4.splat(-1);
  for (const end = lifts + bytes(count); lifts < end; lifts += 4, p += 64, q += y_row - 64) {
    const lift = v128.load32_splat(lifts);
    for (const last = p + 64; p < last; p += 16, q += 16) {
      const c = v128.load(p);
      const r = f32x4.add(f32x4.mul(v128.load(p, 64), scale), lift);
      fine = v128.and(fine, f32x4.lt(r, limit));
      let a = f32x4.sub(c, r), b = f32x4.add(c, r);
      if (!fed) {
        a = f32x4.sub(a, f32x4.add(f32x4.mul(v128.and(a, sizes), share), under));
        b = f32x4.add(b, f32x4.add(f32x4.mul(v128.and(b, sizes), share), under));
      }
      // Arguments in this order keep NaN.
      a = f32x4.pmax(a, floor);
      b = f32x4.pmax(b, floor);
      if (fed) {
        a = f32x4.mul(half, f32x4.add(a, b));
        const e = f32x4.mul(alpha, f32x4.sub(b, a));
        b = f32x4.add(f32x4.add(e, f32x4.mul(share, v128.and(a, sizes))), under);
      }
      if (mask) {
        const kept = v128.load(mask);
        a = v128.and(a, kept);
        b = v128.and(b, kept);
        mask += 16;
      }
      v128.store(q, a);
      v128.store(q + other, b);
    }
    if (mask) mask -= 64;
  }
  if (!i32x4.all_true(fine)) store<f32>(flag, NaN);
}

/**
 * The bounds that the sums A x + bias and |A| r make, with lifts [m] added to radii (`bounds_of`): ends,
 * or centre and fed radius, at y and s. One image; rows are the m of the first tile, of the second, ...
 */
export function sparse_bounds(
  m: i32, tiles: i32, starts: usize, values: usize, offsets: usize, places: usize, masks: usize,
  bias: usize, x: usize, r: usize, y: usize, s: usize, y_row: i32, form: usize, lifts: usize,
  flag: usize, work: usize, r0: i32, r1: i32,
): void {
  const fed = load<i32>(form + (<usize>Form.FED << 2)) != 0;
  while (r0 < r1) {
    const g = r0 / m;
    const from = r0 - g * m;
    const to = min<i32>(min<i32>(m, r1 - g * m), from + PART);
    r0 += to - from;
    const place = places + (<usize>g << 3);
    const at = load<u32>(place);
    const mask = masks ? masks + TILE * g : 0;
    rows_of(
      true, starts, values, offsets, bias, x + at, r + at, work - ((<usize>from * 2) << 6), 0, TILE,
      2 * TILE, -Infinity, Infinity, 0, 0, from, to,
    );
    const lift = lifts + bytes(from);
    const q = y + load<u32>(place, 4) + <usize>y_row * from;
    if (fed) bounds_of(true, form, lift, flag, work, to - from, q, s - y, y_row, mask);
    else bounds_of(false, form, lift, flag, work, to - from, q, s - y, y_row, mask);
  }
}

/**
 * y [m] = min(max(A x + bias [m], lo), hi) for one column x. Rows are m. A row is four chains over
 * every fourth non-zero, the first of them from the bias, and what is left joins the first.
 */
export function sparse_vector(
  m: i32, starts: usize, values: usize, offsets: usize, bias: usize, x: usize, y: usize,
  lo: f32, hi: f32, r0: i32, r1: i32,
): void {
  const to_offset = offsets - values;
  let v = values + bytes(load<i32>(starts + bytes(r0)));
  for (let r = r0; r < r1; r++) {
    const end = values + bytes(load<i32>(starts + bytes(r), 4));
    let a: f32 = bias ? load<f32>(bias + bytes(r)) : 0;
    let b: f32 = 0, c: f32 = 0, d: f32 = 0;
    for (; v + 12 < end; v += 16) {
      a += load<f32>(v) * load<f32>(x + load<u32>(v + to_offset));
      b += load<f32>(v, 4) * load<f32>(x + load<u32>(v + to_offset, 4));
      c += load<f32>(v, 8) * load<f32>(x + load<u32>(v + to_offset, 8));
      d += load<f32>(v, 12) * load<f32>(x + load<u32>(v + to_offset, 12));
    }
    for (; v < end; v += 4) a += load<f32>(v) * load<f32>(x + load<u32>(v + to_offset));
    const s = clamp(f32x4.splat(a + b + (c + d)), f32x4.splat(lo), f32x4.splat(hi));
    v128.store32_lane(y + bytes(r), s, 0);
  }
}

/**
 * dvalues [nnz] = the gradient of the values: for a non-zero in row r with offset o the sum over
 * all places of x at place + o times dy at its place in row r. dy is 0 where a mask would be. Rows
 * are m. work: a vector a non-zero, and one more.
 */
export function sparse_sampled(
  m: i32, nnz: i32, n: i32, tiles: i32, starts: usize, offsets: usize, places: usize,
  x: usize, x_image: i32, dy: usize, y_image: i32, y_row: i32, dvalues: usize,
  work: usize, r0: i32, r1: i32,
): void {
  if (r0 >= r1) return;
  const first = load<i32>(starts + bytes(r0));
  const count = load<i32>(starts + bytes(r1)) - first;
  memory.fill(work, 0, <usize>count << 4);
  let seen = 0;
  for (let t = 0, end = n * ((tiles + 1) >> 1); t < end; t++) {
    const pairs = (tiles + 1) >> 1;
    const image = t / pairs;
    const g = (t - image * pairs) << 1;
    const place = places + (<usize>g << 3);
    const one = g + 1 == tiles;
    const in_x = x + <usize>x_image * image;
    const in_y = dy + <usize>y_image * image;
    if (g == 0) seen |= touch(in_x, x_image) | touch(in_y, y_image);
    sample(
      starts, offsets, in_x + load<u32>(place), one ? 0 : in_x + load<u32>(place, 8),
      in_y, load<u32>(place, 4), one ? 0 : load<u32>(place, 12), y_row,
      work, r0, r1,
    );
  }
  let from = work;
  let to = dvalues + bytes(first);
  // Behind the sums, so that `touch` has a use.
  store<i32>(work + (<usize>count << 4), seen);
  for (let i = 0; i < count; i++, from += 16, to += 4) store<f32>(to, lanes(v128.load(from)));
}

/**
 * Reads a word of every line of the cache, in order, which fetches them several times as fast as the
 * offsets of a row do: a gradient over 64 images of 165 kB in 1.1 instead of 4.4 ms (measured).
 */
function touch(p: usize, size: i32): i32 {
  let seen = 0;
  for (const end = p + size; p < end; p += 64) seen |= load<i32>(p);
  return seen;
}

/** Adds the products of two tiles to the vectors of the non-zeros of rows [r0, r1). */
@inline
function sample(
  starts: usize, offsets: usize, p: usize, q: usize, dy: usize, at_p: usize, at_q: usize,
  y_row: usize, sums: usize, r0: i32, r1: i32,
): void {
  let v = offsets + bytes(load<i32>(starts + bytes(r0)));
  dy += y_row * r0;
  for (let r = r0; r < r1; r++, dy += y_row) {
    const end = offsets + bytes(load<i32>(starts + bytes(r), 4));
    if (v == end) continue;
    const a0 = v128.load(dy + at_p), a1 = v128.load(dy + at_p, 16), a2 = v128.load(dy + at_p, 32);
    const a3 = v128.load(dy + at_p, 48), b0 = v128.load(dy + at_q), b1 = v128.load(dy + at_q, 16);
    const b2 = v128.load(dy + at_q, 32), b3 = v128.load(dy + at_q, 48);
    for (; v < end; v += 4, sums += 16) {
      const at: usize = load<u32>(v);
      let s = v128.load(sums), t = f32x4.splat(0);
      if (p) {
        s = madd(a0, v128.load(p + at), s);
        t = madd(a1, v128.load(p + at, 16), t);
        s = madd(a2, v128.load(p + at, 32), s);
        t = madd(a3, v128.load(p + at, 48), t);
      }
      if (q) {
        s = madd(b0, v128.load(q + at), s);
        t = madd(b1, v128.load(q + at, 16), t);
        s = madd(b2, v128.load(q + at, 32), s);
        t = madd(b3, v128.load(q + at, 48), t);
      }
      v128.store(sums, f32x4.add(s, t));
    }
  }
}
