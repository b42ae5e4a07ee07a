/**
 * DeepFool (Moosavi-Dezfooli, Fawzi and Frossard 2016): steps onto the nearest linearised boundary until the label
 * changes, overshot by a little. It looks for the nearest adversarial point whatever the radius.
 *
 * Deviation: a result outside of the ball is brought into it, and counts if it is misclassified there.
 */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { choice, real, whole } from '../../options';
import { attack } from '../attack';
import { intoBall, lengthOf, TWO_NORMS } from '../geometry';
import { logitDifference, slopeOf } from '../loss';
import { cleanLogits, foundAt, logitsAt, rivalsOf } from '../search';

export const deepfool = attack({
  name: 'deepfool',
  about: 'DeepFool, steps onto the nearest linearised boundary: steps, overshoot, classes, norm',
  options: v.strictObject({
    steps: v.optional(whole(1), 50),
    overshoot: v.optional(real(0), 0.02),
    /** The likeliest other classes, whose boundaries are looked at. */
    classes: v.optional(whole(1), 9),
    norm: v.optional(choice(TWO_NORMS), 'l2'),
  }),
  describe: (o, eps) =>
    `DeepFool, ${o.steps} steps, overshoot ${o.overshoot}, ${NORM_NAMES[o.norm]}, eps ${eps}`,
  norm: (o) => o.norm,
  passes: (o) => 3 * o.classes * o.steps,
  *search(subject, o) {
    const { image, label, eps } = subject;
    const rivals = rivalsOf(subject, yield* cleanLogits(subject)).slice(0, o.classes);
    const slopes = rivals.map((target) => slopeOf(logitDifference(label, target)));
    const delta = new Float64Array(image.length);
    for (let i = 0; i < o.steps; i++) {
      const at = image.map((x, p) => Math.min(1, Math.max(0, x + (1 + o.overshoot) * delta[p]!)));
      const answers = yield slopes.map((slope) => ({ image: at, slope }));
      if (foundAt(subject, at, answers[0]!.z).broken) break;
      let [nearest, least] = [-1, Number.POSITIVE_INFINITY];
      const gaps = answers.map(({ z }, c) => z[label]! - z[rivals[c]!]!);
      for (const [c, { gradient }] of answers.entries()) {
        const distance = gaps[c]! / lengthOf(o.norm === 'linf' ? 'l1' : 'l2', gradient);
        if (distance < least) [nearest, least] = [c, distance];
      }
      if (nearest < 0) break;
      const { gradient } = answers[nearest]!;
      const length = lengthOf('l2', gradient);
      // A little more than the distance, as it is 0 at a tie.
      const far = least + 1e-4 * eps;
      for (const [p, g] of gradient.entries())
        delta[p]! += o.norm === 'linf' ? far * Math.sign(g) : (far * g) / length;
    }
    const last = intoBall(
      { image, eps, norm: o.norm },
      delta.map((d) => (1 + o.overshoot) * d),
    );
    return foundAt(subject, last, yield* logitsAt(last));
  },
});
