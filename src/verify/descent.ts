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
import { gradients } from '../tensor/tape';
import { input, step } from '../tensor/tensor';
import type { OutputRows } from './problem';

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
      const weights = input(engine, pulled(y, disjunct, rows, pull), [n, rows.outputs]);
      return { loss: sum(mul(z, weights)), y };
    });
    return { y: result.y, gradient: found[0]!.read() };
  });
}

/** The sum of the rows whose gradient each point follows, [n, outputs]. */
function pulled(y: Float32Array, disjunct: Int32Array, rows: OutputRows, pull: Pull): Float32Array {
  const { outputs, matrix, rhs, start } = rows;
  const weights = new Float32Array(disjunct.length * outputs);
  const follow = (i: number, r: number): void => {
    for (let j = 0; j < outputs; j++) weights[i * outputs + j]! += matrix[r * outputs + j]!;
  };
  disjunct.forEach((d, i) => {
    let [worst, most] = [-1, Number.NEGATIVE_INFINITY];
    for (let r = start[d]!; r < start[d + 1]!; r++) {
      let slack = -rhs[r]!;
      for (let j = 0; j < outputs; j++) slack += matrix[r * outputs + j]! * y[i * outputs + j]!;
      if (slack > most) [worst, most] = [r, slack];
      if (slack > 0 && pull === 'all') follow(i, r);
    }
    // Of the rows above 0 the worst is one already.
    if (worst >= 0 && !(most > 0 && pull === 'all')) follow(i, worst);
  });
  return weights;
}
