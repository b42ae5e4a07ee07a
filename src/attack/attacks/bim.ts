/** Basic iterative method (Kurakin, Goodfellow and Bengio 2017): gradient signs from the clean image, without noise. */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { choice, real, whole } from '../../options';
import { attack } from '../attack';
import { TWO_NORMS } from '../geometry';
import { iterate } from '../iterate';

export const bim = attack({
  name: 'bim',
  about: 'basic iterative method: steps, stepSize, norm',
  options: v.strictObject({
    steps: v.optional(whole(1), 10),
    /** Step length as a share of eps; null is 1 / steps. */
    stepSize: v.optional(v.nullable(real(0, 2)), null),
    norm: v.optional(choice(TWO_NORMS), 'linf'),
  }),
  describe: (o, eps) => `BIM, ${o.steps} steps, ${NORM_NAMES[o.norm]}, eps ${eps}`,
  norm: (o) => o.norm,
  passes: (o) => 3 * (o.steps + 1),
  search: (subject, o) => iterate(subject, { ...o, stepSize: o.stepSize ?? 1 / o.steps, decay: 0 }),
});
