/**
 * Iterative magnitude pruning with rewinding (Frankle and Carbin 2019, "The lottery ticket hypothesis", arXiv
 * 1803.03635; Frankle et al. 2020, arXiv 1912.05671): in each of `prune.rounds` rounds the same share of the
 * weights that are left goes, the smallest |w| of the trained network; the others go back to what they were
 * after `rewind` epochs of pre-training (0: to their first values) and are trained again as pre-training does.
 *
 * Deviations: every round trains for all the epochs of pre-training, where theirs continues its schedule from
 * the early checkpoint; one threshold over all layers by default (`scope`). Cost: a pre-training a round.
 */
import * as v from 'valibot';
import { whole } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { scoring } from '../scoring';

export const lottery = scoring({
  name: 'lottery',
  about: 'smallest trained |w| go, the others are rewound to an early epoch',
  scope: 'global',
  needs: ['training'],
  sparsitySchedule: 'geometric',
  options: { rewind: v.optional(whole(), 1) },
  phase: ({ rewind }) => ({
    name: 'finetune',
    decides: 'best',
    start: rewind,
    hyperparameters: 'pretrain',
  }),
  scores: () => (weight) => abs(weight),
});
