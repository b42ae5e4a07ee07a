/**
 * Free adversarial training (Shafahi et al. 2019, arXiv 1904.12843): every batch is used `replays` times, and
 * each update moves the perturbation too, by the gradient at the images that the same backward pass gives.
 * The perturbation goes on to the next batch.
 *
 * Deviation: the first perturbation of a phase is drawn at random, where the paper begins with zeros. Cost: three forward
 * passes' worth an update; an epoch has `replays` times as many updates, so give it fewer epochs.
 */
import * as v from 'valibot';
import { project } from '../../attack/ascent';
import { propagate } from '../../domain/domain';
import { value } from '../../domain/value';
import { eps, real, whole } from '../../options';
import { add, affine, sub } from '../../tensor/ops/core';
import { sign } from '../../tensor/ops/elementwise';
import { uniform } from '../../tensor/ops/random';
import { input } from '../../tensor/tensor';
import { drawKey, robustToPgd } from '../adversary';
import { objective } from '../objective';
import { labelLoss } from '../targets';

export const free = objective({
  name: 'free',
  about: 'free adversarial training, replayed batches: eps, replays, stepSize, factor',
  options: v.strictObject({
    eps: v.optional(eps(), 0.1),
    /** Updates a batch. */
    replays: v.optional(whole(1), 8),
    /** How far the perturbation moves in an update, as a share of the training radius. */
    stepSize: v.optional(real(0, 2), 1),
    /** Training radius over eps. */
    factor: v.optional(real(0.1, 4), 1),
  }),
  init: 'kaiming',
  softLabels: true,
  replays: (o) => o.replays,
  start({ x, memory, ...context }, o) {
    const radius = o.eps * o.factor;
    const known = memory?.get('perturbation');
    const moved =
      known?.length === x.size
        ? input(x.engine, known, x.shape)
        : uniform(x.engine, x.shape, drawKey(context), -radius, radius);
    return project({ x, eps: radius, norm: 'linf' }, add(x, moved));
  },
  loss(context, o) {
    const { model, x, pass } = context;
    const z = propagate(model.graph, model.params, value, x, { pass });
    return { loss: labelLoss(context, z), metrics: { eps: o.eps * o.factor } };
  },
  next({ x, at, gradient }, o) {
    const radius = o.eps * o.factor;
    const ball = { x, eps: radius, norm: 'linf' } as const;
    const further = add(at, affine(sign(gradient), radius * o.stepSize, 0));
    return { perturbation: sub(project(ball, further), x) };
  },
  robust: (batch, o) => robustToPgd(batch, o.eps, 'linf'),
  atFullDifficulty: () => true,
});
