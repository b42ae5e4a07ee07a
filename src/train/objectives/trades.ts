/**
 * TRADES (Zhang et al. 2019, arXiv 1901.08573): cross entropy of clean images + beta * the divergence
 * of Kullback and Leibler from the prediction there to that at an attacked point, which climbs the same
 * divergence from x + 0.001 N(0, 1). What HYDRA calls adversarial training.
 *
 * Deviation: at the attacked point batch norm and dropout are those of the clean images. Cost: six forward
 * passes' worth, and three a step of the attack.
 */
import * as v from 'valibot';
import { project } from '../../attack/ascent';
import { logits } from '../../domain/classifier';
import { propagate } from '../../domain/domain';
import { value } from '../../domain/value';
import { choice, eps, real, whole } from '../../options';
import { add, lincomb, mean, sum } from '../../tensor/ops/core';
import { argmax, softmax } from '../../tensor/ops/loss';
import { normal } from '../../tensor/ops/random';
import { step, type Tensor } from '../../tensor/tensor';
import { climb, drawKey, robustToPgd, trainingRadius } from '../adversary';
import { type LossContext, objective } from '../objective';
import { divergence, labelLoss, softCrossEntropy } from '../targets';

const options = v.strictObject({
  eps: v.optional(eps(), 0.1),
  /** Weight of the divergence. */
  beta: v.optional(real(0), 6),
  steps: v.optional(whole(1), 10),
  /** Step length as a share of eps. */
  stepSize: v.optional(real(0, 2), 0.25),
  norm: v.optional(choice(['linf', 'l2']), 'linf'),
  /** Training radius over eps, and the share of pre-training over which it grows from zero. */
  factor: v.optional(real(0.1, 4), 1),
  rampShare: v.optional(real(0, 1), 0),
});
type Options = v.InferOutput<typeof options>;

/** Standard deviation of the noise that attacks begin with. */
const START = 1e-3;

export const trades = objective({
  name: 'trades',
  about: 'TRADES, cross entropy and divergence under attack: eps, beta, steps, stepSize, norm',
  options,
  init: 'kaiming',
  softLabels: true,
  loss(context, o) {
    const { model, x, pass } = context;
    const radius = trainingRadius(context, o);
    const clean = propagate(model.graph, model.params, value, x, { pass });
    const natural = labelLoss(context, clean);
    if (radius === 0) return { loss: natural, metrics: { eps: 0 } };
    const at = farthest(context, radius, o);
    const attacked = propagate(model.graph, model.params, value, at, { pass });
    const apart = mean(divergence(clean, attacked, argmax(clean)));
    const metrics = { eps: radius, divergence: apart };
    return { loss: lincomb(1, natural, o.beta, apart), metrics };
  },
  robust: (batch, o) => robustToPgd(batch, o.eps, o.norm),
  atFullDifficulty: (epoch, epochs, o) => epoch >= o.rampShare * epochs,
});

/** Where the prediction is farthest from the one at the clean images, by the model in inference mode. */
function farthest(context: LossContext, radius: number, o: Options): Tensor {
  const { model, x, pass } = context;
  const { engine } = model;
  return step(engine, () => {
    const clean = logits(model, x, pass);
    const [target, around] = [softmax(clean), argmax(clean)];
    const ball = { x, eps: radius, norm: o.norm };
    const noise = normal(engine, x.shape, drawKey(context), 0, START);
    const way = { steps: o.steps, length: radius * o.stepSize };
    return climb(ball, project(ball, add(x, noise)), way, (at) =>
      sum(softCrossEntropy(logits(model, at, pass), target, around)),
    );
  });
}
