/** CC-IBP (De Palma et al. 2024): the loss of (1 - alpha) * the attacked margins + alpha * the proven ones. */
import { lincomb, mean } from '../../tensor/ops/core';
import { crossEntropy } from '../../tensor/ops/loss';
import { expressive } from '../certified/expressive';

export const ccIbp = expressive({
  name: 'cc-ibp',
  about:
    'convex combination of attacked and proven margins: eps, factor, alpha, steps, attackFactor',
  alpha: 0.1,
  // Logits and negated margins z_j - z_y differ by one number a sample, which no cross entropy sees.
  combine: (attacked, proven, labels, alpha) =>
    mean(crossEntropy(lincomb(1 - alpha, attacked, -alpha, proven), labels)),
});
