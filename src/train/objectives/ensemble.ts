/**
 * Ensemble adversarial training (Tramer et al. 2018, arXiv 1705.07204): half clean cross entropy, half that at
 * adversaries by R+FGSM (half the radius by random signs, the other half up the gradient's), found on a
 * network drawn by lot for each batch: this one, or one of the given files, which stay as they are.
 *
 * Deviation: the network is drawn, where the paper takes turns. Cost: nine forward passes' worth with an
 * equally large source. A defence against transferred attacks; judge it by white-box ones.
 */
import * as v from 'valibot';
import { moveUp, project } from '../../attack/ascent';
import { logits } from '../../domain/classifier';
import { propagate } from '../../domain/domain';
import { value } from '../../domain/value';
import { expect } from '../../errors';
import { eps, real } from '../../options';
import { add, affine, lincomb, sum } from '../../tensor/ops/core';
import { sign } from '../../tensor/ops/elementwise';
import { crossEntropy } from '../../tensor/ops/loss';
import { normal } from '../../tensor/ops/random';
import { block, STREAMS } from '../../tensor/philox';
import { gradients } from '../../tensor/tape';
import { step, type Tensor } from '../../tensor/tensor';
import { drawKey, robustToPgd } from '../adversary';
import { type LossContext, objective } from '../objective';
import { labelLoss } from '../targets';

export const ensemble = objective({
  name: 'ensemble',
  about: 'ensemble adversarial training, R+FGSM on other networks: eps, files, factor',
  options: v.strictObject({
    eps: v.optional(eps(), 0.1),
    /** Model files of trained networks with the same input and classes. */
    files: v.optional(v.array(v.string()), []),
    /** Training radius over eps. */
    factor: v.optional(real(0.1, 4), 1),
  }),
  init: 'kaiming',
  softLabels: true,
  files: (o) => o.files,
  loss(context, o) {
    const { model, x, pass, others = [] } = context;
    const who = 'objective ensemble';
    expect(others.length === o.files.length, who, `${o.files.length} networks`, others.length);
    const { graph, params } = model;
    const clean = labelLoss(context, propagate(graph, params, value, x, { pass }));
    const at = adversaries(context, o.eps * o.factor);
    const attacked = labelLoss(context, propagate(graph, params, value, at, { pass }));
    return { loss: lincomb(0.5, clean, 0.5, attacked), metrics: { eps: o.eps * o.factor } };
  },
  robust: (batch, o) => robustToPgd(batch, o.eps, 'linf'),
  atFullDifficulty: () => true,
});

/** R+FGSM on the network that the lot falls on: a constant of the loss. */
function adversaries(context: LossContext, radius: number): Tensor {
  const { model, x, labels, index, pass, others = [] } = context;
  const key = drawKey(context);
  // One lot a batch, keyed by its first sample.
  const [word] = block(key.seed, STREAMS.attack, index[0] ?? 0, 1);
  const source = [model, ...others][word % (others.length + 1)]!;
  return step(x.engine, () => {
    const ball = { x, eps: radius, norm: 'linf' } as const;
    const signs = sign(normal(x.engine, x.shape, key));
    const start = project(ball, add(x, affine(signs, radius / 2, 0)));
    const { gradients: found } = gradients(x.engine, [start], () => ({
      loss: sum(crossEntropy(logits(source, start, pass), labels)),
    }));
    return moveUp(ball, start, found[0]!, radius / 2);
  });
}
