/**
 * SNIP (Lee et al. 2019, "SNIP: Single-shot network pruning based on connection sensitivity", arXiv
 * 1810.02340): the initial weights by which the loss changes least go, by |g w| with g the gradient of the
 * run's objective, and the others are trained as pre-training does.
 *
 * Deviations: initial weights are those of the run; the mean gradient of `batches` batches, where they take
 * one. Cost: a forward and backward pass a batch.
 */
import * as v from 'valibot';
import { whole } from '../../options';
import { meanGradients, oracleOf } from '../oracle';
import { AT_INITIALISATION, scoring } from '../scoring';
import { scoresFrom } from '../select';

export const snip = scoring({
  name: 'snip',
  about: 'initial weights of the smallest |gradient w| go',
  scope: 'global',
  needs: ['data'],
  options: { batches: v.optional(whole(1), 1) },
  phase: () => AT_INITIALISATION,
  scores(context, { batches }) {
    const { model } = context;
    const gradients = meanGradients(oracleOf(context, 'snip'), model, batches);
    const scores = Array.from(gradients, ([name, g]) => {
      const weights = model.params.get(name)!.read();
      return [name, g.map((slope, i) => Math.abs(slope * weights[i]!))] as const;
    });
    return scoresFrom(new Map(scores), 'snip');
  },
});
