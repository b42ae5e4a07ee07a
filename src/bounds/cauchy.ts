/** Random Cauchy weights and the median of sizes: together an estimate of a sum of sizes (Indyk 2006). */
import type { Engine } from '../runtime/engine';
import { affine, div, mul, reshape, sumAxes } from '../tensor/ops/core';
import { clamp } from '../tensor/ops/elementwise';
import { normal, type RandomKey } from '../tensor/ops/random';
import { type Shape, sizeOf } from '../tensor/shape';
import { input, type Tensor } from '../tensor/tensor';

/**
 * Standard Cauchy numbers cut at a million, quotients of normal ones; rows are the first axis. Draws from the
 * streams `stream` and `stream` + 500.
 */
export function cauchy(engine: Engine, shape: Shape, key: RandomKey): Tensor {
  const other = { ...key, stream: key.stream + 500 };
  // A divisor of 0 would make no number of it.
  const below = affine(normal(engine, shape, other), 1, 1e-12);
  return clamp(div(normal(engine, shape, key), below), -1e6, 1e6);
}

/**
 * The median size over the second axis, of [n, count, ...shape]: [n, ...shape]; of an even count the mean of
 * the two in the middle. The gradient goes to these alone.
 */
export function medianSize(rows: Tensor): Tensor {
  const [n, count, ...shape] = rows.shape as [number, number, ...number[]];
  const size = sizeOf(shape);
  const values = rows.read();
  const chosen = new Float32Array(values.length);
  const middle = [(count - 1) >> 1, count >> 1];
  const column = new Float64Array(count);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < size; j++) {
      const start = i * count * size + j;
      for (let k = 0; k < count; k++) column[k] = Math.abs(values[start + k * size]!);
      const sorted = column.slice().sort();
      for (const m of middle) {
        const k = column.indexOf(sorted[m]!);
        if (k < 0) continue;
        const at = start + k * size;
        chosen[at]! += 0.5 * Math.sign(values[at]!);
      }
    }
  const picked = mul(rows, input(rows.engine, chosen, rows.shape));
  return reshape(sumAxes(picked, 1, 2), [n, ...shape]);
}
