/**
 * Interval bound propagation (Gowal et al. 2018) with outward rounding, of the box around a ball of
 * another norm. Cost: two products a layer, of W and of |W|.
 */
import * as v from 'valibot';
import { interpret, newPass } from '../../domain/domain';
import { ball, interval as domain, lastAffine, marginsFrom } from '../../domain/interval';
import { workOf } from '../../nn/graph';
import { lastBox, leastMargins } from '../../plan/margins';
import type { Parts } from '../../tensor/parts';
import { verdictOf } from '../linear';
import { inHalves, part } from '../memory';
import { type Verdict, type VerifyJob, verifier } from '../verifier';
import { ballText, shared, soundness } from './linear';

export const interval = verifier({
  name: 'interval',
  about: 'interval bound propagation, sound in floating point: sound, norm',
  options: v.strictObject({ sound: shared.sound, norm: shared.norm }),
  norm: (o) => o.norm,
  describe: (o, eps) => `interval bounds, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  *parts(job, { sound }) {
    const verdicts: Verdict[] = [];
    const size = Math.max(1, Math.floor(WORK / workOf(job.model.graph)));
    for (let from = 0; from < job.labels.length; from += size) {
      const batch = part(job, from, Math.min(from + size, job.labels.length));
      verdicts.push(...(yield* inHalves(batch, (one) => margins(one, sound))));
      yield;
    }
    return verdicts;
  },
  bounds({ model, x, labels, eps }, { sound }) {
    const { graph, params } = model;
    const at = lastBox(model, ball(x, eps, { sound }), { sound });
    const last = lastAffine(graph);
    const out = last ? interpret(last, params, domain({ sound }), [at], newPass()) : at;
    return { ...out, margins: marginsFrom(graph, params, at, labels, sound) };
  },
});

/** Multiply-adds of a batch of samples, so that it takes about a second at most. */
const WORK = 2 ** 28;

function* margins({ model, images, labels, eps }: VerifyJob, sound: boolean): Parts<Verdict[]> {
  const least = leastMargins(model, images, labels, eps, { sound });
  const reason = 'interval bounds are too loose';
  return Array.from(least, (margin) => verdictOf(margin, { sound, reason }));
}
