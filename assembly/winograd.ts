/**
 * Convolutions of small kernels with fewer multiplications: Winograd's minimal filtering (Lavin and
 * Gray, "Fast algorithms for convolutional neural networks", 2016), on 4 x 4 tiles of the input
 * with the interpolation points 0, 1, -1 and infinity. A kernel of r taps makes m = 5 - r outputs of
 * a tile by 4 products instead of r m, in each direction: 2.25 times fewer for r = 3 and for r = 2.
 *
 * A kernel of k = s r taps with stride s is s * s kernels of r taps with stride 1, each on its own
 * phase of the input (every s-th line and column), summed: their channels stand side by side, in
 * all depth = c s s, so that 3 x 3 with stride 1 and 4 x 4 with stride 2 are one kernel.
 *
 *     weights  U = G g G^T            [16][oc][depth], made once by winograd_weights
 *     input    V = B^T d B            [panel][16][depth][8], 8 tiles side by side
 *     products M_i = U_i V_i          [panel][oc][16][8], by tile.ts
 *     output   A^T M A                (+ bias, relu)
 *
 * Its rounding errors also depend on inputs that the direct sum never meets, so certificates do not
 * speak of it (docs/numerics.md). x [n, c, h, w], weights [oc, c, k, k], y [n, oc, oh, ow].
 * Cost: 32 ceil(oh / m) ceil(ow / m) n oc depth flops and the transforms.
 */
import { pad_phase } from './padded';
import { bytes, store_part } from './simd';
import { From, HALF, multiply, multiply_half } from './tile';

/** Panels that are transformed before the weights are run over; also in kernels.ts. */
@inline
function panels_at_once(depth: i32, oc: i32): i32 {
  return max<i32>(2, min<i32>(8, 1024 / max<i32>(depth + oc, 1)));
}

/** Value i of G for a line of r = 2 or 3 taps a (b) c, of 4 kernels side by side. */
@inline
function weights_value(i: i32, r: i32, a: v128, b: v128, c: v128): v128 {
  if (i == 0) return a;
  if (i == 3) return c;
  const even = r == 3 ? f32x4.add(a, c) : a;
  const odd = r == 3 ? b : c;
  const half = f32x4.splat(0.5);
  return f32x4.mul(half, i == 1 ? f32x4.add(even, odd) : f32x4.sub(even, odd));
}

/** The elements at `at` of the kernels at 4 addresses. */
@inline
function of_four(kernels: usize, at: usize): v128 {
  const v = v128.load32_zero(load<u32>(kernels) + at);
  const w = v128.load32_lane(load<u32>(kernels, 4) + at, v, 1);
  return v128.load32_lane(
    load<u32>(kernels, 12) + at, v128.load32_lane(load<u32>(kernels, 8) + at, w, 2), 3,
  );
}

/**
 * u [16][oc][c s s] for stride s. The kernel [k, k] of output o and channel i begins at element
 * o wo + i wi of wt, and is read backwards when flip is not 0: so the input gradient of a convolution
 * with stride 1 is one too, of its weights turned around. Rows are oc. work: 208 bytes.
 */
export function winograd_weights(
  oc: i32, c: i32, k: i32, s: i32, wt: usize, wo: i32, wi: i32, flip: i32, u: usize,
  work: usize, r0: i32, r1: i32,
): void {
  const r = k / s;
  const phases = s * s;
  const depth = c * phases;
  const matrix = bytes(oc * depth);
  const step: usize = flip ? -4 : 4;
  const lines = work + 16;
  for (let o = r0; o < r1; o++) {
    for (let d = 0; d < depth; d += 4) {
      for (let lane = 0; lane < 4; lane++) {
        const e = min<i32>(d + lane, depth - 1);
        const tap = ((e % phases) / s) * k + (e % s);
        const kernel = wt + bytes(o * wo + (e / phases) * wi);
        store<u32>(work + bytes(lane), <u32>(kernel + bytes(flip ? k * k - 1 - tap : tap)));
      }
      for (let i = 0; i < r; i++) {
        const at = step * (i * s * k);
        const a = of_four(work, at), b = of_four(work, at + step * s);
        const e = r == 3 ? of_four(work, at + step * s * 2) : b;
        const to = lines + (<usize>i << 6);
        v128.store(to, weights_value(0, r, a, b, e));
        v128.store(to, weights_value(1, r, a, b, e), 16);
        v128.store(to, weights_value(2, r, a, b, e), 32);
        v128.store(to, weights_value(3, r, a, b, e), 48);
      }
      const left = depth - d;
      for (let j = 0; j < 4; j++) {
        const p = lines + (<usize>j << 4);
        const a = v128.load(p), b = v128.load(p, 64);
        const e = r == 3 ? v128.load(p, 128) : b;
        const to = u + bytes(o * depth + d) + matrix * j;
        put_four(to, weights_value(0, r, a, b, e), left);
        put_four(to + matrix * 4, weights_value(1, r, a, b, e), left);
        put_four(to + matrix * 8, weights_value(2, r, a, b, e), left);
        put_four(to + matrix * 12, weights_value(3, r, a, b, e), left);
      }
    }
  }
}

@inline
function put_four(p: usize, v: v128, left: i32): void {
  if (left >= 4) v128.store(p, v);
  else store_part(p, v, left);
}

/** Byte offsets of the lists that a panel has, of one i32 for each of its 8 tiles. */
const enum Place {
  /** Byte offset among the padded planes. */
  FROM = 0,
  /** Byte offset in y. */
  TO = 32,
  /** Columns of y that exist, 0 past the last tile. */
  WIDE = 64,
  /** Lines of y that exist. */
  HIGH = 96,
  BYTES = 128,
}

/** The tiles [first, first + 8) of n * down * across; image0 and line0 are the first padded ones. */
function place(
  first: i32, total: i32, down: i32, across: i32, m: i32, oc: i32, oh: i32, ow: i32,
  image0: i32, line0: i32, pw: i32, plane: i32, places: usize,
): void {
  let tx = first % across;
  const line = first / across;
  let ty = line % down;
  let image = line / down;
  for (let lane = 0; lane < 8; lane++, places += 4) {
    const inside = first + lane < total;
    const from = (image - image0) * plane + (ty - line0) * m * pw + tx * m;
    const to = (image * oc * oh + ty * m) * ow + tx * m;
    store<i32>(places, inside ? from << 2 : 0, Place.FROM);
    store<i32>(places, to << 2, Place.TO);
    store<i32>(places, inside ? min<i32>(m, ow - tx * m) : 0, Place.WIDE);
    store<i32>(places, inside ? min<i32>(m, oh - ty * m) : 0, Place.HIGH);
    if (++tx == across) {
      tx = 0;
      if (++ty == down) {
        ty = 0;
        image++;
      }
    }
  }
}

/** Line i of B^T d for the 4 columns of the tile at p. */
@inline
function input_line(i: i32, p: usize, line: usize): v128 {
  if (i == 0) return f32x4.sub(v128.load(p), v128.load(p + line * 2));
  if (i == 1) return f32x4.add(v128.load(p + line), v128.load(p + line * 2));
  if (i == 2) return f32x4.sub(v128.load(p + line * 2), v128.load(p + line));
  return f32x4.sub(v128.load(p + line), v128.load(p + line * 3));
}

/** V of one channel for 4 tiles, line i of 4: to `out`, the 16 values `step` bytes apart. */
@inline
function input_tiles(i: i32, planes: usize, places: usize, line: usize, out: usize, step: usize): void {
  const a = input_line(i, planes + load<u32>(places), line);
  const b = input_line(i, planes + load<u32>(places, 4), line);
  const c = input_line(i, planes + load<u32>(places, 8), line);
  const d = input_line(i, planes + load<u32>(places, 12), line);
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const ef = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const gh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  const c0 = v128.shuffle<i64>(ab, cd, 0, 2), c1 = v128.shuffle<i64>(ab, cd, 1, 3);
  const c2 = v128.shuffle<i64>(ef, gh, 0, 2), c3 = v128.shuffle<i64>(ef, gh, 1, 3);
  const q = out + step * (4 * i);
  v128.store(q, f32x4.sub(c0, c2));
  v128.store(q + step, f32x4.add(c1, c2));
  v128.store(q + step * 2, f32x4.sub(c2, c1));
  v128.store(q + step * 3, f32x4.sub(c1, c3));
}

/** Column j of line i of A^T M for 4 tiles; M has 32 bytes a value. */
@inline
function output_line(m: i32, i: i32, p: usize): v128 {
  const x = v128.load(p, 128), y = v128.load(p, 256);
  if (i == 0) return f32x4.add(f32x4.add(v128.load(p), x), y);
  const last = v128.load(p, 384);
  if (i == 1) return m == 2 ? f32x4.sub(f32x4.sub(x, y), last) : f32x4.sub(x, y);
  return f32x4.sub(f32x4.add(x, y), last);
}

@inline
function finish(v: v128, bias: v128, relu: i32): v128 {
  const sum = f32x4.add(v, bias);
  return relu ? f32x4.max(sum, f32x4.splat(0)) : sum;
}

@inline
function put(i: i32, places: usize, y: usize, v: v128): void {
  if (i >= load<i32>(places, Place.HIGH)) return;
  // As `store_part`, which is a call.
  const wide = load<i32>(places, Place.WIDE);
  const p = y + load<u32>(places, Place.TO);
  if (wide == 1) v128.store32_lane(p, v, 0);
  else v128.store64_lane(p, v, 0);
  if (wide == 3) v128.store32_lane(p, v, 2, 8);
}

/** Line i of the outputs of 4 tiles of one channel. */
@inline
function output_tiles(
  m: i32, i: i32, p: usize, bias: v128, relu: i32, places: usize, y: usize,
): void {
  const a = output_line(m, i, p), b = output_line(m, i, p + 32), c = output_line(m, i, p + 64);
  const d = output_line(m, i, p + 96);
  const y0 = finish(f32x4.add(f32x4.add(a, b), c), bias, relu);
  const e = f32x4.sub(b, c);
  const y1 = finish(m == 2 ? f32x4.sub(e, d) : e, bias, relu);
  const y2 = m == 2 ? y1 : finish(f32x4.sub(f32x4.add(b, c), d), bias, relu);
  const lo = v128.shuffle<i32>(y0, y1, 0, 4, 1, 5);
  const hi = v128.shuffle<i32>(y0, y1, 2, 6, 3, 7);
  put(i, places, y, v128.shuffle<i32>(lo, y2, 0, 1, 4, 4));
  put(i, places + 4, y, v128.shuffle<i32>(lo, y2, 2, 3, 5, 5));
  put(i, places + 8, y, v128.shuffle<i32>(hi, y2, 0, 1, 6, 6));
  put(i, places + 12, y, v128.shuffle<i32>(hi, y2, 2, 3, 7, 7));
}

/** All outputs of one channel of a panel. */
@inline
function output_panel(
  m: i32, p: usize, bias: v128, relu: i32, places: usize, y: usize, line: usize,
): void {
  for (const end = places + 32; places < end; p += 16, places += 16) {
    for (let i = 0; i < m; i++) output_tiles(m, i, p, bias, relu, places, y + line * i);
  }
}

/**
 * y = conv(x, wt) (+ bias [oc]), max(0, .) of it when relu is not 0, with u of winograd_weights.
 * k = s r with r = 2 or 3, no dilation, the same in both directions. Rows are panels of 8 tiles.
 * work: places, padded planes, V, M.
 */
export function conv2d_winograd(
  n: i32, c: i32, h: i32, w: i32, oc: i32, kh: i32, kw: i32, sh: i32, sw: i32, pt: i32, pl: i32,
  dh: i32, dw: i32, oh: i32, ow: i32, x: usize, u: usize, bias: usize, y: usize,
  relu: i32, work: usize, r0: i32, r1: i32,
): void {
  const m = 5 - kh / sh;
  const down = (oh + m - 1) / m;
  const across = (ow + m - 1) / m;
  const total = n * down * across;
  const depth = c * sh * sw;
  const group = panels_at_once(depth, oc);
  const pw = across * m + 4 - m;
  const most = min<i32>(n, (8 * group - 2) / (down * across) + 2);
  const planes = work + <usize>Place.BYTES * group;
  const v = planes + bytes(most * (down * m + 4 - m) * pw);
  // Off powers of two, which would meet in one set of the cache.
  const v_step = (<usize>depth << 5) + 64;
  const v_panel = v_step * 16;
  const products = v + v_panel * group;
  const m_panel = <usize>oc << 9;
  for (let r = r0; r < r1; r += group) {
    const have = min<i32>(group, r1 - r);
    const last = min<i32>((r + have) * 8, total) - 1;
    const image0 = r * 8 / (down * across);
    const images = last / (down * across) - image0 + 1;
    // Of one image only the lines that are met, of several all.
    const line0 = images == 1 ? r * 8 / across % down : 0;
    const line1 = images == 1 ? last / across % down : down - 1;
    const ph = (line1 - line0) * m + 4;
    for (let i = 0; i < have; i++) {
      place(
        (r + i) * 8, total, down, across, m, oc, oh, ow, image0, line0, pw, ph * pw,
        work + <usize>Place.BYTES * i,
      );
    }
    for (let e = 0; e < depth; e++) {
      // Phase by phase: all channels of one have their padding in the same places.
      const phase = e / c;
      const d = (e % c) * sh * sw + phase;
      for (let i = 0; i < images; i++) {
        pad_phase(
          x + bytes(((image0 + i) * c + (e % c)) * h * w), h, w,
          line0 * m * sh + phase / sw - pt, (phase % sw) - pl, sh, ph, pw,
          planes + bytes(i * ph * pw), i32(e % c == 0),
        );
      }
      for (let i = 0; i < have; i++) {
        for (let half: usize = 0; half < 32; half += 16) {
          const to = v + v_panel * i + (<usize>d << 5) + half;
          const from = work + <usize>Place.BYTES * i + half;
          input_tiles(0, planes, from, bytes(pw), to, v_step);
          input_tiles(1, planes, from, bytes(pw), to, v_step);
          input_tiles(2, planes, from, bytes(pw), to, v_step);
          input_tiles(3, planes, from, bytes(pw), to, v_step);
        }
      }
    }
    // Of a last panel with 4 tiles or fewer only half is computed.
    const half = (last & 7) < 4 ? have - 1 : have;
    for (let t = 0; t < 16; t++) {
      for (let o = 0; half < have && o < oc; o += HALF) {
        multiply_half(
          oc - o, u + bytes((t * oc + o) * depth), bytes(depth), 4,
          v + v_panel * half + v_step * t, depth,
          products + m_panel * half + (<usize>o << 9) + (<usize>t << 5), 512, From.ZERO, 0,
        );
      }
      for (let o = 0; half > 0 && o < oc; o += 4) {
        const a = u + bytes((t * oc + o) * depth);
        for (let i = 0; i < half; i++) {
          multiply(
            oc - o, a, bytes(depth), 4, v + v_panel * i + v_step * t, depth,
            products + m_panel * i + (<usize>o << 9) + (<usize>t << 5), 512, From.ZERO, 0,
          );
        }
      }
    }
    for (let o = 0; o < oc; o++) {
      const b = bias ? v128.load32_splat(bias + bytes(o)) : f32x4.splat(0);
      const to = y + bytes(o * oh * ow);
      for (let i = 0; i < have; i++) {
        const p = products + m_panel * i + (<usize>o << 9);
        const places = work + <usize>Place.BYTES * i;
        if (m == 2) output_panel(2, p, b, relu, places, to, bytes(ow));
        else output_panel(3, p, b, relu, places, to, bytes(ow));
      }
    }
  }
}
