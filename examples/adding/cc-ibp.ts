/**
 * CC-IBP (De Palma et al. 2024, "Expressive losses for verified robustness via convex combinations",
 * arXiv 2305.13991): cross entropy of a convex combination of the margins at an attacked point and
 * the margins that interval bounds prove. alpha 0 is adversarial training, alpha 1 is IBP.
 *
 * Deviation: no warm-up regularisers. Cost: an attack of `steps` steps beside that of IBP.
 */
import * as v from 'valibot';
import { ascend, randomStart } from '../../src/attack/ascent';
import { propagate } from '../../src/domain/domain';
import { ball } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { value } from '../../src/domain/value';
import { eps, real, whole } from '../../src/options';
import { leastMargins } from '../../src/plan/margins';
import { affine, lincomb, mean, reshape, sub } from '../../src/tensor/ops/core';
import { crossEntropy } from '../../src/tensor/ops/loss';
import { takeRows } from '../../src/tensor/ops/shape';
import { STREAMS } from '../../src/tensor/philox';
import { step, type Tensor } from '../../src/tensor/tensor';
import { objective } from '../../src/train/objective';
import { rampTo } from '../../src/train/schedules';

export const ccIbp = objective({
  name: 'cc-ibp',
  about: 'convex combination of attacked and proven margins: eps, alpha, steps, rampEnd',
  options: v.strictObject({
    eps: v.optional(eps(), 0.1),
    /** Share of the proven margins. */
    alpha: v.optional(real(0, 1), 0.5),
    /** Of the attack. */
    steps: v.optional(whole(1), 1),
    /** Share of pre-training over which the radius grows from 0. */
    rampEnd: v.optional(real(0, 1), 0.5),
  }),
  init: 'interval',
  loss({ model, x, labels, index, seed, epoch, epochs, ramp, pass }, o) {
    const { engine, graph, params } = model;
    const radius = ramp ? rampTo(o.eps, epoch, 0, o.rampEnd * epochs) : o.eps;
    const around = { x, eps: radius, norm: 'linf' } as const;
    const key = { seed: seed + Math.floor(epoch), stream: STREAMS.attack, index };
    const length = radius * (o.steps === 1 ? 1.25 : 2.5 / o.steps);
    let at = randomStart(around, key);
    for (let i = 0; i < o.steps; i++)
      at = step(engine, () => ascend(model, around, at, labels, length).next);
    // The value pass comes first: it sets what batch norm uses in both.
    const attacked = marginsAt(propagate(graph, params, value, at, { pass }), labels);
    const box = ball(x, radius, { sound: false });
    const proven = intervalMargins(graph, params, box, labels, { sound: false, pass });
    const margins = lincomb(1 - o.alpha, attacked, o.alpha, proven);
    const loss = mean(crossEntropy(affine(margins, -1, 0), labels));
    return { loss, metrics: { eps: radius, alpha: o.alpha } };
  },
  robust({ model, images, labels }, o) {
    const least = leastMargins(model, images, labels, o.eps, { sound: true });
    return Uint8Array.from(least, (margin) => (margin > 0 ? 1 : 0));
  },
  atFullDifficulty: (epoch, epochs, o) => epoch >= o.rampEnd * epochs,
});

/** z_y - z_j by class j, of logits [n, k]. */
function marginsAt(z: Tensor, labels: ArrayLike<number>): Tensor {
  const [n, k] = z.shape as [number, number];
  const rows = Int32Array.from(labels, (label, i) => i * k + label);
  return sub(takeRows(reshape(z, [n * k, 1]), rows), z);
}
