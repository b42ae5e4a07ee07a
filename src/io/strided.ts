/**
 * Strided views as row-major bytes, for the formats that store other orders (PyTorch, NumPy).
 */

/**
 * The items of a view in row-major order: `source` begins at its first item, items are `item`
 * bytes, strides count items. A view of the source if it is so already, else a copy.
 *
 * The caller has checked that the view is not empty and inside of the source. Cost: one visit an
 * item.
 */
export function rowMajor(
  source: Uint8Array,
  item: number,
  shape: readonly number[],
  strides: readonly number[],
): Uint8Array {
  const bytes = shape.reduce((size, length) => size * length, item);
  if (isRowMajor(shape, strides)) return source.subarray(0, bytes);
  const out = new Uint8Array(bytes);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < bytes; to += item) {
    for (let b = 0; b < item; b++) out[to + b] = source[from + b]!;
    // The odometer: the last axis turns first.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]! * item;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      from -= shape[axis]! * strides[axis]! * item;
      index[axis] = 0;
    }
  }
  return out;
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}
