/**
 * Certified training with interval bounds (Gowal et al. 2018): kappa * cross entropy of the clean
 * logits + (1 - kappa) * cross entropy of the worst logits the bounds allow, the radius growing from
 * zero. Initialisation and the two warm-up regularisers are those of Shi et al. 2021 (section 3):
 * tightness keeps the bounds of hidden layers from growing beyond the input's, balance keeps ReLU
 * neurons from being all active or all inactive; both fade as the radius reaches its end.
 *
 * Cost: nine forward passes' worth a batch (a value and an interval pass, forward and back).
 */
import * as v from 'valibot';
import { propagate } from '../../domain/domain';
import { type Box, ball } from '../../domain/interval';
import { intervalMargins } from '../../domain/rows';
import { value } from '../../domain/value';
import type { GraphNode } from '../../nn/graph';
import { eps, real } from '../../options';
import { leastMargins } from '../../plan/margins';
import {
  add,
  affine,
  div,
  greater,
  lincomb,
  mean,
  minimum,
  mul,
  sub,
  sum,
} from '../../tensor/ops/core';
import { relu, square } from '../../tensor/ops/elementwise';
import { crossEntropy } from '../../tensor/ops/loss';
import { filled, type Tensor } from '../../tensor/tensor';
import { objective } from '../objective';
import { rampTo } from '../schedules';

export const ibp = objective({
  name: 'ibp',
  about: 'interval bound propagation: eps, factor, kappa, rampStart, rampEnd, regularise',
  options: v.strictObject({
    eps: v.optional(eps(), 0.1),
    /** Training radius over eps. */
    factor: v.optional(real(0.1, 4), 1),
    /** Weight of the clean loss at the end; it begins at 1. */
    kappa: v.optional(real(0, 1), 0.5),
    /** Shares of pre-training between which the radius grows from 0 and kappa falls. */
    rampStart: v.optional(real(0, 1), 0.05),
    rampEnd: v.optional(real(0, 1), 0.5),
    /** Weight of the warm-up regularisers at radius 0. */
    regularise: v.optional(real(0), 0.5),
    /** Their target ratio tau. */
    tau: v.optional(real(0, 1), 0.5),
  }),
  init: 'interval',
  loss({ model, x, labels, epoch, epochs, ramp, pass }, o) {
    const { graph, params } = model;
    const full = o.eps * o.factor;
    const [start, end] = [o.rampStart * epochs, o.rampEnd * epochs];
    const radius = ramp ? rampTo(full, epoch, start, end) : full;
    const kappa = 1 - (1 - o.kappa) * (radius / full);
    const clean = mean(crossEntropy(propagate(graph, params, value, x, { pass }), labels));
    if (radius === 0) return { loss: clean, metrics: { eps: 0, kappa: 1 } };
    const boxes: Box[] = [];
    const observe = (node: GraphNode, box: Box): void => {
      if (node.layer.role === 'pointwise') boxes.push(box);
    };
    const box = ball(x, radius, { sound: false });
    const weight = o.regularise * (1 - radius / full);
    const watch = weight > 0 ? { pass, observe } : { pass };
    const margins = intervalMargins(graph, params, box, labels, { sound: false, ...watch });
    const worst = mean(crossEntropy(affine(margins, -1, 0), labels));
    let loss = lincomb(kappa, clean, 1 - kappa, worst);
    if (weight > 0 && boxes.length > 0)
      loss = lincomb(1, loss, weight, regulariser(box, boxes, o.tau));
    return { loss, metrics: { eps: radius, kappa } };
  },
  robust({ model, images, labels }, o) {
    const least = leastMargins(model, images, labels, o.eps, { sound: true });
    return Uint8Array.from(least, (margin) => (margin > 0 ? 1 : 0));
  },
  atFullDifficulty: (epoch, epochs, o) => epoch >= o.rampEnd * epochs,
});

/** (tightness + balance) / (tau m) over the m pre-activation boxes. */
function regulariser(first: Box, boxes: readonly Box[], tau: number): Tensor {
  const width = ({ lo, hi }: Box): Tensor => mean(sub(hi, lo));
  const short = (ratio: Tensor): Tensor => relu(affine(ratio, -1, tau));
  const inputWidth = width(first);
  const terms = boxes.flatMap((box) => [
    short(div(inputWidth, affine(width(box), 1, 1e-12))),
    ...balances(box).map(short),
  ]);
  const total = terms.reduce((a, b) => add(a, b));
  return affine(total, 1 / (tau * boxes.length), 0);
}

/**
 * How evenly the always active and always inactive neurons of a layer share the mean and the
 * variance of its centres: two ratios in [0, 1].
 */
function balances({ lo, hi }: Box): Tensor[] {
  const zero = filled(lo.engine, [1], 0);
  const centre = lincomb(0.5, lo, 0.5, hi);
  const [active, inactive] = [greater(lo, zero), greater(zero, hi)];
  const spread = square(sub(centre, mean(centre)));
  const shares: [Tensor, Tensor][] = [
    [sum(mul(centre, active)), affine(sum(mul(centre, inactive)), -1, 0)],
    [sum(mul(spread, active)), sum(mul(spread, inactive))],
  ];
  return shares.map(([a, b]) => minimum(ratio(a, b), ratio(b, a)));
}

function ratio(a: Tensor, b: Tensor): Tensor {
  return div(a, affine(b, 1, 1e-6));
}
