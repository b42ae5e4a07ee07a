/**
 * Momentum iterative method (Dong et al. 2018): the basic iterative method along a decaying sum of gradients, each scaled
 * to an L1 norm of 1. Its images carry over to other networks better than those of PGD.
 */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { choice, real, whole } from '../../options';
import { attack } from '../attack';
import { TWO_NORMS } from '../geometry';
import { iterate } from '../iterate';

export const mim = attack({
  name: 'mim',
  about: 'momentum iterative method: steps, stepSize, decay, norm',
  options: v.strictObject({
    steps: v.optional(whole(1), 10),
    /** Step length as a share of eps; null is 1 / steps. */
    stepSize: v.optional(v.nullable(real(0, 2)), null),
    /** Weight of the sum so far at each step. */
    decay: v.optional(real(0), 1),
    norm: v.optional(choice(TWO_NORMS), 'linf'),
  }),
  describe: (o, eps) =>
    `MIM, ${o.steps} steps, decay ${o.decay}, ${NORM_NAMES[o.norm]}, eps ${eps}`,
  norm: (o) => o.norm,
  passes: (o) => 3 * (o.steps + 1),
  search: (subject, o) => iterate(subject, { ...o, stepSize: o.stepSize ?? 1 / o.steps }),
});
