/**
 * What a file's network computes behind its last layer here: readers leave a last softmax out, as a
 * label does not depend on it, and a property of outputs does. Points are judged by these outputs; what
 * bounds look at instead are linear rows of the logits (head-rows.ts).
 */
import type { Conjunction, Specification } from './specification';

/** Over all outputs of a sample. */
export type Head = 'softmax' | 'log-softmax';

/** The outputs of one sample from its logits: in f64, and rounded to float32 of float32 logits. */
export function applyHead<A extends Float32Array | Float64Array>(head: Head | undefined, z: A): A {
  if (!head) return z;
  let most = Number.NEGATIVE_INFINITY;
  for (const v of z) most = Math.max(most, v);
  const shares = Float64Array.from(z, (v) => Math.exp(v - most));
  const total = shares.reduce((a, v) => a + v, 0);
  const shift = Math.log(total);
  const outputs =
    head === 'softmax'
      ? shares.map((share) => share / total)
      : Float64Array.from(z, (v) => v - most - shift);
  return (z instanceof Float32Array ? Float32Array.from(outputs) : outputs) as A;
}

/** The outputs at logits of one sample. */
export const outputsOf = <A extends Float32Array | Float64Array>(
  { head }: Pick<Specification, 'head'>,
  logits: A,
): A => applyHead(head, logits);

/** Some weights of logits, and a right side that they are at most. */
export interface LogitRow {
  readonly weights: ReadonlyMap<number, number>;
  readonly rhs: number;
}

/** Conjunctions of logit rows, without those that another one covers. */
export function conjunctionsOf(disjuncts: readonly LogitRow[][], outputs: number): Conjunction[] {
  const single = new Map<string, LogitRow>();
  const several: LogitRow[][] = [];
  for (const rows of disjuncts) {
    const [only] = rows;
    if (rows.length !== 1) {
      several.push(rows);
      continue;
    }
    const key = [...only!.weights].map(([j, weight]) => `${j}:${weight}`).join();
    const known = single.get(key);
    if (!known || only!.rhs > known.rhs) single.set(key, only!);
  }
  return [...several, ...[...single.values()].map((row) => [row])].map((rows) => ({
    rows: rows.map(({ weights }) => {
      const row = new Float64Array(outputs);
      for (const [j, weight] of weights) row[j] = weight;
      return row;
    }),
    rhs: rows.map(({ rhs }) => rhs),
  }));
}
