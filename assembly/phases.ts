/**
 * Planes copied with their padding, a copy for each phase of the columns: column j lies at j / sw of phase
 * j % sw, hence taps read runs of memory at any stride (grouped.ts).
 */
import { copy_every, copy_run, unzip } from './padded';
import { bytes } from './simd';

/** Elements of a line of a phase, and of what whole vectors read behind it. */
@inline
export function run_of(kw: i32, sw: i32, dw: i32, ow: i32): i32 {
  return ((ow + 3) & ~3) + ((kw - 1) * dw) / sw;
}

/** Lines of a plane that outputs see. */
@inline
export function lines_of(kh: i32, sh: i32, dh: i32, oh: i32): i32 {
  return (oh - 1) * sh + (kh - 1) * dh + 1;
}

/** Lists the byte offsets of the taps of output (0, 0) in the planes [depth][sw][lines][run]. */
export function list_taps(
  depth: i32, kh: i32, kw: i32, sw: i32, dh: i32, dw: i32, lines: i32, run: i32, taps: usize,
): void {
  for (let i = 0; i < depth; i++) {
    for (let ky = 0; ky < kh; ky++) {
      for (let kx = 0; kx < kw; kx++, taps += 4) {
        const line = (i * sw + ((kx * dw) % sw)) * lines + ky * dh;
        store<u32>(taps, <u32>bytes(line * run + (kx * dw) / sw));
      }
    }
  }
}

/** The first place of a phase at or behind `column`: (column - phase) / sw, rounded up, at least 0. */
@inline
function place(column: i32, phase: i32, sw: i32): i32 {
  return max<i32>(0, column - phase + sw - 1) / sw;
}

/** `split` of lines p on to lines of two phases at once, `count` elements of the second and `first` of the first. */
function split_pairs(
  p: usize, w: i32, lines: i32, a: usize, b: usize, run: i32, first: i32, count: i32,
): void {
  for (let y = 0; y < lines; y++, p += bytes(w), a += bytes(run), b += bytes(run)) {
    unzip(p, a, b, count);
    if (first > count) store<u32>(a + bytes(count), load<u32>(p + bytes(2 * count)));
  }
}

/** out [sw][lines][run] = the plane x [h, w] from line -pt and column -pl on; outside nothing changes. */
export function split(
  x: usize, h: i32, w: i32, pt: i32, pl: i32, sw: i32, lines: i32, run: i32, out: usize,
): void {
  const top = max<i32>(0, pt);
  const bottom = min<i32>(lines, h + pt);
  // Column 0 of x lies in one phase, column 1 in the other, which has as many elements or one less.
  const first = min<i32>(run - (pl >> 1), (w + 1) >> 1);
  const second = min<i32>(run - ((pl + 1) >> 1), w >> 1);
  if (sw == 2 && pl >= 0 && second >= 4) {
    const a = out + bytes(((pl & 1) * lines + top) * run + (pl >> 1));
    const b = out + bytes((((pl + 1) & 1) * lines + top) * run + ((pl + 1) >> 1));
    split_pairs(x + bytes((top - pt) * w), w, bottom - top, a, b, run, first, second);
    return;
  }
  for (let phase = 0; phase < sw; phase++, out += bytes(lines * run)) {
    const left = place(pl, phase, sw);
    const count = min<i32>(run, place(w + pl, phase, sw)) - left;
    if (count <= 0) continue;
    let p = x + bytes((top - pt) * w + left * sw + phase - pl);
    let q = out + bytes(top * run + left);
    for (let y = top; y < bottom; y++, p += bytes(w), q += bytes(run)) {
      copy_every(p, sw, count, q);
    }
  }
}

/** The other way: what such planes hold of x, zero where they hold nothing. */
export function merge(
  planes: usize, h: i32, w: i32, pt: i32, pl: i32, sw: i32, lines: i32, run: i32, x: usize,
): void {
  const top = max<i32>(0, pt);
  const bottom = min<i32>(lines, h + pt);
  const whole = min<i32>(pt, pl) >= 0 && h + pt <= lines && w + pl <= sw * run;
  if (!whole) memory.fill(x, 0, bytes(h * w));
  for (let phase = 0; phase < sw; phase++, planes += bytes(lines * run)) {
    const left = place(pl, phase, sw);
    const count = min<i32>(run, place(w + pl, phase, sw)) - left;
    if (count <= 0) continue;
    let p = planes + bytes(top * run + left);
    let q = x + bytes((top - pt) * w + left * sw + phase - pl);
    for (let y = top; y < bottom; y++, p += bytes(run), q += bytes(w)) {
      if (sw == 1) copy_run(p, count, q);
      else for (let i = 0; i < count; i++) store<u32>(q + bytes(i * sw), load<u32>(p + bytes(i)));
    }
  }
}
