/**
 * Certified training with interval bounds (Gowal et al. 2018): kappa * cross entropy of the clean
 * logits + (1 - kappa) * cross entropy of the worst logits the bounds allow, the radius growing from
 * zero. Initialisation and the two warm-up regularisers are those of Shi et al. 2021; both fade as the radius
 * reaches its end.
 *
 * Cost: nine forward passes' worth a batch (a value and an interval pass, forward and back).
 */
import * as v from 'valibot';
import { ball } from '../../domain/interval';
import { certified, certifiedOptions } from '../certified/family';
import { byIntervals, worstLoss } from '../certified/parts';

export const ibp = certified({
  name: 'ibp',
  about: 'interval bound propagation: eps, factor, kappa, rampStart, rampEnd, regularise',
  options: v.strictObject(certifiedOptions({ kappa: 0.5 })),
  robust(context) {
    const { margins, hidden } = byIntervals(
      context,
      ball(context.x, context.radius, { sound: false }),
    );
    return { loss: worstLoss(margins, context.labels), hidden };
  },
});
