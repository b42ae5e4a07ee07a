/** Plain float64 arrays with a shape: what all references compute with. Slow and obvious. */
import type { Shape } from '../../src/tensor/shape';

export interface Nd {
  readonly shape: Shape;
  readonly data: Float64Array;
}

export const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

export function nd(shape: Shape, values: ArrayLike<number>): Nd {
  if (values.length !== sizeOf(shape)) throw new Error(`${values.length} values for [${shape}]`);
  return { shape, data: Float64Array.from(values) };
}

export const zeros = (shape: Shape): Nd => nd(shape, new Float64Array(sizeOf(shape)));

/** The array whose element at each multi-index is `f(index)`; `index` is one array, reused. */
export function tabulate(shape: Shape, f: (index: readonly number[]) => number): Nd {
  const data = new Float64Array(sizeOf(shape));
  const index = shape.map(() => 0);
  for (let flat = 0; flat < data.length; flat++) {
    data[flat] = f(index);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--)
      index[axis] = 0;
  }
  return { shape, data };
}

export function unravel(flat: number, shape: Shape): number[] {
  const index: number[] = [];
  let rest = flat;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(rest % shape[axis]!);
    rest = Math.floor(rest / shape[axis]!);
  }
  return index;
}

export function ravel(index: readonly number[], shape: Shape): number {
  return index.reduce((flat, i, axis) => flat * shape[axis]! + i, 0);
}

export const at = (x: Nd, index: readonly number[]): number => x.data[ravel(index, x.shape)]!;

/** `x` at a multi-index of an array it broadcasts to. */
export function broadcastAt(x: Nd, index: readonly number[]): number {
  const own = index.slice(index.length - x.shape.length);
  return at(
    x,
    own.map((i, axis) => (x.shape[axis] === 1 ? 0 : i)),
  );
}

/** f over arrays that broadcast, by the definition of numpy. */
export function map(f: (...values: number[]) => number, ...xs: readonly Nd[]): Nd {
  const rank = Math.max(...xs.map((x) => x.shape.length));
  const shape = Array.from({ length: rank }, (_, axis) => {
    const sizes = xs.map((x) => x.shape[axis - rank + x.shape.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
  if (xs.every((x) => x.shape.join() === shape.join()))
    return nd(
      shape,
      xs[0]!.data.map((_, i) => f(...xs.map((x) => x.data[i]!))),
    );
  return tabulate(shape, (index) => f(...xs.map((x) => broadcastAt(x, index))));
}

export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

/** The gradient of a scalar function by central differences: good to about 1e-9 relative. */
export function numericGradients(f: (xs: readonly Nd[]) => number, xs: readonly Nd[]): Nd[] {
  const copies = xs.map((x) => nd(x.shape, x.data));
  return copies.map(({ shape, data }) =>
    nd(
      shape,
      Array.from(data, (value, i) => {
        const h = 1e-6 * Math.max(1, Math.abs(value));
        data[i] = value + h;
        const up = f(copies);
        data[i] = value - h;
        const down = f(copies);
        data[i] = value;
        return (up - down) / (2 * h);
      }),
    ),
  );
}
