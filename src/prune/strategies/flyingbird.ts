/**
 * Flying Bird (Chen et al. 2022, "Sparsity winning twice: Better robust generalization from more efficient
 * training", arXiv 2202.09844): drop and grow for robust training, with half of the weights moving at first
 * and some to the very end (prune/regrow.ts).
 *
 * Deviations: initial densities by Erdos-Renyi-Kernel, where theirs are of an allocation of their own, and
 * growth by gradient, where their program's default is by lot (`grow: random`). Flying Bird+, whose density
 * follows the loss on held-out images, is not offered, as the density is the run's. Cost: as of `rigl`.
 */
import { regrowing } from '../regrow';

export const flyingbird = regrowing({
  name: 'flyingbird',
  about: 'drop and grow for robust training, until the end',
  share: 0.5,
  end: 1,
});
