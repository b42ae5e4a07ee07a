/** Fast adaptive boundary attack towards one class after the other (Croce and Hein 2020), see ../fab.ts. */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { whole } from '../../options';
import { attack } from '../attack';
import { FAB_OPTIONS, fabTowards } from '../fab';
import { cleanLogits, inOrder, rivalsOf } from '../search';

export const fabT = attack({
  name: 'fab-t',
  about:
    'targeted fast adaptive boundary attack: targets, steps, restarts, alphaMax, eta, beta, norm',
  options: v.strictObject({
    ...FAB_OPTIONS,
    /** The likeliest classes of the clean image, at most as many as there are. */
    targets: v.optional(whole(1), 9),
  }),
  describe: (o, eps) =>
    `FAB-T, ${o.targets} targets, ${o.steps} steps, ${NORM_NAMES[o.norm]}, eps ${eps}`,
  norm: (o) => o.norm,
  passes: (o) => 4 * o.targets * o.restarts * o.steps,
  *search(subject, o) {
    const targets = rivalsOf(subject, yield* cleanLogits(subject)).slice(0, o.targets);
    return yield* inOrder(targets.map((target) => fabTowards(subject, [target], 'fabT', o)));
  },
});
