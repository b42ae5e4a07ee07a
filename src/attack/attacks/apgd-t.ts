/** Auto-PGD on the targeted difference of logits ratio, a target after the other (Croce and Hein 2020), see ../apgd.ts. */
import * as v from 'valibot';
import { whole } from '../../options';
import { APGD_OPTIONS, apgdText, fromStarts } from '../apgd';
import { attack } from '../attack';
import { FEW_CLASSES_TARGETED, targetedDlr } from '../loss';
import { cleanLogits, inOrder, rivalsOf } from '../search';

export const apgdT = attack({
  name: 'apgd-t',
  about: 'Auto-PGD on the targeted difference of logits ratio: targets, steps, restarts, rho, norm',
  options: v.strictObject({
    ...APGD_OPTIONS,
    /** The likeliest classes of the clean image, at most as many as there are. */
    targets: v.optional(whole(1), 9),
  }),
  describe: (o, eps) =>
    `${apgdText(`APGD-T, ${o.targets} targets`, o, eps)} (${FEW_CLASSES_TARGETED})`,
  norm: (o) => o.norm,
  passes: (o) => 3 * o.targets * o.restarts * (o.steps + 1),
  *search(subject, o) {
    const targets = rivalsOf(subject, yield* cleanLogits(subject)).slice(0, o.targets);
    return yield* inOrder(
      targets.map((target) =>
        fromStarts(subject, 'apgdT', targetedDlr(subject.label, target), o, target),
      ),
    );
  },
});
