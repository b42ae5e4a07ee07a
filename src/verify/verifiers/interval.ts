/**
 * Interval bound propagation (Gowal et al. 2018) with outward rounding, of the box around a ball of
 * another norm. Cost: two products a layer, of W and of |W|.
 */
import * as v from 'valibot';
import { interpret, newPass } from '../../domain/domain';
import { ball, interval as domain, lastAffine, marginsFrom } from '../../domain/interval';
import { lastBox, leastMargins } from '../../plan/margins';
import { inParts } from '../memory';
import { type Verdict, verifier } from '../verifier';
import { ballText, shared, soundness } from './linear';

export const interval = verifier({
  about: 'interval bound propagation, sound in floating point: sound, norm',
  options: v.strictObject({ sound: shared.sound, norm: shared.norm }),
  norm: (o) => o.norm,
  describe: (o, eps) => `interval bounds, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  verify: (job, { sound }) =>
    inParts(job, ({ model, images, labels, eps }) =>
      Array.from(leastMargins(model, images, labels, eps, { sound }), (m) => verdictOf(m, sound)),
    ),
  bounds({ model, x, labels, eps }, { sound }) {
    const { graph, params } = model;
    const at = lastBox(model, ball(x, eps, { sound }), { sound });
    const last = lastAffine(graph);
    const out = last ? interpret(last, params, domain({ sound }), [at], newPass()) : at;
    return { ...out, margins: marginsFrom(graph, params, at, labels, sound) };
  },
});

function verdictOf(margin: number, sound: boolean): Verdict {
  if (margin > 0 && sound) return { verdict: 'certified', margin };
  const reason = margin > 0 ? 'the bounds are not sound' : 'interval bounds are too loose';
  return { verdict: 'unknown', margin, reason: Number.isNaN(margin) ? 'NaN bounds' : reason };
}
