/**
 * N:M sparsity (Mishra et al. 2021, "Accelerating sparse deep neural networks", arXiv 2104.08378; Zhou et al.
 * 2021, arXiv 2102.04010): of every m neighbouring inputs of an output the n of the largest |w| stay, so all
 * rows are of one length. m is that of the pattern, and n / m the share that `prune.sparsity` leaves.
 *
 * Deviation: layers whose channels are no multiple of m, such as the first, lose the same share of single
 * weights. In rounds before the last, groups differ by one. Cost: a sort of every layer, in JavaScript.
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { scoring } from '../scoring';

export const nM = scoring({
  name: 'n-m',
  about: 'of every m inputs the n of the largest |w| stay',
  scope: 'layer',
  options: {
    scope: v.optional(choice(['layer']), 'layer'),
    pattern: v.optional(choice(['n:2', 'n:4', 'n:8', 'n:16']), 'n:4'),
  },
  scores: () => (weight) => abs(weight),
});
