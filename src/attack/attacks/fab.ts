/** Fast adaptive boundary attack towards the nearest of all classes (Croce and Hein 2020), see ../fab.ts. */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { attack } from '../attack';
import { FAB_OPTIONS, fabTowards } from '../fab';
import { cleanLogits, rivalsOf } from '../search';

export const fab = attack({
  name: 'fab',
  about: 'fast adaptive boundary attack: steps, restarts, alphaMax, eta, beta, norm',
  options: v.strictObject(FAB_OPTIONS),
  describe: (o, eps) => `FAB, ${o.steps} steps, ${NORM_NAMES[o.norm]}, eps ${eps}`,
  norm: (o) => o.norm,
  passes: (o) => o.restarts * o.steps * 28,
  *search(subject, o) {
    return yield* fabTowards(subject, rivalsOf(subject, yield* cleanLogits(subject)), 'fab', o);
  },
});
