/**
 * Interval bounds of every node of a program, end by end and in f64: whatever a float32 execution
 * computes there from an input of the box lies within.
 */
import { range } from './activations';
import { F64, sumError } from './arithmetic';
import type { Operator } from './operators';
import type { Program, Step } from './program';

export interface Bounds {
  readonly lo: Float64Array;
  readonly hi: Float64Array;
}

export const blank = (size: number): Bounds => ({
  lo: new Float64Array(size),
  hi: new Float64Array(size),
});

/** The largest size of value j within its bounds; NaN stays NaN. */
export const magnitude = ({ lo, hi }: Bounds, j: number): number =>
  Math.max(Math.abs(lo[j]!), Math.abs(hi[j]!));

/** The greatest of the values at some places; NaN among them stays NaN. */
export function greatest(values: Float64Array, places: readonly number[]): number {
  return places.reduce((most, j) => Math.max(most, values[j]!), Number.NEGATIVE_INFINITY);
}

/**
 * A bound of what rounding does to output i of an affine node: the network's and the checker's. Where
 * values are only moved that is `moving` times their size: nothing forward, but backward coefficients
 * that meet are added.
 */
export function affineError(operator: Operator, i: number, x: Bounds, moving = 0): number {
  if (operator.roundings === 0 && moving === 0) return 0;
  let size = Math.abs(operator.bias(i));
  operator.row(i, (j, w) => {
    size += Math.abs(w) * magnitude(x, j);
  });
  return operator.roundings === 0 ? moving * size : sumError(size, operator.roundings);
}

/** Rounding error of an output of a sum of nodes. */
export function addError(inputs: readonly Bounds[], i: number): number {
  let size = 0;
  for (const x of inputs) size += magnitude(x, i);
  return sumError(size, inputs.length);
}

export function stepBounds(step: Step, inputs: readonly Bounds[]): Bounds {
  const out = blank(step.size);
  const [x] = inputs;
  for (let i = 0; i < step.size; i++) {
    const [lo, hi] = valueBounds(step, i, x!, inputs);
    out.lo[i] = lo;
    out.hi[i] = hi;
  }
  return out;
}

function valueBounds(
  step: Step,
  i: number,
  x: Bounds,
  inputs: readonly Bounds[],
): readonly [number, number] {
  switch (step.kind) {
    case 'affine': {
      let [lo, hi] = [step.operator.bias(i), step.operator.bias(i)];
      step.operator.row(i, (j, w) => {
        lo += w * (w >= 0 ? x.lo[j]! : x.hi[j]!);
        hi += w * (w >= 0 ? x.hi[j]! : x.lo[j]!);
      });
      const error = affineError(step.operator, i, x);
      return [lo - error, hi + error];
    }
    case 'pointwise':
      return range(step.activation, x.lo[i]!, x.hi[i]!);
    case 'add': {
      let [lo, hi] = [0, 0];
      for (const b of inputs) {
        lo += b.lo[i]!;
        hi += b.hi[i]!;
      }
      const error = addError(inputs, i);
      return [lo - error, hi + error];
    }
    case 'max': {
      const places = step.windows(i);
      return [greatest(x.lo, places), greatest(x.hi, places)];
    }
    case 'concat': {
      const [k, j] = step.source(i);
      return [inputs[k]!.lo[j]!, inputs[k]!.hi[j]!];
    }
  }
}

/** Least value over the bounds of sum a_j x_j, and the sizes behind it for the error. */
export function least(a: Float64Array, x: Bounds): { value: number; error: number } {
  let [value, size] = [0, 0];
  for (let j = 0; j < a.length; j++) {
    const w = a[j]!;
    if (w === 0) continue;
    value += w * (w > 0 ? x.lo[j]! : x.hi[j]!);
    size += Math.abs(w) * magnitude(x, j);
  }
  return { value, error: F64 * size };
}

/** The name of the first node that has a bound which is no number: nothing is proven of it. */
export function unbounded(program: Program, bounds: readonly Bounds[]): string | undefined {
  const at = bounds.findIndex(
    ({ lo, hi }) => !(lo.every(Number.isFinite) && hi.every(Number.isFinite)),
  );
  return program.steps[at]?.name;
}
