/**
 * Max and average pooling of planes. x [n, c, h, w], y [n, c, oh, ow]; rows are the n * c planes,
 * so overlapping windows of a gradient add up inside one row, in the order of the outputs.
 * Max pads with -inf and its gradient goes to the first maximum; average pads with zeros and
 * always divides by kh * kw. Cost: kh * kw an output.
 */
import { bytes } from './simd';

/** Offset in the plane of the window's first maximum (NaN counts as one), or -1 of none. */
@inline
function window_max(x: usize, h: i32, w: i32, top: i32, left: i32, kh: i32, kw: i32): i32 {
  let at = -1;
  let best = f32.NEGATIVE_INFINITY;
  const y1 = min<i32>(top + kh, h), x1 = min<i32>(left + kw, w);
  for (let iy = max<i32>(top, 0); iy < y1; iy++) {
    for (let ix = max<i32>(left, 0); ix < x1; ix++) {
      const v = load<f32>(x + bytes(iy * w + ix));
      if (at < 0 || v > best || (v != v && best == best)) {
        best = v;
        at = iy * w + ix;
      }
    }
  }
  return at;
}

/** Maxima of 4 windows side by side that lie in the plane's columns; sw is 1 or 2. */
@inline
function four_max(x: usize, h: i32, w: i32, top: i32, left: i32, kh: i32, kw: i32, sw: i32): v128 {
  let best = f32x4.splat(f32.NEGATIVE_INFINITY);
  const y1 = min<i32>(top + kh, h);
  for (let iy = max<i32>(top, 0); iy < y1; iy++) {
    let p = x + bytes(iy * w + left);
    for (let kx = 0; kx < kw; kx++, p += 4) {
      const v = sw == 1
        ? v128.load(p)
        : v128.shuffle<i32>(v128.load(p), v128.load(p, 12), 0, 2, 5, 7);
      best = f32x4.max(best, v);
    }
  }
  return best;
}

export function max_pool(
  n: i32, c: i32, h: i32, w: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  oh: i32, ow: i32, x: usize, y: usize, r0: i32, r1: i32,
): void {
  for (let r = r0; r < r1; r++) {
    const plane = x + bytes(r) * h * w;
    let out = y + bytes(r) * oh * ow;
    for (let oy = 0; oy < oh; oy++) {
      const top = oy * sh - pt;
      for (let ox = 0; ox < ow; ) {
        const left = ox * sw - pl;
        if (sw <= 2 && left >= 0 && ox + 4 <= ow && left + 3 * sw + kw <= w) {
          v128.store(out, four_max(plane, h, w, top, left, kh, kw, sw));
          ox += 4;
          out += 16;
          continue;
        }
        const at = window_max(plane, h, w, top, left, kh, kw);
        store<f32>(out, at < 0 ? f32.NEGATIVE_INFINITY : load<f32>(plane + bytes(at)));
        ox++;
        out += 4;
      }
    }
  }
}

export function max_pool_grad(
  n: i32, c: i32, h: i32, w: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  oh: i32, ow: i32, x: usize, dy: usize, dx: usize, r0: i32, r1: i32,
): void {
  for (let r = r0; r < r1; r++) {
    const plane = x + bytes(r) * h * w;
    const into = dx + bytes(r) * h * w;
    let from = dy + bytes(r) * oh * ow;
    memory.fill(into, 0, bytes(h * w));
    for (let oy = 0; oy < oh; oy++) {
      for (let ox = 0; ox < ow; ox++, from += 4) {
        const at = window_max(plane, h, w, oy * sh - pt, ox * sw - pl, kh, kw);
        if (at < 0) continue;
        const p = into + bytes(at);
        store<f32>(p, load<f32>(p) + load<f32>(from));
      }
    }
  }
}

export function avg_pool(
  n: i32, c: i32, h: i32, w: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  oh: i32, ow: i32, x: usize, y: usize, r0: i32, r1: i32,
): void {
  const size = <f32>(kh * kw);
  for (let r = r0; r < r1; r++) {
    const plane = x + bytes(r) * h * w;
    let out = y + bytes(r) * oh * ow;
    for (let oy = 0; oy < oh; oy++) {
      const top = oy * sh - pt;
      const y1 = min<i32>(top + kh, h);
      for (let ox = 0; ox < ow; ox++, out += 4) {
        const left = ox * sw - pl;
        const x1 = min<i32>(left + kw, w);
        let s: f32 = 0;
        for (let iy = max<i32>(top, 0); iy < y1; iy++) {
          for (let ix = max<i32>(left, 0); ix < x1; ix++) s += load<f32>(plane + bytes(iy * w + ix));
        }
        store<f32>(out, s / size);
      }
    }
  }
}

export function avg_pool_grad(
  n: i32, c: i32, h: i32, w: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  oh: i32, ow: i32, dy: usize, dx: usize, r0: i32, r1: i32,
): void {
  const size = <f32>(kh * kw);
  for (let r = r0; r < r1; r++) {
    const into = dx + bytes(r) * h * w;
    let from = dy + bytes(r) * oh * ow;
    memory.fill(into, 0, bytes(h * w));
    for (let oy = 0; oy < oh; oy++) {
      const top = oy * sh - pt;
      const y1 = min<i32>(top + kh, h);
      for (let ox = 0; ox < ow; ox++, from += 4) {
        const left = ox * sw - pl;
        const x1 = min<i32>(left + kw, w), g = load<f32>(from) / size;
        for (let iy = max<i32>(top, 0); iy < y1; iy++) {
          for (let ix = max<i32>(left, 0); ix < x1; ix++) {
            const p = into + bytes(iy * w + ix);
            store<f32>(p, load<f32>(p) + g);
          }
        }
      }
    }
  }
}
