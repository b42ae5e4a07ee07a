/**
 * Certified training with linear bounds over interval bounds (CROWN-IBP, Zhang et al. 2020, arXiv 1906.06316):
 * kappa * cross entropy of the clean logits + (1 - kappa) * cross entropy of the worst logits, whose
 * margins are beta * (CROWN-IBP's) + (1 - beta) * (interval bounds'). While the radius grows from zero,
 * kappa falls from 1 and beta from 1 to their ends: the tight bound begins, the one that trains best
 * ends. With `beta` 0 the linear bounds are left out once the radius is full. With `fused` one row a sample, of
 * the loss, is bounded instead of a margin to every other class (Xu et al. 2020, arXiv 2002.12920).
 *
 * Cost: while beta is above 0, about 3 + classes forward passes' worth a batch, forward and back; fused, 4.
 */
import * as v from 'valibot';
import type { BoundedNetwork } from '../../bounds/linear';
import { linearMargins } from '../../bounds/margins';
import { ball } from '../../domain/interval';
import { marginsFrom } from '../../domain/rows';
import { real } from '../../options';
import { lincomb } from '../../tensor/ops/core';
import type { Tensor } from '../../tensor/tensor';
import { certified, certifiedOptions, type RobustContext } from '../certified/family';
import { boundedBatch, fusedLoss, hiddenOf, lastBoxOf } from '../certified/linear';
import { byIntervals, worstLoss } from '../certified/parts';

export const crownIbp = certified({
  name: 'crown-ibp',
  about:
    'linear over interval bounds (CROWN-IBP): eps, factor, kappa, beta, fused, rampStart, rampEnd',
  options: v.strictObject({
    ...certifiedOptions({ regularise: 0 }),
    /** Share of the linear bounds at the end; it begins at 1. */
    beta: v.optional(real(0, 1), 0),
    /** Whether the loss is bounded as a whole. */
    fused: v.optional(v.boolean(), false),
  }),
  robust(context, o) {
    const { x, labels, radius, share } = context;
    const left = 1 - share;
    const beta = o.beta + (1 - o.beta) * left;
    const metrics = { beta };
    if (beta === 0) {
      const { margins, hidden } = byIntervals(context, ball(x, radius, { sound: false }));
      return { loss: worstLoss(margins, labels), hidden, metrics };
    }
    const bounded = boundedBatch(context, { hidden: 'interval' });
    const loss = o.fused
      ? fusedLoss(bounded, labels, beta)
      : worstLoss(mixedMargins(bounded, context, beta), labels);
    return { loss, hidden: hiddenOf(bounded), metrics };
  },
});

/** Lower bounds of the margins, `beta` of them linear. */
function mixedMargins(bounded: BoundedNetwork, { labels }: RobustContext, beta: number): Tensor {
  const byLines = linearMargins(bounded, labels);
  if (beta === 1) return byLines;
  return lincomb(beta, byLines, 1 - beta, marginsFrom(bounded, lastBoxOf(bounded), labels, false));
}
