/** Options that convolutions and pools share: sizes and paddings of windows over [h, w]. */
import * as v from 'valibot';
import { whole } from '../../options';

/** One number, or [vertical, horizontal]. */
export const pair = (min: number) => v.union([whole(min), v.strictTuple([whole(min), whole(min)])]);

/** One number, [vertical, horizontal], or [top, left, bottom, right]. */
export const sides = () =>
  v.union([pair(0), v.strictTuple([whole(0), whole(0), whole(0), whole(0)])]);

export function both(value: number | [number, number]): [number, number] {
  return typeof value === 'number' ? [value, value] : value;
}

/** [top, left, bottom, right]. */
export function fourSides(
  value: number | [number, number] | [number, number, number, number],
): [number, number, number, number] {
  const padding = typeof value === 'number' ? [value, value] : value;
  const [top, left, bottom = top, right = left] = padding as [number, number, number?, number?];
  return [top, left, bottom, right];
}
