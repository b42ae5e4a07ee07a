/**
 * Convolution and its gradient by the input, both as implicit products: the weights times panels
 * of 8 positions that are gathered as needed (gather.ts), so no im2col matrix ever exists
 * (compare Chetlur et al., "cuDNN", 2014, on GPUs).
 *
 * The input gradient is split into sh * sw phases of the input's positions. Within a phase every
 * position meets the same taps of the kernel and reads dy with stride 1: a plain convolution with
 * a subset of the taps, without multiplications by stuffed zeros, at any dilation.
 * x [n, c, h, w], weights [oc, c, kh, kw], y [n, oc, oh, ow].
 * Cost: 2 n oh ow oc c kh kw flops each.
 */
import { gather8 } from './gather';
import { MOST_ROWS, run_lines, wide_enough } from './narrow';
import { copy_run } from './padded';
import { bytes } from './simd';
import { From, HALF, multiply, multiply_half } from './tile';

/** Panels that are gathered before the weights are run over: as many as stay cached. */
@inline
function panels_at_once(depth: i32): i32 {
  return max<i32>(1, min<i32>(8, 8192 / max<i32>(depth, 1)));
}

/** Byte offsets in `out` of the 8 positions from `first`, to `places`; -1 past the end. */
function place(
  total: i32, gh: i32, gw: i32, first: i32, image_size: i32, origin: i32, down: i32, right: i32,
  places: usize,
): void {
  let gx = first % gw;
  const line = first / gw;
  let gy = line % gh;
  let image = line / gh;
  for (let lane = 0; lane < 8; lane++) {
    const at = image * image_size + origin + gy * down + gx * right;
    store<i32>(places + bytes(lane), first + lane < total ? at : -1);
    if (++gx == gw) {
      gx = 0;
      if (++gy == gh) {
        gy = 0;
        image++;
      }
    }
  }
}

/** True when the 8 places follow each other in memory. */
@inline
function is_run(places: usize): bool {
  const s = i32x4.splat(load<i32>(places));
  const lo = i32x4.eq(v128.load(places), i32x4.add(s, i32x4(0, 1, 2, 3)));
  const hi = i32x4.eq(v128.load(places, 16), i32x4.add(s, i32x4(4, 5, 6, 7)));
  return i32x4.all_true(v128.and(lo, hi));
}

/** One tile of rows [o, o + rows) into the 8 places, directly or lane by lane. */
@inline
function tile_out(
  rows: i32, o: i32, a: usize, depth: i32, panel: usize, places: usize, plane: i32,
  bias: usize, relu: i32, out: usize, temp: usize,
): void {
  const ap = a + bytes(o) * depth;
  const from = (bias ? From.ROW_BIAS : From.ZERO) | (relu ? From.RELU : From.ZERO);
  const to = out + bytes(o * plane);
  const run = is_run(places);
  const c = run ? to + bytes(load<i32>(places)) : temp;
  const c_row = run ? bytes(plane) : 32;
  multiply(rows, ap, bytes(depth), 4, panel, depth, c, c_row, from, bias + bytes(o));
  if (!run) scatter(rows, places, plane, to, temp);
}

/** Writes the lanes that have a place. */
@inline
function scatter(rows: i32, places: usize, plane: i32, to: usize, temp: usize): void {
  for (let lane = 0; lane < 8; lane++) {
    const at = load<i32>(places + bytes(lane));
    if (at < 0) break;
    let p = to + bytes(at), q = temp + bytes(lane);
    for (let i = 0; i < rows; i++, p += bytes(plane), q += 32) store<u32>(p, load<u32>(q));
  }
}

/** Up to HALF rows of a panel of which at most 4 lanes have a place. */
function half_out(
  rows: i32, o: i32, a: usize, depth: i32, panel: usize, places: usize, plane: i32,
  bias: usize, relu: i32, out: usize, temp: usize,
): void {
  const from = (bias ? From.ROW_BIAS : From.ZERO) | (relu ? From.RELU : From.ZERO);
  multiply_half(
    rows, a + bytes(o) * depth, bytes(depth), 4, panel, depth, temp, 32, from, bias + bytes(o),
  );
  scatter(rows, places, plane, out + bytes(o * plane), temp);
}

/**
 * out[m rows] = a [m, c * count] times the panels [r0, r1) of the grid [n, gh, gw] over x.
 * Element (o, image, gy, gx) goes to image * image_size + origin + o * plane + gy * down +
 * gx * right. work: tile, places, panels.
 */
function run_panels(
  a: usize, m: i32, n: i32, c: i32, h: i32, w: i32, taps: usize, count: i32,
  gh: i32, gw: i32, sh: i32, sw: i32, x: usize, bias: usize, relu: i32,
  out: usize, plane: i32, origin: i32, down: i32, right: i32, work: usize, r0: i32, r1: i32,
): void {
  const depth = c * count;
  const group = panels_at_once(depth);
  const places = work + 256;
  const panels = places + 256;
  const size = <usize>depth << 5;
  for (let r = r0; r < r1; r += group) {
    const have = min<i32>(group, r1 - r);
    for (let i = 0; i < have; i++) {
      gather8(n, c, h, w, taps, count, gh, gw, sh, sw, x, (r + i) * 8, panels + size * i);
      place(
        n * gh * gw, gh, gw, (r + i) * 8, m * plane, origin, down, right,
        places + (<usize>i << 5),
      );
    }
    // Of a last panel with 4 positions or fewer only half is computed.
    const half = r + have == (n * gh * gw + 7) / 8 && ((n * gh * gw - 1) & 7) < 4;
    for (let o = 0; half && o < m; o += HALF) {
      half_out(
        min<i32>(HALF, m - o), o, a, depth, panels + size * (have - 1),
        places + (<usize>(have - 1) << 5), plane, bias, relu, out, work,
      );
    }
    const full = half ? have - 1 : have;
    for (let o = 0; full > 0 && o < m; o += 4) {
      const rows = min<i32>(4, m - o);
      for (let i = 0; i < full; i++) {
        tile_out(
          rows, o, a, depth, panels + size * i, places + (<usize>i << 5), plane, bias, relu, out,
          work,
        );
      }
    }
  }
}

/**
 * y = conv(x, wt) (+ bias [oc]), max(0, .) of it when relu is not 0. Rows are panels of 8 of the
 * n * oh * ow positions.
 */
export function conv2d(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, x: usize, wt: usize, bias: usize, y: usize,
  relu: i32, work: usize, r0: i32, r1: i32,
): void {
  if (r0 >= r1) return;
  let tap = work;
  for (let ky = 0; ky < kh; ky++) {
    for (let kx = 0; kx < kw; kx++, tap += 8) {
      store<i32>(tap, ky * dh - pt);
      store<i32>(tap, kx * dw - pl, 4);
    }
  }
  run_panels(
    wt, oc, n, c, h, w, work, kh * kw, oh, ow, sh, sw, x, bias, relu,
    y, oh * ow, 0, ow, 1, tap, r0, r1,
  );
}

/** Input channels whose weights are repacked side by side: as many streams as a cache follows. */
const STREAMS: i32 = 16;

/** The end of the lists of `phase_taps`. */
@inline
function after_taps(work: usize, kh: i32, kw: i32): usize {
  return work + bytes(3 * kh * kw);
}

/**
 * Lists the taps of phase (py, px) as pairs (dy, dx) from `taps` on, then their places in the
 * kernel, then the weights as [c, oc * count]. Returns their number.
 */
function phase_taps(
  py: i32, px: i32, c: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, wt: usize, taps: usize,
): i32 {
  let count = 0;
  const area = kh * kw;
  const places = taps + bytes(2 * area);
  for (let ky = 0; ky < kh; ky++) {
    const y = py + pt - ky * dh;
    // A remainder of 0 is exact for negative numbers too.
    if (y % sh != 0) continue;
    for (let kx = 0; kx < kw; kx++) {
      const x = px + pl - kx * dw;
      if (x % sw != 0) continue;
      store<i32>(taps + bytes(2 * count), y / sh);
      store<i32>(taps + bytes(2 * count), x / sw, 4);
      store<i32>(places + bytes(count), ky * kw + kx);
      count++;
    }
  }
  const packed = after_taps(taps, kh, kw);
  for (let i0 = 0; i0 < c; i0 += STREAMS) {
    const i1 = min<i32>(c, i0 + STREAMS);
    for (let o = 0; o < oc; o++) {
      for (let i = i0; i < i1; i++) {
        const p = wt + bytes((o * c + i) * area), q = packed + bytes((i * oc + o) * count);
        if (count == area) {
          copy_run(p, count, q);
          continue;
        }
        for (let t = 0; t < count; t++) {
          store<u32>(q + bytes(t), load<u32>(p + bytes(load<i32>(places + bytes(t)))));
        }
      }
    }
  }
  return count;
}

/** dx of conv2d. Rows are the panels of 8 positions of phase (0, 0), then of (0, 1), ... */
export function conv2d_input_grad(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, dy: usize, wt: usize, dx: usize,
  work: usize, r0: i32, r1: i32,
): void {
  let first = 0;
  for (let py = 0; py < sh && py < h; py++) {
    const gh = (h - py + sh - 1) / sh;
    for (let px = 0; px < sw && px < w; px++) {
      const gw = (w - px + sw - 1) / sw;
      const panels = (n * gh * gw + 7) / 8;
      const lo = max<i32>(r0 - first, 0);
      const hi = min<i32>(r1 - first, panels);
      first += panels;
      if (lo >= hi) continue;
      const count = phase_taps(py, px, c, oc, kh, kw, sh, sw, pt, pl, dh, dw, wt, work);
      const packed = after_taps(work, kh, kw);
      const rest = packed + bytes(c * oc * count);
      if (c <= MOST_ROWS && wide_enough(gw)) {
        run_lines(
          packed, c, n, oc, oh, ow, work, count, gh, gw, dy,
          dx, h * w, py * w + px, sh * w, sw, rest, lo * 8, min<i32>(hi * 8, n * gh * gw),
        );
        continue;
      }
      run_panels(
        packed, c, n, oc, oh, ow, work, count, gh, gw, 1, 1, dy, 0, 0,
        dx, h * w, py * w + px, sh * w, sw, rest, lo, hi,
      );
    }
  }
}
