/**
 * Convolutions whose channels fall into groups, each convolved by itself (depthwise ones have a group
 * a channel), and their two gradients. With few channels behind an output there is no product to
 * speak of: sums stay in registers while the taps of the kernel pass by, over planes copied with
 * their padding, so that every tap is a constant distance away. Wide groups are dense convolutions of one
 * image each, by the kernels that those have.
 *
 * What is outside of x is zeroed once a call.
 * x [n, c, h, w], weights [oc, c / groups, kh, kw], y [n, oc, oh, ow].
 * Cost: 2 n oh ow oc c / groups kh kw flops each, for 1.5 loads a vector of products.
 */
import { conv2d_input_grad } from './conv';
import { conv2d_weight_grad } from './conv_weight_grad';
import { conv2d_direct } from './direct';
import { lines_of, list_taps, merge, run_of, split } from './phases';
import { bytes, lanes, load_part, madd, store_part } from './simd';

/** Channels from which on a group fills the tiles of the dense kernels. */
const WIDE: i32 = 4;

/** The first `count` elements at q. */
@inline
function put(v: v128, relu: i32, q: usize, count: i32): void {
  if (relu) v = f32x4.max(v, f32x4.splat(0));
  if (count >= 4) v128.store(q, v);
  else if (count > 0) store_part(q, v, count);
}

/**
 * Four vectors of outputs over taps listed from `taps` to `end`: `across` (1, 2 or 4) of each of 4 / across
 * lines, which lie `down` bytes apart in the planes and `line` bytes apart in y.
 */
@inline
function tile(
  across: i32, wt: usize, taps: usize, end: usize, p: usize, down: usize, first: v128, relu: i32,
  q: usize, line: usize, count: i32,
): void {
  const down2 = down + down, down3 = down2 + down;
  let a = first, b = first, c = first, d = first;
  for (; taps < end; taps += 4, wt += 4) {
    const at = p + load<u32>(taps);
    const k = v128.load32_splat(wt);
    a = madd(k, v128.load(at), a);
    b = madd(k, across > 1 ? v128.load(at, 16) : v128.load(at + down), b);
    c = madd(k, across > 2 ? v128.load(at, 32) : v128.load(at + (across > 1 ? down : down2)), c);
    if (across > 2) d = madd(k, v128.load(at, 48), d);
    else d = madd(k, across > 1 ? v128.load(at + down, 16) : v128.load(at + down3), d);
  }
  put(a, relu, q, count);
  if (across > 2) {
    put(b, relu, q + 16, count - 4);
    put(c, relu, q + 32, count - 8);
    put(d, relu, q + 48, count - 12);
  } else if (across > 1) {
    put(b, relu, q + 16, count - 4);
    put(c, relu, q + line, count);
    put(d, relu, q + line + 16, count - 4);
  } else {
    put(b, relu, q + line, count);
    put(c, relu, q + line * 2, count);
    put(d, relu, q + line * 3, count);
  }
}

/**
 * One or two vectors across at the end of every line, 4 / across lines at a time. The last lines overlap those
 * before; where a plane has too few, all of a tile are the same line.
 */
@inline
function tail(
  across: i32, wt: usize, taps: usize, end: usize, p: usize, down: usize, first: v128, relu: i32,
  q: usize, oh: i32, ow: i32, count: i32,
): void {
  const high = 4 / across;
  const many = oh >= high;
  for (let y = 0; y < oh; y += many ? high : 1) {
    const oy = many ? min<i32>(y, oh - high) : y;
    const to = q + bytes(oy * ow);
    const from = p + down * oy;
    tile(across, wt, taps, end, from, many ? down : 0, first, relu, to, many ? bytes(ow) : 0, count);
  }
}

/** A plane of y: sums over taps of planes from p on, whose lines for y lie `down` bytes apart. */
function sums(
  wt: usize, taps: usize, end: usize, p: usize, down: usize, first: v128, relu: i32, q: usize,
  oh: i32, ow: i32,
): void {
  let ox = 0;
  for (; ow - ox > 8; ox += 16) {
    let from = p + bytes(ox), to = q + bytes(ox);
    for (let oy = 0; oy < oh; oy++, from += down, to += bytes(ow)) {
      tile(4, wt, taps, end, from, 0, first, relu, to, 0, ow - ox);
    }
  }
  const rest = ow - ox;
  p += bytes(ox);
  q += bytes(ox);
  if (rest > 4) tail(2, wt, taps, end, p, down, first, relu, q, oh, ow, rest);
  else if (rest > 0) tail(1, wt, taps, end, p, down, first, relu, q, oh, ow, rest);
}

/**
 * y = conv(x, wt) (+ bias [oc]), max(0, .) of it when relu is not 0; conv2d_direct has the same bits. Rows are
 * the groups of the first image, of the second, ... work: taps of a channel, planes of a group.
 */
export function conv2d_grouped(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, groups: i32, x: usize, wt: usize, bias: usize, y: usize,
  relu: i32, work: usize, r0: i32, r1: i32,
): void {
  const depth = c / groups;
  const outputs = oc / groups;
  const size = depth * kh * kw;
  if (outputs >= WIDE && sh == sw && sh <= 2 && ow >= 4) {
    for (let r = r0; r < r1; r++) {
      const o = (r % groups) * outputs;
      conv2d_direct(
        1, depth, h, w, outputs, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow,
        x + bytes(r * depth * h * w), wt + bytes(o * size), bias ? bias + bytes(o) : 0,
        y + bytes(r * outputs * oh * ow), relu, work, 0, oh,
      );
    }
    return;
  }
  const run = run_of(kw, sw, dw, ow);
  const lines = lines_of(kh, sh, dh, oh);
  const plane = lines * sw * run;
  const planes = work + bytes(size);
  list_taps(depth, kh, kw, sw, dh, dw, lines, run, work);
  memory.fill(planes, 0, bytes(depth * plane));
  for (let r = r0; r < r1; r++) {
    for (let i = 0; i < depth; i++) {
      const from = x + bytes((r * depth + i) * h * w);
      split(from, h, w, pt, pl, sw, lines, run, planes + bytes(i * plane));
    }
    for (let i = 0; i < outputs; i++) {
      const o = (r % groups) * outputs + i;
      const first = bias ? v128.load32_splat(bias + bytes(o)) : f32x4.splat(0);
      const to = y + bytes((r * outputs + i) * oh * ow);
      const down = bytes(sh * run);
      sums(wt + bytes(o * size), work, planes, planes, down, first, relu, to, oh, ow);
    }
  }
}

/** q [count] += k p [count]. */
@inline
function add_times(k: v128, p: usize, count: i32, q: usize): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    v128.store(q + bytes(i), madd(k, v128.load(p + bytes(i)), v128.load(q + bytes(i))));
  }
  if (i < count) {
    const rest = count - i;
    const sum = madd(k, load_part(p + bytes(i), rest), load_part(q + bytes(i), rest));
    store_part(q + bytes(i), sum, rest);
  }
}

/**
 * dx of conv2d_grouped. Rows are the groups of the first image, of the second, ... work: taps and a plane of a
 * channel.
 */
export function conv2d_grouped_input_grad(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, groups: i32, dy: usize, wt: usize, dx: usize,
  work: usize, r0: i32, r1: i32,
): void {
  const depth = c / groups;
  const outputs = oc / groups;
  const area = kh * kw;
  const run = run_of(kw, sw, dw, ow);
  const lines = lines_of(kh, sh, dh, oh);
  const planes = work + bytes(area);
  const wide = min<i32>(depth, outputs) >= WIDE;
  if (!wide) list_taps(1, kh, kw, sw, dh, dw, lines, run, work);
  for (let r = r0; r < r1; r++) {
    const a = wt + bytes((r % groups) * outputs * depth * area);
    const from = dy + bytes(r * outputs * oh * ow);
    const to = dx + bytes(r * depth * h * w);
    if (wide) {
      conv2d_input_grad(
        1, depth, h, w, outputs, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow, from, a, to, work,
        0, i32.MAX_VALUE,
      );
      continue;
    }
    for (let i = 0; i < depth; i++) {
      memory.fill(planes, 0, bytes(lines * sw * run));
      for (let o = 0; o < outputs; o++) {
        for (let t = 0; t < area; t++) {
          const k = v128.load32_splat(a + bytes((o * depth + i) * area + t));
          let p = from + bytes(o * oh * ow), q = planes + load<u32>(work + bytes(t));
          for (let oy = 0; oy < oh; oy++, p += bytes(ow), q += bytes(sh * run)) {
            add_times(k, p, ow, q);
          }
        }
      }
      merge(planes, h, w, pt, pl, sw, lines, run, to + bytes(i * h * w));
    }
  }
}

/** Taps whose products with dy are summed in one pass. */
const AT_ONCE: i32 = 3;

/**
 * sums [have] += for every tap the sum of the planes from p on times q, over `lines` lines of `count` elements;
 * those of q lie whole vectors apart. What stands in the planes behind a line takes no part.
 */
function dot_lines(
  taps: usize, have: i32, p: usize, down: usize, q: usize, lines: i32, count: i32, sums: usize,
): void {
  let p0 = p + load<u32>(taps);
  let p1 = p + load<u32>(taps + bytes(min<i32>(1, have - 1)));
  let p2 = p + load<u32>(taps + bytes(min<i32>(2, have - 1)));
  const whole = bytes(count & ~3), end = bytes((count + 3) & ~3);
  const last = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count & 3));
  let a0 = f32x4.splat(0), b0 = a0, a1 = a0, b1 = a0, a2 = a0, b2 = a0;
  for (let y = 0; y < lines; y++, p0 += down, p1 += down, p2 += down, q += end) {
    let i: usize = 0;
    for (; i + 32 <= whole; i += 32) {
      const at0 = p0 + i, at1 = p1 + i, at2 = p2 + i;
      const v = v128.load(q + i), w = v128.load(q + i, 16);
      a0 = madd(v128.load(at0), v, a0);
      b0 = madd(v128.load(at0, 16), w, b0);
      a1 = madd(v128.load(at1), v, a1);
      b1 = madd(v128.load(at1, 16), w, b1);
      a2 = madd(v128.load(at2), v, a2);
      b2 = madd(v128.load(at2, 16), w, b2);
    }
    for (; i < end; i += 16) {
      const v = v128.load(q + i), seen = i < whole ? i32x4.splat(-1) : last;
      a0 = madd(v128.and(v128.load(p0 + i), seen), v, a0);
      a1 = madd(v128.and(v128.load(p1 + i), seen), v, a1);
      a2 = madd(v128.and(v128.load(p2 + i), seen), v, a2);
    }
  }
  store<f32>(sums, load<f32>(sums) + lanes(f32x4.add(a0, b0)));
  if (have > 1) store<f32>(sums, load<f32>(sums, 4) + lanes(f32x4.add(a1, b1)), 4);
  if (have > 2) store<f32>(sums, load<f32>(sums, 8) + lanes(f32x4.add(a2, b2)), 8);
}

/**
 * dwt of conv2d_grouped. Rows are the groups. work: taps and planes of a group, lines of dy with zeros behind;
 * or the gradient of an image and what conv2d_weight_grad needs.
 */
export function conv2d_grouped_weight_grad(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, groups: i32, x: usize, dy: usize, dwt: usize,
  work: usize, r0: i32, r1: i32,
): void {
  const depth = c / groups;
  const outputs = oc / groups;
  const taps = depth * kh * kw;
  const size = outputs * taps;
  const run = run_of(kw, sw, dw, ow);
  const lines = lines_of(kh, sh, dh, oh);
  const plane = lines * sw * run;
  const across = (ow + 3) & ~3;
  const planes = work + bytes(taps);
  const copy = planes + bytes(depth * plane);
  const wide = min<i32>(depth, outputs) >= WIDE;
  memory.fill(dwt + bytes(r0 * size), 0, bytes((r1 - r0) * size));
  if (!wide) {
    list_taps(depth, kh, kw, sw, dh, dw, lines, run, work);
    memory.fill(planes, 0, bytes(depth * plane + oh * across));
  }
  for (let g = r0; g < r1; g++) {
    const sums = dwt + bytes(g * size);
    for (let image = 0; image < n; image++) {
      const r = image * groups + g;
      const from = x + bytes(r * depth * h * w);
      const by = dy + bytes(r * outputs * oh * ow);
      if (wide) {
        conv2d_weight_grad(
          1, depth, h, w, outputs, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow, from, by, work,
          work + bytes(size), 0, (taps + 3) / 4,
        );
        add_times(f32x4.splat(1), work, size, sums);
        continue;
      }
      for (let i = 0; i < depth; i++) {
        const to = planes + bytes(i * plane);
        split(from + bytes(i * h * w), h, w, pt, pl, sw, lines, run, to);
      }
      for (let o = 0; o < outputs; o++) {
        let grad = by + bytes(o * oh * ow);
        if (across != ow) {
          split(grad, oh, ow, 0, 0, 1, oh, across, copy);
          grad = copy;
        }
        for (let t = 0; t < taps; t += AT_ONCE) {
          dot_lines(
            work + bytes(t), min<i32>(AT_ONCE, taps - t), planes, bytes(sh * run), grad, oh, ow,
            sums + bytes(o * taps + t),
          );
        }
      }
    }
  }
}
