/**
 * Training for randomised smoothing: cross entropy under Gaussian noise (Cohen et al. 2019, arXiv 1902.02918);
 * with `beta`, stability training (Li et al. 2019, arXiv 1809.03113): cross entropy of the clean images +
 * beta * the divergence from the prediction there to that under noise; with `steps`, SmoothAdv
 * (Salman et al. 2019, arXiv 1906.04584): the noise is added at a point in the L2 ball of `radius` where the
 * smoothed network, the mean softmax over the same noises, does worst.
 *
 * Deviation: under noise batch norm has the statistics of the noisy images, or, with `beta`, of the clean
 * ones. Cost: three forward passes' worth a noise, three more with `beta`, and three a step and noise.
 */
import * as v from 'valibot';
import { wrongSamples } from '../../attack/attack';
import { logits } from '../../domain/classifier';
import { propagate } from '../../domain/domain';
import { value } from '../../domain/value';
import { real, whole } from '../../options';
import { normalCdf } from '../../statistics';
import { add, affine, lincomb, mean, neg, reshape, sum } from '../../tensor/ops/core';
import { log } from '../../tensor/ops/elementwise';
import { argmax, softmax } from '../../tensor/ops/loss';
import { normal } from '../../tensor/ops/random';
import { takeRows } from '../../tensor/ops/shape';
import { STREAMS } from '../../tensor/philox';
import { input, step, type Tensor } from '../../tensor/tensor';
import { climb, drawKey } from '../adversary';
import { type HeldOutBatch, type LossContext, objective } from '../objective';
import { divergence, labelLoss } from '../targets';

const options = v.strictObject({
  /** Standard deviation of the noise, in input space: the one to certify with. */
  sigma: v.optional(real(1e-6), 0.25),
  /** L2 radius that picks checkpoints, and that SmoothAdv attacks within. */
  radius: v.optional(real(0), 0.25),
  /** Noises an image. */
  noises: v.optional(whole(1), 1),
  /** Weight of the stability term; 0 trains on noisy images alone. */
  beta: v.optional(real(0), 0),
  /** Steps of SmoothAdv; 0 is no attack. */
  steps: v.optional(whole(), 0),
  /** Step length as a share of radius; null is 2 / steps. */
  stepSize: v.optional(v.nullable(real(0, 2)), null),
  /** Noises that a held-out image is judged by. */
  votes: v.optional(whole(1), 16),
});
type Options = v.InferOutput<typeof options>;

export const smoothing = objective({
  name: 'smoothing',
  about:
    'under Gaussian noise, for smooth: sigma, radius, noises, beta (stability), steps (SmoothAdv)',
  options,
  init: 'kaiming',
  softLabels: true,
  loss(context, o) {
    const { model, x, pass } = context;
    const noises = noisesOf(context, o);
    const clean = o.beta > 0 ? propagate(model.graph, model.params, value, x, { pass }) : undefined;
    const at = o.steps > 0 ? attacked(context, noises, o) : x;
    const seen = noises.map((noise) =>
      propagate(model.graph, model.params, value, add(at, noise), { pass }),
    );
    const metrics = { sigma: o.sigma };
    if (!clean) return { loss: average(seen.map((z) => labelLoss(context, z))), metrics };
    const around = argmax(clean);
    const apart = average(seen.map((z) => mean(divergence(clean, z, around))));
    return { loss: lincomb(1, labelLoss(context, clean), o.beta, apart), metrics };
  },
  robust: smoothedRight,
  atFullDifficulty: () => true,
});

const average = (terms: readonly Tensor[]): Tensor =>
  affine(
    terms.reduce((a, b) => add(a, b)),
    1 / terms.length,
    0,
  );

const noisesOf = (context: LossContext, o: Options): Tensor[] =>
  Array.from({ length: o.noises }, (_, i) =>
    normal(context.x.engine, context.x.shape, drawKey(context, 'noise', i), 0, o.sigma),
  );

/** Where the mean softmax over the noises gives the label least, in inference mode. */
function attacked(context: LossContext, noises: readonly Tensor[], o: Options): Tensor {
  const { model, x, labels, pass } = context;
  const ball = { x, eps: o.radius, norm: 'l2' } as const;
  const way = { steps: o.steps, length: o.radius * (o.stepSize ?? 2 / o.steps) };
  return climb(ball, x, way, (at) => {
    const p = average(noises.map((noise) => softmax(logits(model, add(at, noise), pass))));
    const [n, k] = p.shape as [number, number];
    const rows = Int32Array.from(labels, (label, i) => i * k + label);
    const own = takeRows(reshape(p, [n * k, 1]), rows);
    return neg(sum(log(affine(own, 1, 1e-12))));
  });
}

/**
 * 1 where the clean image is right and so large a share of `votes` noisy ones that the smoothed network would
 * be right within `radius`, were the share the probability: share >= Phi(radius / sigma).
 */
function smoothedRight(batch: HeldOutBatch, o: Options): Uint8Array {
  const { model, images, labels, index, seed } = batch;
  const { engine, graph } = model;
  const right = new Float64Array(labels.length);
  for (let vote = 1; vote <= o.votes; vote++) {
    // Streams of their own, so that no noise of training picks checkpoints.
    const key = { seed, stream: STREAMS.smoothing + 1000 * vote, index };
    const classes = step(engine, () => {
      const x = input(engine, images, [labels.length, ...graph.network.input]);
      return argmax(logits(model, add(x, normal(engine, x.shape, key, 0, o.sigma))));
    });
    classes.forEach((c, i) => {
      if (c === labels[i]) right[i]!++;
    });
  }
  const enough = o.votes * normalCdf(o.radius / o.sigma);
  return wrongSamples(model, images, labels).map((wrong, i) =>
    wrong === 0 && right[i]! >= enough ? 1 : 0,
  );
}
