/** Cross entropy of clean images: accuracy and nothing else. */
import * as v from 'valibot';
import { wrongSamples } from '../../attack/attack';
import { propagate } from '../../domain/domain';
import { value } from '../../domain/value';
import { objective } from '../objective';
import { labelLoss } from '../targets';

export const benign = objective({
  name: 'benign',
  about: 'cross entropy of clean images',
  options: v.strictObject({}),
  init: 'kaiming',
  isCrossEntropy: true,
  softLabels: true,
  loss(context) {
    const { model, x, pass } = context;
    const z = propagate(model.graph, model.params, value, x, { pass });
    return { loss: labelLoss(context, z), metrics: {} };
  },
  robust: ({ model, images, labels }) =>
    wrongSamples(model, images, labels).map((wrong) => 1 - wrong),
  atFullDifficulty: () => true,
});
