/** Shapes: sizes of the axes, outermost first; row-major. */
import { fail } from '../errors';

export type Shape = readonly number[];

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--)
    strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** The shape both broadcast to (numpy rules): sizes are equal, or one of them is 1 or missing. */
export function broadcastShape(a: Shape, b: Shape, who: string): Shape {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const p = a[axis - rank + a.length] ?? 1;
    const q = b[axis - rank + b.length] ?? 1;
    if (p !== q && p !== 1 && q !== 1)
      fail(who, 'shapes that broadcast', `[${a.join(', ')}] and [${b.join(', ')}]`);
    out.push(p === 1 ? q : p);
  }
  return out;
}

/** Strides of `shape` seen as the larger `target`: 0 along axes that are repeated. */
export function broadcastStrides(shape: Shape, target: Shape): number[] {
  const own = stridesOf(shape);
  const missing = target.length - shape.length;
  return target.map((size, axis) => {
    const from = axis - missing;
    return from < 0 || (shape[from] === 1 && size !== 1) ? 0 : own[from]!;
  });
}

/** Axes merged where every operand allows it: the fewest loops for the same walk. */
export interface Walk {
  readonly dims: number[];
  readonly strides: number[][];
}

export function mergeAxes(dims: Shape, strides: readonly (readonly number[])[]): Walk {
  const outDims: number[] = [];
  const outStrides: number[][] = strides.map(() => []);
  dims.forEach((size, axis) => {
    if (size === 1) return;
    const last = outDims.length - 1;
    const fits = last >= 0 && strides.every((s, i) => outStrides[i]![last] === s[axis]! * size);
    if (fits) {
      outDims[last]! *= size;
      strides.forEach((s, i) => {
        outStrides[i]![last] = s[axis]!;
      });
      return;
    }
    outDims.push(size);
    strides.forEach((s, i) => {
      outStrides[i]!.push(s[axis]!);
    });
  });
  return { dims: outDims, strides: outStrides };
}

/** The walk with exactly `rank` axes, padded with ones in front; fails where more are needed. */
export function padWalk(walk: Walk, rank: number, who: string): Walk {
  const missing = rank - walk.dims.length;
  if (missing < 0) fail(who, `at most ${rank} separate axes`, walk.dims.length);
  return {
    dims: [...new Array<number>(missing).fill(1), ...walk.dims],
    strides: walk.strides.map((s) => [...new Array<number>(missing).fill(0), ...s]),
  };
}
