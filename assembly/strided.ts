/**
 * Copies between strided and indexed layouts: transpose, slice, pad, concatenate, flip, gather,
 * scatter-add. Strides count elements and may be zero or negative.
 * Cost: bound by memory; one element at a time where no inner stride is 1.
 */
import { copy_run, copy_seconds, unzip } from './padded';
import { bytes, load_part, store_part, transpose4 } from './simd';

@inline
function add_line(x: usize, y: usize, count: i32): void {
  const end = bytes(count);
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) {
    v128.store(y + i, f32x4.add(v128.load(y + i), v128.load(x + i)));
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    store_part(y + i, f32x4.add(load_part(y + i, rest), load_part(x + i, rest)), rest);
  }
}

/** y [count] = the element at x, everywhere. */
@inline
function fill_run(x: usize, count: i32, y: usize): void {
  const v = v128.load32_splat(x);
  const end = y + bytes(count);
  for (; y + 16 <= end; y += 16) v128.store(y, v);
  for (; y < end; y += 4) v128.store32_lane(y, v, 0);
}

/** y = a[0], b[0], a[1], b[1], ...; the last vectors overlap those before. `count` is 4 or more. */
function zip(a: usize, b: usize, y: usize, count: i32): void {
  const last = bytes(count - 4);
  for (let i: usize = 0; ; i += 16) {
    i = min(i, last);
    const v = v128.load(a + i), w = v128.load(b + i);
    v128.store(y + (i << 1), v128.shuffle<i32>(v, w, 0, 4, 1, 5));
    v128.store(y + (i << 1), v128.shuffle<i32>(v, w, 2, 6, 3, 7), 16);
    if (i == last) return;
  }
}

/**
 * y [d0][d1] = the transpose of x [d1][d0], whose lines are `wide_y` and `wide_x` bytes apart, in
 * blocks of 4 by 4; the last ones overlap those before. Both sizes are 4 or more.
 */
function transpose(d0: i32, d1: i32, x: usize, wide_x: usize, y: usize, wide_y: usize): void {
  for (let i = 0; ; i += 4) {
    i = min(i, d0 - 4);
    for (let j = 0; ; j += 4) {
      j = min(j, d1 - 4);
      const p = x + wide_x * j + bytes(i), q = y + wide_y * i + bytes(j);
      transpose4(
        v128.load(p), v128.load(p + wide_x), v128.load(p + wide_x * 2), v128.load(p + wide_x * 3),
        q, wide_y,
      );
      if (j == d1 - 4) break;
    }
    if (i == d0 - 4) return;
  }
}

/** y[i0,i1,i2,i3] = x[i0,i1,i2,i3], or += when accumulate is not 0. Rows are d0. */
export function copy_strided(
  d0: i32, d1: i32, d2: i32, d3: i32, x: usize, x0: i32, x1: i32, x2: i32, x3: i32,
  y: usize, y0: i32, y1: i32, y2: i32, y3: i32, accumulate: i32, r0: i32, r1: i32,
): void {
  const step_x = bytes(x3);
  const step_y = bytes(y3);
  const blocks = !accumulate && d2 >= 4 && d3 >= 4;
  for (let i0 = r0; i0 < r1; i0++) {
    for (let i1 = 0; i1 < d1; i1++) {
      const from = x + bytes(i0 * x0 + i1 * x1);
      const to = y + bytes(i0 * y0 + i1 * y1);
      if (blocks && x2 == 1 && y3 == 1) {
        transpose(d2, d3, from, step_x, to, bytes(y2));
        continue;
      }
      if (blocks && x3 == 1 && y2 == 1) {
        transpose(d3, d2, from, bytes(x2), to, step_y);
        continue;
      }
      if (!accumulate && d2 == 2 && d3 >= 4 && x2 == 1 && x3 == 2 && y3 == 1) {
        unzip(from, to, to + bytes(y2), d3);
        continue;
      }
      if (!accumulate && d2 >= 4 && d3 == 2 && x2 == 1 && y2 == 2 && y3 == 1) {
        zip(from, from + step_x, to, d2);
        continue;
      }
      for (let i2 = 0; i2 < d2; i2++) {
        let px = from + bytes(i2 * x2);
        let py = to + bytes(i2 * y2);
        if (x3 == 1 && y3 == 1) {
          if (accumulate) add_line(px, py, d3);
          else if (d3 < 64) copy_run(px, d3, py);
          else memory.copy(py, px, bytes(d3));
        } else if (x3 == 0 && y3 == 1 && !accumulate && d3 > 0) {
          fill_run(px, d3, py);
        } else if (x3 == 2 && y3 == 1 && !accumulate) {
          copy_seconds(px, d3, py);
        } else if (accumulate) {
          for (let i3 = 0; i3 < d3; i3++, px += step_x, py += step_y) {
            store<f32>(py, load<f32>(py) + load<f32>(px));
          }
        } else {
          for (let i3 = 0; i3 < d3; i3++, px += step_x, py += step_y) {
            store<u32>(py, load<u32>(px));
          }
        }
      }
    }
  }
}

/** y[i, :] = x[index[i], :]. Rows are `count`. */
export function take_rows(
  count: i32, cols: i32, x: usize, index: usize, y: usize, r0: i32, r1: i32,
): void {
  const size = bytes(cols);
  if (cols == 1) {
    for (let i = bytes(r0); i < bytes(r1); i += 4) {
      store<u32>(y + i, load<u32>(x + bytes(load<i32>(index + i))));
    }
    return;
  }
  for (let i = r0; i < r1; i++) {
    memory.copy(y + <usize>i * size, x + <usize>load<i32>(index + bytes(i)) * size, size);
  }
}

/** y[index[i], :] += x[i, :] in the order of i. Rows are columns, so that repeats never race. */
export function add_rows(
  count: i32, cols: i32, x: usize, index: usize, y: usize, r0: i32, r1: i32,
): void {
  const size = bytes(cols);
  for (let i = 0; i < count; i++) {
    const target = y + <usize>load<i32>(index + bytes(i)) * size;
    add_line(x + <usize>i * size + bytes(r0), target + bytes(r0), r1 - r0);
  }
}
