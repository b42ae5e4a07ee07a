/**
 * Entries chosen by trained scores, of which a trained rate says how many the weight should keep (HARP, Zhao
 * and Wressnegger 2023, "Holistic adversarially robust pruning"): as `scored`, and the gradient of the rate
 * is the sum of the choice's gradients over all entries, times that of the density
 * least + (1 - least) sigmoid(rate).
 *
 * How many are kept is a setting: a strategy brings the densities of all layers to one budget.
 */
import { expect } from '../../errors';
import { affine, mul, reshape, sum } from '../../tensor/ops/core';
import { abs, sigmoid } from '../../tensor/ops/elementwise';
import { record } from '../../tensor/tape';
import type { Tensor } from '../../tensor/tensor';
import type { ParameterisationKind } from '../parameterisation';
import { largestAmong, scored } from './scored';

export const rated: ParameterisationKind = {
  about: 'the entries of the largest |score|, as many as a trained rate says',
  tensors: { ...scored.tensors, rate: { role: 'score', perEntry: false } },
  entries({ weights, scores, rate }, { kept, least }) {
    const sizes = abs(scores!);
    const slope = (g: Tensor): Tensor => {
      const s = sigmoid(rate!);
      return mul(reshape(sum(g), [1]), affine(mul(s, affine(s, -1, 1)), 1 - least!, 0));
    };
    const chosen = record(largestAmong(sizes, kept!), [sizes, rate!], [(g) => g, slope]);
    return affine(mul(weights!, chosen), 1, 0);
  },
  check(data, entries, who) {
    scored.check!(data, entries, who);
    const { settings, tensors } = data;
    const { least } = settings;
    const fits = least !== undefined && least >= 0 && least < 1;
    expect(fits, `${who}: least`, 'a density in [0, 1)', least);
    expect(tensors.rate!.length === 1, `${who}: rate`, 'one number', tensors.rate!.length);
  },
  kept: scored.kept!,
};

/** The density that a rate stands for, in (least, 1). */
export const densityOf = (rate: number, least: number): number =>
  least + (1 - least) / (1 + Math.exp(-rate));
