/**
 * Copies between strided and indexed layouts: transpose, slice, pad, concatenate, flip, gather,
 * scatter-add. Strides count elements and may be zero or negative.
 * Cost: bound by memory; one element at a time where an inner stride is not 1.
 */
import { copy_run } from './padded';
import { bytes, load_part, store_part } from './simd';

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

/** y = every second element of x. Copied as integers: the bits of a NaN stay what they are. */
@inline
function copy_halves(x: usize, y: usize, count: i32): void {
  let i = 0;
  for (; i + 4 < count; i += 4, x += 32, y += 16) {
    const v = i8x16.shuffle(
      v128.load(x), v128.load(x, 16), 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27,
    );
    v128.store(y, v);
  }
  for (; i < count; i++, x += 8, y += 4) store<u32>(y, load<u32>(x));
}

/** y[i0,i1,i2,i3] = x[i0,i1,i2,i3], or += when accumulate is not 0. Rows are d0. */
export function copy_strided(
  d0: i32, d1: i32, d2: i32, d3: i32, x: usize, x0: i32, x1: i32, x2: i32, x3: i32,
  y: usize, y0: i32, y1: i32, y2: i32, y3: i32, accumulate: i32, r0: i32, r1: i32,
): void {
  const step_x = bytes(x3);
  const step_y = bytes(y3);
  for (let i0 = r0; i0 < r1; i0++) {
    for (let i1 = 0; i1 < d1; i1++) {
      for (let i2 = 0; i2 < d2; i2++) {
        let px = x + bytes(i0 * x0 + i1 * x1 + i2 * x2);
        let py = y + bytes(i0 * y0 + i1 * y1 + i2 * y2);
        if (x3 == 1 && y3 == 1) {
          if (accumulate) add_line(px, py, d3);
          else if (d3 < 64) copy_run(px, d3, py);
          else memory.copy(py, px, bytes(d3));
        } else if (x3 == 2 && y3 == 1 && !accumulate) {
          copy_halves(px, py, d3);
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
