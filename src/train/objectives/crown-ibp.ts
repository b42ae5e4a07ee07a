/**
 * Certified training with linear bounds over interval bounds (CROWN-IBP, Zhang et al. 2020):
 * kappa * cross entropy of the clean logits + (1 - kappa) * cross entropy of the worst logits, whose
 * margins are beta * (CROWN-IBP's) + (1 - beta) * (interval bounds'). While the radius grows from zero,
 * kappa falls from 1 and beta from 1 to their ends: the tight bound begins, the one that trains best
 * ends. With `beta` 0 the linear bounds are left out once the radius is full.
 *
 * Cost: while beta is above 0, about 3 + classes forward passes' worth a batch, forward and back.
 */
import * as v from 'valibot';
import { hiddenBounds } from '../../bounds/linear';
import { linearMargins } from '../../bounds/margins';
import { inputSet } from '../../domain/balls';
import { propagate } from '../../domain/domain';
import { intervalMargins } from '../../domain/rows';
import { value } from '../../domain/value';
import { eps, real } from '../../options';
import { leastMargins } from '../../plan/margins';
import { affine, lincomb, mean } from '../../tensor/ops/core';
import { crossEntropy } from '../../tensor/ops/loss';
import type { Tensor } from '../../tensor/tensor';
import { type LossContext, objective } from '../objective';
import { rampTo } from '../schedules';

export const crownIbp = objective({
  name: 'crown-ibp',
  about: 'linear over interval bounds (CROWN-IBP): eps, factor, kappa, beta, rampStart, rampEnd',
  options: v.strictObject({
    eps: v.optional(eps(), 0.1),
    /** Training radius over eps. */
    factor: v.optional(real(0.1, 4), 1),
    /** Weight of the clean loss at the end; it begins at 1. */
    kappa: v.optional(real(0, 1), 0),
    /** Share of the linear bounds at the end; it begins at 1. */
    beta: v.optional(real(0, 1), 0),
    /** Shares of pre-training between which the radius grows from 0, and kappa and beta fall. */
    rampStart: v.optional(real(0, 1), 0.05),
    rampEnd: v.optional(real(0, 1), 0.5),
  }),
  init: 'interval',
  loss(context, o) {
    const { model, x, labels, epoch, epochs, ramp, pass } = context;
    const full = o.eps * o.factor;
    const radius = ramp ? rampTo(full, epoch, o.rampStart * epochs, o.rampEnd * epochs) : full;
    const left = 1 - radius / full;
    const [kappa, beta] = [o.kappa, o.beta].map((end) => end + (1 - end) * left) as [
      number,
      number,
    ];
    const z = propagate(model.graph, model.params, value, x, { pass });
    const clean = mean(crossEntropy(z, labels));
    if (radius === 0) return { loss: clean, metrics: { eps: 0, kappa, beta } };
    const margins = marginsOf(context, radius, beta);
    const worst = mean(crossEntropy(affine(margins, -1, 0), labels));
    const loss = kappa === 0 ? worst : lincomb(kappa, clean, 1 - kappa, worst);
    return { loss, metrics: { eps: radius, kappa, beta } };
  },
  robust({ model, images, labels }, o) {
    const least = leastMargins(model, images, labels, o.eps, { sound: true });
    return Uint8Array.from(least, (margin) => (margin > 0 ? 1 : 0));
  },
  atFullDifficulty: (epoch, epochs, o) => epoch >= o.rampEnd * epochs,
});

/** Lower bounds of the margins, `beta` of them linear. */
function marginsOf({ model, x, labels, pass }: LossContext, radius: number, beta: number): Tensor {
  const { graph, params } = model;
  const set = inputSet(x, radius, { sound: false });
  const byIntervals = intervalMargins(graph, params, set.box, labels, { sound: false, pass });
  if (beta === 0) return byIntervals;
  const options = { sound: false, hidden: 'interval', chunk: null, pass } as const;
  const byLines = linearMargins(hiddenBounds(model, set, options), labels);
  return beta === 1 ? byLines : lincomb(beta, byLines, 1 - beta, byIntervals);
}
