/**
 * RigL (Evci et al. 2020, "Rigging the lottery: Making all tickets winners", arXiv 1911.11134): sparse from
 * the first update on, with densities by Erdos-Renyi-Kernel; every so many updates a share of the weights of
 * each layer, the smallest, make room for those of the largest gradient (prune/regrow.ts).
 *
 * Deviations: the gradient is that of one batch drawn for it, at the objective's full difficulty. Cost: that
 * of sparse training and a dense forward and backward pass at each change.
 */
import { regrowing } from '../regrow';

export const rigl = regrowing({
  name: 'rigl',
  about: 'sparse training that drops the smallest |w| and grows by gradient',
  share: 0.3,
  end: 0.75,
});
