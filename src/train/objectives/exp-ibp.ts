/**
 * Exp-IBP (De Palma et al. 2024): attacked loss ^ (1 - alpha) * proven loss ^ alpha, of the batch's mean
 * losses as in the authors' code.
 */
import { affine, lincomb, mean } from '../../tensor/ops/core';
import { exp, log } from '../../tensor/ops/elementwise';
import { crossEntropy } from '../../tensor/ops/loss';
import { expressive } from '../certified/expressive';
import { worstLoss } from '../certified/parts';

export const expIbp = expressive({
  name: 'exp-ibp',
  about: 'geometric mean of attacked and proven losses: eps, factor, alpha, steps, attackFactor',
  alpha: 0.1,
  combine(attacked, proven, labels, alpha) {
    // Losses that round to 0 have no logarithm.
    const [a, p] = [mean(crossEntropy(attacked, labels)), worstLoss(proven, labels)].map((loss) =>
      log(affine(loss, 1, 1e-12)),
    );
    return exp(lincomb(1 - alpha, a!, alpha, p!));
  },
});
