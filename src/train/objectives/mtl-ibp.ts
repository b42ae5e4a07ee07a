/** MTL-IBP (De Palma et al. 2024): (1 - alpha) * the attacked loss + alpha * the proven one. */
import { lincomb, mean } from '../../tensor/ops/core';
import { crossEntropy } from '../../tensor/ops/loss';
import { expressive } from '../certified/expressive';
import { worstLoss } from '../certified/parts';

export const mtlIbp = expressive({
  name: 'mtl-ibp',
  about:
    'convex combination of attacked and proven losses: eps, factor, alpha, steps, attackFactor',
  alpha: 0.02,
  combine: (attacked, proven, labels, alpha) =>
    lincomb(1 - alpha, mean(crossEntropy(attacked, labels)), alpha, worstLoss(proven, labels)),
});
