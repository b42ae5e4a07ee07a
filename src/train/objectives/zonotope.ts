/**
 * DiffAI (Mirman et al. 2018, "Differentiable abstract interpretation for provably robust neural networks"):
 * cross entropy of the margins that zonotopes prove. Hybrid zonotopes keep the input's errors as generators and
 * put those of activations into a box part; `exact` makes a generator of each, which is the dual bound. Its
 * box domain is `ibp`.
 *
 * Deviations: activations take the slope of their chord, not the lesser of two areas; the weights of the two
 * losses follow kappa. Cost: a forward pass for each value of the input and sample, forward and back.
 */
import * as v from 'valibot';
import { exact, hybrid } from '../../bounds/zonotope';
import { choice, whole } from '../../options';
import { certified, certifiedOptions } from '../certified/family';
import { byZonotopes } from '../certified/forward';
import { someSamples, worstLoss } from '../certified/parts';

const ERRORS = { hybrid, exact };

export const zonotope = certified({
  name: 'zonotope',
  about: 'hybrid zonotopes (DiffAI) of some samples of a batch: eps, samples, errors, kappa',
  options: v.strictObject({
    ...certifiedOptions({ kappaStart: 0.5, kappa: 0.5, regularise: 0, judge: 'linear' }),
    /** Images of a batch that are bounded; null is all. */
    samples: v.optional(v.nullable(whole(1)), 1),
    /** What becomes of the errors of activations: part of a box, or generators. */
    errors: v.optional(choice(['hybrid', 'exact']), 'hybrid'),
  }),
  robust(context, o) {
    const part = someSamples(context, o.samples);
    const { margins, hidden } = byZonotopes(part, ERRORS[o.errors]);
    return { loss: worstLoss(margins, part.labels), hidden };
  },
});
