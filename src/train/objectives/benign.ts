/** Cross entropy of clean images: accuracy and nothing else. */
import * as v from 'valibot';
import { wrongSamples } from '../../attack/attack';
import { propagate } from '../../domain/domain';
import { value } from '../../domain/value';
import { mean } from '../../tensor/ops/core';
import { crossEntropy } from '../../tensor/ops/loss';
import { objective } from '../objective';

export const benign = objective({
  name: 'benign',
  about: 'cross entropy of clean images',
  options: v.strictObject({}),
  init: 'kaiming',
  isCrossEntropy: true,
  loss({ model, x, labels, pass }) {
    const z = propagate(model.graph, model.params, value, x, { pass });
    return { loss: mean(crossEntropy(z, labels)), metrics: {} };
  },
  robust: ({ model, images, labels }) =>
    wrongSamples(model, images, labels).map((wrong) => 1 - wrong),
  atFullDifficulty: () => true,
});
