/**
 * Gathering for implicit convolution: the panel [c * taps][8] of what 8 positions of a grid see
 * of their images. A position (image, gy, gx) sees, through tap (dy, dx), the element
 * (gy * sh + dy, gx * sw + dx) of every channel, or zero outside of the plane.
 *
 * Four positions at a time. When their addresses are 1 or 2 elements apart (most are: in a
 * convolution that keeps the size even across lines), a tap is one or two loads per channel and
 * a mask; otherwise four loads of a lane.
 * Cost: about 5 instructions for each 4 elements, and 15 for every tap ahead of the channels.
 */
import { bytes } from './simd';

/** Distance of a masked-off position from any plane. */
const NOWHERE: i32 = -0x40000000;

/**
 * Gathers positions [first, first + 4) into lanes 0..3 at `out`.
 * taps: pairs (dy, dx) of i32; n images of c planes [h, w] at x; grid [n, gh, gw].
 */
function gather4(
  n: i32, c: i32, h: i32, w: i32, taps: usize, count: i32, gh: i32, gw: i32, sh: i32, sw: i32,
  x: usize, first: i32, out: usize,
): void {
  const plane = h * w;
  const total = n * gh * gw;
  let gx = first % gw;
  const line = first / gw;
  let gy = line % gh;
  let image = line / gh;
  let rows = i32x4.splat(NOWHERE);
  let columns = i32x4.splat(NOWHERE);
  let base = i32x4.splat(0);
  let last = 0;
  let step = 1;
  let even = true;
  for (let lane = 0; lane < 4; lane++) {
    let iy = NOWHERE;
    let ix = NOWHERE;
    let at = last + step;
    if (first + lane < total) {
      iy = gy * sh;
      ix = gx * sw;
      at = image * c * plane + iy * w + ix;
      if (++gx == gw) {
        gx = 0;
        if (++gy == gh) {
          gy = 0;
          image++;
        }
      }
    }
    if (lane == 1) step = at - last;
    else if (lane > 1 && at - last != step) even = false;
    last = at;
    // Shifts the vectors by one lane and puts the new one at the end.
    rows = i32x4.replace_lane(v128.shuffle<i32>(rows, rows, 1, 2, 3, 3), 3, iy);
    columns = i32x4.replace_lane(v128.shuffle<i32>(columns, columns, 1, 2, 3, 3), 3, ix);
    base = i32x4.replace_lane(v128.shuffle<i32>(base, base, 1, 2, 3, 3), 3, at);
  }
  const high = i32x4.splat(h);
  const wide = i32x4.splat(w);
  const down = bytes(plane);
  const jump = <usize>count << 5;
  const start = i32x4.extract_lane(base, 0);
  // The last element that a whole vector load of the last channel may touch.
  const limit = (n - 1) * c * plane + plane - 1 - 3 * step;
  for (let t = 0; t < count; t++) {
    const dy = load<i32>(taps + (<usize>t << 3));
    const dx = load<i32>(taps + (<usize>t << 3), 4);
    const in_rows = i32x4.lt_u(i32x4.add(rows, i32x4.splat(dy)), high);
    const mask = v128.and(i32x4.lt_u(i32x4.add(columns, i32x4.splat(dx)), wide), in_rows);
    const shift = dy * w + dx;
    let q = out + (<usize>t << 5), i = 0;
    if (even && step <= 2 && step >= 1 && start + shift >= 0 && start + shift <= limit) {
      let p = x + bytes(start + shift);
      if (step == 1) {
        for (; i < c; i++, p += down, q += jump) v128.store(q, v128.and(v128.load(p), mask));
      } else {
        for (; i < c; i++, p += down, q += jump) {
          const pairs = v128.shuffle<i32>(v128.load(p), v128.load(p, 12), 0, 2, 5, 7);
          v128.store(q, v128.and(pairs, mask));
        }
      }
      continue;
    }
    // Masked positions read element 0 of the channel and lose it to the mask.
    const at = v128.and(i32x4.add(base, i32x4.splat(shift)), mask);
    const o0 = bytes(i32x4.extract_lane(at, 0)), o1 = bytes(i32x4.extract_lane(at, 1));
    const o2 = bytes(i32x4.extract_lane(at, 2)), o3 = bytes(i32x4.extract_lane(at, 3));
    let p = x;
    for (; i < c; i++, p += down, q += jump) {
      let v = v128.load32_zero(p + o0);
      v = v128.load32_lane(p + o1, v, 1);
      v = v128.load32_lane(p + o2, v, 2);
      v = v128.load32_lane(p + o3, v, 3);
      v128.store(q, v128.and(v, mask));
    }
  }
}

/** Gathers positions [first, first + 8) of the grid into the panel [c * count][8] at `out`. */
export function gather8(
  n: i32, c: i32, h: i32, w: i32, taps: usize, count: i32, gh: i32, gw: i32, sh: i32, sw: i32,
  x: usize, first: i32, out: usize,
): void {
  gather4(n, c, h, w, taps, count, gh, gw, sh, sw, x, first, out);
  gather4(n, c, h, w, taps, count, gh, gw, sh, sw, x, first + 4, out + 16);
}
