/**
 * Adversarial training: cross entropy at the worst point an attack finds (Madry et al. 2018, PGD), or
 * after one long step from a random start (Wong et al. 2020, `steps: 1`). The attack sees the network
 * in inference mode; the loss sees it in training mode.
 *
 * One step can collapse: the network learns to mislead the step and no other attack is met any more (Wong et
 * al. 2020, section 5). Every epoch is judged by PGD of 10 steps on held-out images; where that falls by more
 * than `collapse` the best parameters come back. With `sharpness` in training this is adversarial weight
 * perturbation (Wu et al. 2020).
 *
 * Deviation: the radius grows over the first fifth of pre-training. Cost: three forward passes' worth, and
 * three a step of the attack.
 */
import * as v from 'valibot';
import { propagate } from '../../domain/domain';
import { value } from '../../domain/value';
import { choice, eps, real, whole } from '../../options';
import { attackedPoint, robustToPgd, trainingRadius } from '../adversary';
import { objective } from '../objective';
import { labelLoss } from '../targets';

export const adversarial = objective({
  name: 'adversarial',
  about:
    'cross entropy under attack: eps, steps (1 is FGSM from a random start), stepSize, norm, collapse',
  options: v.strictObject({
    eps: v.optional(eps(), 0.1),
    steps: v.optional(whole(1), 7),
    /** Step length as a share of eps; null is 1.25 for one step, else 2.5 / steps. */
    stepSize: v.optional(v.nullable(real(0, 2)), null),
    norm: v.optional(choice(['linf', 'l2']), 'linf'),
    /** Training radius over eps, and the share of pre-training over which it grows from zero. */
    factor: v.optional(real(0.1, 4), 1),
    rampShare: v.optional(real(0, 1), 0.2),
    /** With one step: how far PGD accuracy may fall before training is taken back; null is however far. */
    collapse: v.optional(v.nullable(real(0, 1)), 0.2),
  }),
  init: 'kaiming',
  softLabels: true,
  loss(context, o) {
    const { model, pass } = context;
    const radius = trainingRadius(context, o);
    const at = attackedPoint(context, { eps: radius, norm: o.norm }, o);
    const z = propagate(model.graph, model.params, value, at, { pass });
    return { loss: labelLoss(context, z), metrics: { eps: radius } };
  },
  robust: (batch, o) => robustToPgd(batch, o.eps, o.norm),
  atFullDifficulty: (epoch, epochs, o) => epoch >= o.rampShare * epochs,
  collapse: (o) => (o.steps === 1 ? o.collapse : null),
});
