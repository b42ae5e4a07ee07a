/**
 * HYDRA (Sehwag et al. 2020, "HYDRA: Pruning adversarially robust neural networks", arXiv 2002.10509): each
 * weight of the trained network gets a score, which the run's objective trains with the weights at rest;
 * a layer keeps the weights of the largest |score|, and those are fine-tuned.
 *
 * Scores begin as sqrt(6 / fan-in) w / max |w|, so the first choice is by magnitude. Norms are trained
 * along, biases rest. Deviation: `scope` lets layers keep different shares, those of magnitude pruning.
 * Cost: `epochs` of dense training and a few passes over the weights a step.
 */
import * as v from 'valibot';
import { paramSpecs } from '../../nn/graph';
import { scoredData } from '../../nn/parameterisations/scored';
import { choice, real, whole } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { SCOPES } from '../allocate';
import { countKept } from '../mask';
import { selectMasks } from '../select';
import { strategy } from '../strategy';

export const hydra = strategy({
  name: 'hydra',
  about: 'smallest trained |score| go: scope, epochs, optimizer, learningRate',
  options: v.strictObject({
    scope: v.optional(choice(SCOPES), 'layer'),
    /** That train the scores; null is as many as fine-tuning has. */
    epochs: v.optional(v.nullable(whole(0)), null),
    optimizer: v.optional(choice(['sgd', 'adam']), 'sgd'),
    /** Falls to 0 by a cosine. HYDRA: 0.1 by SGD, 1e-5 by Adam for certified training. */
    learningRate: v.optional(real(0), 0.1),
  }),
  structured: false,
  phases: ({ epochs, optimizer, learningRate }) => [
    {
      ...{ name: 'prune', decides: 'best', trained: 'scores' },
      training: {
        ...{ optimizer, learningRate, schedule: { name: 'cosine' } },
        ...(epochs !== null && { epochs }),
      },
    },
    { name: 'finetune', decides: null },
  ],
  decide(context, { scope }) {
    const { model, previous } = context;
    const specs = paramSpecs(model.graph);
    const masks = selectMasks(context, scope, (weight) => abs(weight));
    return new Map(
      Array.from(masks, ([name, mask]) => {
        const weights = model.params.get(name)!.read();
        const largest = weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
        const scale = Math.sqrt(6 / specs.get(name)!.fanIn) / (largest || 1);
        const scores = weights.map((w) => scale * w);
        return [name, scoredData(weights, scores, countKept(mask), previous?.get(name))];
      }),
    );
  },
});
