/**
 * Outputs and gradients of a specification's rows at points: what the attack descends along and what
 * picks the axis of a split.
 *
 * A disjunct holds where all of its rows are at most their right sides, so its slack is the largest of
 * `rows . y - rhs`; the gradient is that of the worst row, or of all rows that are not yet satisfied.
 */
import { logits } from '../domain/classifier';
import type { AnyModel } from '../nn/model';
import { mul, reshape, sum } from '../tensor/ops/core';
import { matmul } from '../tensor/ops/product';
import { gradients } from '../tensor/tape';
import { input, step } from '../tensor/tensor';
import type { OutputRows } from './specification';

/** Points [n, inputs] and the disjunct each of them is after. */
export interface Points {
  readonly x: Float32Array;
  readonly disjunct: Int32Array;
}

export interface Descent {
  /** Outputs [n, outputs]. */
  readonly y: Float32Array;
  /** Gradient of the chosen rows' sum, [n, inputs]. */
  readonly gradient: Float32Array;
}

/** Which rows of its disjunct pull a point: the worst one, or every one above its right side. */
export type Pull = 'worst' | 'all';

export function outputsAt(model: AnyModel, x: Float32Array, count: number): Float32Array {
  return step(model.engine, () =>
    logits(model, input(model.engine, x, [count, ...model.graph.network.input])).read(),
  );
}

export function descend(
  model: AnyModel,
  { x, disjunct }: Points,
  rows: OutputRows,
  pull: Pull,
): Descent {
  const { engine, graph } = model;
  const n = disjunct.length;
  return step(engine, () => {
    const at = input(engine, x, [n, ...graph.network.input]);
    const { result, gradients: found } = gradients(engine, [at], () => {
      const z = reshape(logits(model, at), [n, rows.outputs]);
      const y = z.read();
      const weights = input(engine, pulled(y, disjunct, rows, pull), [n, rows.count]);
      const values = matmul(z, input(engine, rows.matrix, [rows.count, rows.outputs]), {
        tb: true,
      });
      return { loss: sum(mul(values, weights)), y };
    });
    return { y: result.y, gradient: found[0]!.read() };
  });
}

/** 1 for every row whose gradient a point follows, [n, rows]. */
function pulled(y: Float32Array, disjunct: Int32Array, rows: OutputRows, pull: Pull): Float32Array {
  const weights = new Float32Array(disjunct.length * rows.count);
  disjunct.forEach((d, i) => {
    let [worst, most] = [-1, Number.NEGATIVE_INFINITY];
    for (let r = rows.start[d]!; r < rows.start[d + 1]!; r++) {
      let slack = -rows.rhs[r]!;
      for (let j = 0; j < rows.outputs; j++)
        slack += rows.matrix[r * rows.outputs + j]! * y[i * rows.outputs + j]!;
      if (slack > 0 && pull === 'all') weights[i * rows.count + r] = 1;
      if (slack > most) [worst, most] = [r, slack];
    }
    if (worst >= 0) weights[i * rows.count + worst] = 1;
  });
  return weights;
}
