/** Interval bound propagation (Gowal et al. 2018) with outward rounding; cost of three forwards. */
import * as v from 'valibot';
import { propagate } from '../../domain/domain';
import { ball, interval as domain, intervalMargins } from '../../domain/interval';
import { leastMargins } from '../../domain/margins';
import { inParts } from '../memory';
import { type Verdict, verifier } from '../verifier';

export const interval = verifier({
  about: 'interval bound propagation, sound in floating point',
  options: v.strictObject({
    /** Without outward rounding: for comparison with other tools, never a certificate. */
    sound: v.optional(v.boolean(), true),
  }),
  describe: (o, eps) =>
    `interval bounds, ${o.sound ? 'sound in float32' : 'NOT sound in floating point'}, eps ${eps}`,
  verify: (job, { sound }) =>
    inParts(job, ({ model, images, labels, eps }) =>
      Array.from(leastMargins(model, images, labels, eps, { sound }), (m) => verdictOf(m, sound)),
    ),
  bounds({ model: { graph, params }, x, labels, eps }, { sound }) {
    const box = ball(x, eps, { sound });
    const margins = intervalMargins(graph, params, box, labels, { sound });
    return { ...propagate(graph, params, domain({ sound }), box), margins };
  },
});

function verdictOf(margin: number, sound: boolean): Verdict {
  if (margin > 0 && sound) return { verdict: 'certified', margin };
  const reason = margin > 0 ? 'the bounds are not sound' : 'interval bounds are too loose';
  return { verdict: 'unknown', margin, reason: Number.isNaN(margin) ? 'NaN bounds' : reason };
}
