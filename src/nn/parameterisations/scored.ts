/**
 * Entries chosen by trained scores (HYDRA, Sehwag et al. 2020, arXiv 2002.10509; Ramanujan et al. 2020):
 * w_i where |s_i| is among the `kept` largest of the weight, else 0. The choice has no derivative of use;
 * its gradient goes straight through: dL/ds_i = dL/dv_i w_i sign(s_i), of those that were not chosen too.
 *
 * With the setting `signed` 1 (movement pruning, Sanh et al. 2020, arXiv 2005.07683) the scores themselves are
 * compared, and dL/ds_i = dL/dv_i w_i. Ties go to the lower index. Cost: a few passes over the entries a step.
 */
import { expect } from '../../errors';
import { affine, mul } from '../../tensor/ops/core';
import { abs } from '../../tensor/ops/elementwise';
import { record } from '../../tensor/tape';
import { empty, type Tensor } from '../../tensor/tensor';
import {
  type Mask,
  type ParameterData,
  type ParameterisationKind,
  takeKept,
} from '../parameterisation';

export const scored: ParameterisationKind = {
  about: 'the entries of the largest |score|',
  tensors: {
    weights: { role: 'weight', perEntry: true },
    scores: { role: 'score', perEntry: true },
  },
  entries({ weights, scores }, { kept, signed = 0 }) {
    // Adding +0 turns the -0 of a negative weight into +0.
    const compared = signed === 1 ? scores! : abs(scores!);
    const chosen = record(largestAmong(compared, kept!), [compared], [(g) => g]);
    return affine(mul(weights!, chosen), 1, 0);
  },
  check({ settings: { kept, signed = 0 } }, entries, who) {
    const fits = Number.isInteger(kept) && kept! >= 1 && kept! <= entries;
    expect(fits, `${who}: kept`, `a whole number in [1, ${entries}]`, kept);
    expect(signed === 0 || signed === 1, `${who}: signed`, '0 or 1', signed);
  },
  kept({ scores }, { kept, signed = 0 }) {
    const sizes = signed === 1 ? scores! : scores!.map(Math.abs);
    const least = sizes.slice().sort()[sizes.length - kept!]!;
    let equal = kept! - sizes.filter((size) => size > least).length;
    return Uint8Array.from(sizes, (size) =>
      Number(size > least || (size === least && equal-- > 0)),
    );
  },
};

/** Weights (all of them, flat) of which scores (as many) choose; those that `mask` takes have no score. */
export function scoredData(
  weights: Float32Array,
  scores: Float32Array,
  kept: number,
  mask: Mask | null = null,
): ParameterData {
  const tensors = { weights: takeKept(weights, mask), scores: takeKept(scores, mask) };
  return { kind: 'scored', mask, settings: { kept }, tensors };
}

/** 1 for the `kept` largest elements, else 0; its gradient is the caller's to say. */
export function largestAmong(x: Tensor, kept: number): Tensor {
  const chosen = empty(x.engine, x.shape);
  x.engine.run('mask_top_k', x.size, kept, x.ptr, chosen.ptr);
  return chosen;
}
