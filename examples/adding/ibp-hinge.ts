/**
 * The hinge of interval bounds: how much each proven margin z_y - z_j falls short of `margin`, summed over the
 * other classes. Unlike cross entropy it is at rest where all is proven.
 *
 * Cost: a value and an interval pass, forward and back.
 */
import * as v from 'valibot';
import { propagate } from '../../src/domain/domain';
import { ball } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { value } from '../../src/domain/value';
import { eps, real } from '../../src/options';
import { leastMargins } from '../../src/plan/margins';
import { affine, lincomb, mean, sum } from '../../src/tensor/ops/core';
import { relu } from '../../src/tensor/ops/elementwise';
import { crossEntropy } from '../../src/tensor/ops/loss';
import { objective } from '../../src/train/objective';
import { rampTo } from '../../src/train/schedules';

export const ibpHinge = objective({
  name: 'ibp-hinge',
  about: 'hinge of proven margins: eps, margin, kappa, rampEnd',
  options: v.strictObject({
    eps: v.optional(eps(), 0.1),
    /** The margin to prove. */
    margin: v.optional(real(0), 1),
    /** Weight of the cross entropy of clean images. */
    kappa: v.optional(real(0, 1), 0.5),
    /** Share of pre-training over which the radius grows from 0. */
    rampEnd: v.optional(real(0, 1), 0.5),
  }),
  init: 'interval',
  loss({ model, x, labels, epoch, epochs, ramp, pass }, o) {
    const { graph, params } = model;
    const radius = ramp ? rampTo(o.eps, epoch, 0, o.rampEnd * epochs) : o.eps;
    // The value pass comes first: it sets what batch norm uses in both.
    const clean = mean(crossEntropy(propagate(graph, params, value, x, { pass }), labels));
    const box = ball(x, radius, { sound: false });
    const margins = intervalMargins(graph, params, box, labels, { sound: false, pass });
    // The label's own margin is 0, always.
    const short = affine(sum(relu(affine(margins, -1, o.margin))), 1 / labels.length, -o.margin);
    const loss = lincomb(o.kappa, clean, 1 - o.kappa, short);
    return { loss, metrics: { eps: radius } };
  },
  robust({ model, images, labels }, o) {
    const least = leastMargins(model, images, labels, o.eps, { sound: true });
    return Uint8Array.from(least, (margin) => (margin > 0 ? 1 : 0));
  },
  atFullDifficulty: (epoch, epochs, o) => epoch >= o.rampEnd * epochs,
});
