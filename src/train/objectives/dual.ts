/**
 * Training by the dual of the linear relaxation (Wong and Kolter 2018, arXiv 1711.00851): cross entropy of the
 * margins that it proves, all hidden bounds by it too. Its bounds are backward linear ones of parallel slopes.
 * With `projections` the L1 norms that hidden bounds need are estimated by so many random Cauchy projections
 * (Wong et al. 2018, arXiv 1805.12514), carried forwards (bounds/zonotope.ts): for training alone.
 * With `samples` only so many images of a batch are bounded, at random.
 *
 * Cost: exact, two transposed passes a hidden neuron and sample, forward and back; projected, `projections`
 * forward passes a sample, forward and back.
 */
import * as v from 'valibot';
import { linearMargins } from '../../bounds/margins';
import { projected } from '../../bounds/zonotope';
import { choice, whole } from '../../options';
import { STREAMS } from '../../tensor/philox';
import { certified, certifiedOptions } from '../certified/family';
import { byZonotopes } from '../certified/forward';
import { boundedBatch, hiddenOf } from '../certified/linear';
import { someSamples, worstLoss } from '../certified/parts';
import { HIDDEN } from './mixtrain';

export const dual = certified({
  name: 'dual',
  about:
    'the dual bound of Wong and Kolter, exact or by random projections: eps, samples, projections',
  options: v.strictObject({
    ...certifiedOptions({ kappaStart: 0.5, kappa: 0.5, regularise: 0, judge: 'linear' }),
    /** Images of a batch that are bounded; null is all. */
    samples: v.optional(v.nullable(whole(1)), 1),
    /** Random projections that estimate the norms, or null for exact ones. */
    projections: v.optional(v.nullable(whole(1)), null),
    /** How hidden values are bounded where norms are exact; `all` is the paper's. */
    hidden: v.optional(choice(HIDDEN), 'all'),
  }),
  robust(context, o) {
    const part = someSamples(context, o.samples);
    if (o.projections !== null) {
      const { seed, epoch, index } = part;
      const key = { seed: seed + Math.floor(epoch), stream: STREAMS.samples, index };
      const { margins, hidden } = byZonotopes(part, projected(o.projections, key));
      return { loss: worstLoss(margins, part.labels), hidden };
    }
    const bounded = boundedBatch(part, { hidden: o.hidden, slopes: 'parallel' });
    return {
      loss: worstLoss(linearMargins(bounded, part.labels), part.labels),
      hidden: hiddenOf(bounded),
    };
  },
});
