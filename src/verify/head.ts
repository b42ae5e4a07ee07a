/**
 * Heads: functions that a file's network computes behind its last layer here. Readers leave a last softmax
 * out, as a label does not depend on it, and a property of outputs does. Points are evaluated by these
 * outputs; bounds look at linear rows of the logits instead (head-rows.ts).
 */
/** Function of all outputs of a sample behind the last layer. */
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
  { head }: { readonly head?: Head },
  logits: A,
): A => applyHead(head, logits);
