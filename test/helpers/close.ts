/** Comparisons of whole arrays that say where they fail. */
import { expect } from 'vitest';

export interface Tolerance {
  /** Share of the element's size and of the array's mean size. */
  readonly rel?: number;
  readonly abs?: number;
}

/** |actual - expected| <= rel (|expected| + mean |expected|) + abs, element by element. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { rel = 1e-5, abs = 1e-6 }: Tolerance = {},
  who = '',
): void {
  expect(actual.length, `${who}: length`).toBe(expected.length);
  const sizes = Array.from(expected, Math.abs);
  const mean = sizes.reduce((a, b) => a + b, 0) / Math.max(1, sizes.length);
  const bad = sizes.findIndex(
    (size, i) => !(Math.abs(actual[i]! - expected[i]!) <= rel * (size + mean) + abs),
  );
  if (bad < 0) return;
  expect(actual[bad], `${who}: element ${bad}`).toBe(expected[bad]);
}

/** lo <= value <= hi for every element; the bounds repeat when there are more values. */
export function expectInside(
  values: ArrayLike<number>,
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
  who = '',
): void {
  const bad = violation(values, lo, hi);
  if (bad === undefined) return;
  const i = bad % lo.length;
  expect.fail(`${who}: element ${bad} is ${values[bad]}, not in [${lo[i]}, ${hi[i]}]`);
}

/** Position of the first value that is not inside its bounds (NaN is not). */
export function violation(
  values: ArrayLike<number>,
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
): number | undefined {
  for (let k = 0, i = 0; k < values.length; k++, i++) {
    if (i === lo.length) i = 0;
    if (!(values[k]! >= lo[i]! && values[k]! <= hi[i]!)) return k;
  }
  return undefined;
}
