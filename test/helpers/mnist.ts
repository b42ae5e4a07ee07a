/** MNIST images for tests, and a network that a few steps of interval training have touched. */

import { mnist } from '../../src/data/mnist';
import { newPass, propagate } from '../../src/domain/domain';
import { ball } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { value } from '../../src/domain/value';
import { type Model, trainableNames } from '../../src/nn/model';
import { add, lincomb, mean, neg } from '../../src/tensor/ops/core';
import { crossEntropy } from '../../src/tensor/ops/loss';
import { gradients } from '../../src/tensor/tape';
import { assign, input, item, step } from '../../src/tensor/tensor';

export interface Images {
  /** [n, 1, 28, 28] in [0, 1]. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** The first `train` training and `test` test images. */
export async function loadMnist(
  train: number,
  test: number,
): Promise<{ train: Images; test: Images }> {
  const set = await mnist.load({});
  const size = set.shape.reduce((a, b) => a * b, 1);
  const take = (split: typeof set.train, n: number): Images => ({
    images: Float32Array.from(split.images.subarray(0, n * size), (v) => v / set.unit),
    labels: Int32Array.from(split.labels.subarray(0, n)),
  });
  return { train: take(set.train, train), test: take(set.test, test) };
}

/** One step of gradient descent on the natural plus the interval loss; returns the loss. */
export function trainingStep(
  model: Model,
  { images, labels }: Images,
  eps: number,
  rate: number,
): number {
  const { engine, graph, params } = model;
  const wanted = trainableNames(graph).map((name) => params.get(name)!);
  return step(engine, () => {
    const x = input(engine, images, [labels.length, ...graph.network.input]);
    const { result, gradients: g } = gradients(engine, wanted, () => {
      const pass = newPass({ key: { seed: 1, stream: 5 } });
      const z = propagate(graph, params, value, x, { pass });
      const box = ball(x, eps, { sound: false });
      const margins = intervalMargins(graph, params, box, labels, { sound: false, pass });
      return { loss: add(mean(crossEntropy(z, labels)), mean(crossEntropy(neg(margins), labels))) };
    });
    g.forEach((t, i) => void assign(wanted[i]!, lincomb(1, wanted[i]!, -rate, t)));
    return item(result.loss);
  });
}

/** Gradient descent over the images in batches of 100, one pass. */
export function trainBriefly(model: Model, { images, labels }: Images, eps: number): number[] {
  const size = images.length / labels.length;
  return Array.from({ length: Math.floor(labels.length / 100) }, (_, b) => {
    const batch = {
      images: images.subarray(100 * b * size, 100 * (b + 1) * size),
      labels: labels.subarray(100 * b, 100 * (b + 1)),
    };
    return trainingStep(model, batch, eps, 0.1);
  });
}
