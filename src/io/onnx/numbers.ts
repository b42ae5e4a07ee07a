/** Numbers between their three homes: float32 files, JSON options, constants of any type. */
import type { Call } from './call';
import type { Constant } from './element';

/** The shortest decimal that is `x` in float32: 0.1 for the 0.10000000149011612 of a file. */
export function shortest(x: number): number {
  const target = Math.fround(x);
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(x.toPrecision(digits));
    if (Math.fround(short) === target) return short;
  }
  return target;
}

/** The numbers in float32; notes where that rounds. */
export function single(call: Call, { values }: Constant): Float32Array {
  if (values instanceof Float32Array) return values;
  call.build.spend(values.length);
  const rounded = Float32Array.from(values);
  if (rounded.some((value, i) => value !== values[i]))
    call.build.note(`${call.build.name}: its float64 numbers were rounded to float32.`);
  return rounded;
}
