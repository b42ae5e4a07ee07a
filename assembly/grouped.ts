/**
 * Convolutions whose channels fall into groups, each convolved by itself (depthwise ones have a group
 * a channel), and their two gradients. With so few channels behind an output there is no product to
 * speak of: sums stay in registers while the taps of the kernel pass by, over planes copied with
 * their padding, so that every tap is a constant distance away.
 *
 * The copies have a line for each phase of the columns: column j lies at j / sw of phase j % sw,
 * hence taps read runs of memory at any stride.
 * x [n, c, h, w], weights [oc, c / groups, kh, kw], y [n, oc, oh, ow].
 * Cost: 2 n oh ow oc c / groups kh kw flops each, for 1.25 loads a vector of products.
 */
import { copy_run } from './padded';
import { bytes, lanes, load_part, madd, store_part } from './simd';

/** Elements of the phase of a line, and of what whole vectors read behind it. */
@inline
function run_of(kw: i32, sw: i32, dw: i32, ow: i32): i32 {
  return ((ow + 3) & ~3) + ((kw - 1) * dw) / sw;
}

/** Lines of a plane that outputs see. */
@inline
function lines_of(kh: i32, sh: i32, dh: i32, oh: i32): i32 {
  return (oh - 1) * sh + (kh - 1) * dh + 1;
}

/** Byte offset of tap kx of output 0 in a line. */
@inline
function tap_at(kx: i32, sw: i32, dw: i32, run: i32): usize {
  return bytes(((kx * dw) % sw) * run + (kx * dw) / sw);
}

/** out [lines][sw][run] = the plane x [h, w] from line -pt and column -pl on, zero outside. */
function split(
  x: usize, h: i32, w: i32, pt: i32, pl: i32, sw: i32, lines: i32, run: i32, out: usize,
): void {
  const from = max<i32>(0, -pl);
  const to = min<i32>(w, sw * run - pl);
  for (let i = 0; i < lines; i++, out += bytes(sw * run)) {
    memory.fill(out, 0, bytes(sw * run));
    const y = i - pt;
    if (y < 0 || y >= h || from >= to) continue;
    const p = x + bytes(y * w);
    if (sw == 1) copy_run(p + bytes(from), to - from, out + bytes(from + pl));
    else {
      for (let column = from; column < to; column++) {
        const j = column + pl;
        store<u32>(out + bytes((j % sw) * run + j / sw), load<u32>(p + bytes(column)));
      }
    }
  }
}

/** The other way: what such planes hold of x, zero where they hold nothing. */
function merge(
  planes: usize, h: i32, w: i32, pt: i32, pl: i32, sw: i32, lines: i32, run: i32, x: usize,
): void {
  const from = max<i32>(0, -pl);
  const to = max<i32>(from, min<i32>(w, sw * run - pl));
  for (let y = 0; y < h; y++, x += bytes(w)) {
    const i = y + pt;
    const inside = i >= 0 && i < lines && to > from;
    if (!inside || from > 0 || to < w) memory.fill(x, 0, bytes(w));
    if (!inside) continue;
    const p = planes + bytes(i * sw * run);
    if (sw == 1) copy_run(p + bytes(from + pl), to - from, x + bytes(from));
    else {
      for (let column = from; column < to; column++) {
        const j = column + pl;
        store<u32>(x + bytes(column), load<u32>(p + bytes((j % sw) * run + j / sw)));
      }
    }
  }
}

/** The first `count` elements at q. */
@inline
function put(v: v128, relu: i32, q: usize, count: i32): void {
  if (relu) v = f32x4.max(v, f32x4.splat(0));
  if (count >= 4) v128.store(q, v);
  else if (count > 0) store_part(q, v, count);
}

/** `vectors` (1, 2 or 4) vectors of a line of outputs over taps listed from `taps` to `end`. */
@inline
function tile(
  vectors: i32, wt: usize, taps: usize, end: usize, p: usize, first: v128, relu: i32, q: usize,
  count: i32,
): void {
  let a = first, b = first, c = first, d = first;
  for (; taps < end; taps += 4, wt += 4) {
    const at = p + load<u32>(taps);
    const k = v128.load32_splat(wt);
    a = madd(k, v128.load(at), a);
    if (vectors > 1) b = madd(k, v128.load(at, 16), b);
    if (vectors > 2) {
      c = madd(k, v128.load(at, 32), c);
      d = madd(k, v128.load(at, 48), d);
    }
  }
  put(a, relu, q, count);
  if (vectors > 1) put(b, relu, q + 16, count - 4);
  if (vectors > 2) {
    put(c, relu, q + 32, count - 8);
    put(d, relu, q + 48, count - 12);
  }
}

/**
 * y = conv(x, wt) (+ bias [oc]), max(0, .) of it when relu is not 0. Rows are the groups of the first
 * image, of the second, ... work: taps of a channel, planes of a group.
 */
export function conv2d_grouped(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, groups: i32, x: usize, wt: usize, bias: usize, y: usize,
  relu: i32, work: usize, r0: i32, r1: i32,
): void {
  const depth = c / groups;
  const outputs = oc / groups;
  const run = run_of(kw, sw, dw, ow);
  const lines = lines_of(kh, sh, dh, oh);
  const plane = lines * sw * run;
  const end = work + bytes(depth * kh * kw);
  let tap = work;
  for (let i = 0; i < depth; i++) {
    for (let ky = 0; ky < kh; ky++) {
      for (let kx = 0; kx < kw; kx++, tap += 4) {
        store<u32>(tap, <u32>(bytes(i * plane + ky * dh * sw * run) + tap_at(kx, sw, dw, run)));
      }
    }
  }
  for (let r = r0; r < r1; r++) {
    const image = r / groups;
    const g = r % groups;
    for (let i = 0; i < depth; i++) {
      const from = x + bytes((image * c + g * depth + i) * h * w);
      split(from, h, w, pt, pl, sw, lines, run, end + bytes(i * plane));
    }
    for (let o = g * outputs; o < (g + 1) * outputs; o++) {
      const a = wt + bytes(o * depth * kh * kw);
      const first = bias ? v128.load32_splat(bias + bytes(o)) : f32x4.splat(0);
      let q = y + bytes((image * oc + o) * oh * ow);
      for (let oy = 0; oy < oh; oy++, q += bytes(ow)) {
        const p = end + bytes(oy * sh * sw * run);
        let ox = 0;
        for (; ow - ox > 12; ox += 16) {
          tile(4, a, work, end, p + bytes(ox), first, relu, q + bytes(ox), ow - ox);
        }
        if (ow - ox > 4) {
          tile(2, a, work, end, p + bytes(ox), first, relu, q + bytes(ox), ow - ox);
          ox += 8;
        }
        if (ow > ox) tile(1, a, work, end, p + bytes(ox), first, relu, q + bytes(ox), ow - ox);
      }
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

/** dx of conv2d_grouped. Rows are the c channels of the first image, of the second, ... */
export function conv2d_grouped_input_grad(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, groups: i32, dy: usize, wt: usize, dx: usize,
  work: usize, r0: i32, r1: i32,
): void {
  const depth = c / groups;
  const outputs = oc / groups;
  const run = run_of(kw, sw, dw, ow);
  const lines = lines_of(kh, sh, dh, oh);
  for (let r = r0; r < r1; r++) {
    const image = r / c;
    const channel = r % c;
    const g = channel / depth;
    memory.fill(work, 0, bytes(lines * sw * run));
    for (let o = g * outputs; o < (g + 1) * outputs; o++) {
      const a = wt + bytes((o * depth + channel % depth) * kh * kw);
      const from = dy + bytes((image * oc + o) * oh * ow);
      for (let ky = 0; ky < kh; ky++) {
        for (let oy = 0; oy < oh; oy++) {
          const line = work + bytes((oy * sh + ky * dh) * sw * run);
          for (let kx = 0; kx < kw; kx++) {
            const k = v128.load32_splat(a + bytes(ky * kw + kx));
            add_times(k, from + bytes(oy * ow), ow, line + tap_at(kx, sw, dw, run));
          }
        }
      }
    }
    merge(work, h, w, pt, pl, sw, lines, run, dx + bytes(r * h * w));
  }
}

/** The sum of p times q over `lines` lines of `count` (a multiple of 4) elements. */
@inline
function dot_lines(
  p: usize, p_line: usize, q: usize, lines: i32, count: i32,
): f32 {
  let a = f32x4.splat(0), b = f32x4.splat(0);
  for (let y = 0; y < lines; y++, p += p_line, q += bytes(count)) {
    const s = a;
    a = b;
    b = s;
    for (let i: usize = 0; i < bytes(count); i += 16) {
      a = madd(v128.load(p + i), v128.load(q + i), a);
    }
  }
  return lanes(f32x4.add(a, b));
}

/** dwt of conv2d_grouped. Rows are the groups. work: planes of a group, lines of dy with zeros behind. */
export function conv2d_grouped_weight_grad(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, groups: i32, x: usize, dy: usize, dwt: usize,
  work: usize, r0: i32, r1: i32,
): void {
  const depth = c / groups;
  const outputs = oc / groups;
  const run = run_of(kw, sw, dw, ow);
  const lines = lines_of(kh, sh, dh, oh);
  const plane = lines * sw * run;
  const across = (ow + 3) & ~3;
  const grad = work + bytes(depth * plane);
  const size = outputs * depth * kh * kw;
  memory.fill(dwt + bytes(r0 * size), 0, bytes((r1 - r0) * size));
  for (let g = r0; g < r1; g++) {
    for (let image = 0; image < n; image++) {
      for (let i = 0; i < depth; i++) {
        const from = x + bytes((image * c + g * depth + i) * h * w);
        split(from, h, w, pt, pl, sw, lines, run, work + bytes(i * plane));
      }
      let q = dwt + bytes(g * size);
      for (let o = g * outputs; o < (g + 1) * outputs; o++) {
        split(dy + bytes((image * oc + o) * oh * ow), oh, ow, 0, 0, 1, oh, across, grad);
        for (let i = 0; i < depth; i++) {
          for (let ky = 0; ky < kh; ky++) {
            for (let kx = 0; kx < kw; kx++, q += 4) {
              const at = bytes(i * plane + ky * dh * sw * run) + tap_at(kx, sw, dw, run);
              const sum = dot_lines(work + at, bytes(sh * sw * run), grad, oh, across);
              store<f32>(q, load<f32>(q) + sum);
            }
          }
        }
      }
    }
  }
}
