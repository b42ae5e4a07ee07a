/**
 * Adversarial training with domain adaptation (ATDA, Song et al. 2019, arXiv 1810.00740): cross entropy of clean images
 * and of FGSM's + lambda * (unsupervised + supervised adaptation) of their logits. The first brings means and
 * covariances of the two together, in L1; the second pulls logits to the centre of their class and away from the others.
 * Centres follow the batches.
 *
 * Deviation: none known; the logits are the features. Cost: nine forward passes' worth.
 */
import * as v from 'valibot';
import { ascend } from '../../attack/ascent';
import { propagate } from '../../domain/domain';
import { value } from '../../domain/value';
import { eps, real } from '../../options';
import {
  add,
  affine,
  expand,
  lincomb,
  mean,
  mul,
  reshape,
  sub,
  sum,
  sumTo,
} from '../../tensor/ops/core';
import { abs, exp, log, relu } from '../../tensor/ops/elementwise';
import { matmul } from '../../tensor/ops/product';
import { concat, takeRows, transpose } from '../../tensor/ops/shape';
import { filled, input, step, type Tensor } from '../../tensor/tensor';
import { robustToPgd } from '../adversary';
import { objective } from '../objective';
import { labelLoss } from '../targets';

/** How far centres move to the mean of a batch. */
const CENTRE_RATE = 0.1;

export const domainAdaptation = objective({
  name: 'domain-adaptation',
  about: 'FGSM training with domain adaptation of logits (ATDA): eps, lambda, factor',
  options: v.strictObject({
    eps: v.optional(eps(), 0.1),
    /** Weight of the adaptation terms. */
    lambda: v.optional(real(0), 1 / 3),
    /** Training radius over eps. */
    factor: v.optional(real(0.1, 4), 1),
  }),
  init: 'kaiming',
  softLabels: true,
  loss(context, o) {
    const { model, x, labels, pass, memory } = context;
    const { engine, graph, params } = model;
    const radius = o.eps * o.factor;
    const ball = { x, eps: radius, norm: 'linf' } as const;
    const at = step(engine, () => ascend(model, ball, x, labels, radius, pass).next);
    const clean = propagate(graph, params, value, x, { pass });
    const attacked = propagate(graph, params, value, at, { pass });
    const k = clean.shape[1]!;
    const known = memory?.get('centres');
    const centres = known ? input(engine, known, [k, k]) : filled(engine, [k, k], 0);
    const both = concat([clean, attacked], 0);
    const twice = Int32Array.of(...labels, ...labels);
    const adaptation = add(unsupervised(clean, attacked), supervised(both, twice, centres));
    const natural = add(labelLoss(context, clean), labelLoss(context, attacked));
    return {
      loss: lincomb(1, natural, o.lambda, adaptation),
      metrics: { eps: radius, adaptation },
      memory: { centres: moved(centres, both, twice) },
    };
  },
  robust: (batch, o) => robustToPgd(batch, o.eps, 'linf'),
  atFullDifficulty: () => true,
});

/** ||Cov(a) - Cov(b)||_1 / k^2 + ||mean(a) - mean(b)||_1 / k of logits [n, k]. */
function unsupervised(a: Tensor, b: Tensor): Tensor {
  const [one, other] = [momentsOf(a), momentsOf(b)];
  const covariance = mean(abs(sub(one.covariance, other.covariance)));
  return add(covariance, mean(abs(sub(one.centre, other.centre))));
}

/** The mean [1, k] and the covariance [k, k] of the rows of [n, k]; 0 for a single row. */
function momentsOf(z: Tensor): { readonly centre: Tensor; readonly covariance: Tensor } {
  const [n, k] = z.shape as [number, number];
  const centre = affine(sumTo(z, [1, k]), 1 / n, 0);
  const away = sub(z, centre);
  const product = matmul(transpose(away, [1, 0]), away);
  return { centre, covariance: affine(product, 1 / Math.max(1, n - 1), 0) };
}

/** Mean over rows of sum over j != y of softplus(||z - c_y||_1 - ||z - c_j||_1) / (k - 1). */
function supervised(z: Tensor, labels: Int32Array, centres: Tensor): Tensor {
  const [n, k] = z.shape as [number, number];
  const apart = sub(expand(reshape(z, [n, 1, k]), [n, k, k]), reshape(centres, [1, k, k]));
  const distances = reshape(sumTo(abs(apart), [n, k, 1]), [n, k]);
  const rows = Int32Array.from(labels, (label, i) => i * k + label);
  const own = takeRows(reshape(distances, [n * k, 1]), rows);
  const others = new Float32Array(n * k).fill(1);
  for (const row of rows) others[row] = 0;
  const terms = mul(softplus(sub(own, distances)), input(z.engine, others, [n, k]));
  return affine(sum(terms), 1 / (n * Math.max(1, k - 1)), 0);
}

/** log(1 + e^x), which neither overflows nor loses small values of e^x. */
const softplus = (x: Tensor): Tensor => add(relu(x), log(affine(exp(affine(abs(x), -1, 0)), 1, 1)));

/** The centres after a batch: moved towards the rows of their class, as of centre loss (Wen et al. 2016). */
function moved(centres: Tensor, z: Tensor, labels: Int32Array): Tensor {
  const k = centres.shape[0]!;
  const [old, rows] = [centres.read(), z.read()];
  const counts = new Float64Array(k);
  const ways = new Float64Array(k * k);
  labels.forEach((label, i) => {
    counts[label]!++;
    for (let j = 0; j < k; j++) ways[label * k + j]! += old[label * k + j]! - rows[i * k + j]!;
  });
  const next = old.map(
    (c, at) => c - (CENTRE_RATE * ways[at]!) / (1 + counts[Math.floor(at / k)]!),
  );
  return input(centres.engine, next, centres.shape);
}
