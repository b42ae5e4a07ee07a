/**
 * Edge-popup (Ramanujan et al. 2020, "What's hidden in a randomly weighted neural network?", arXiv
 * 1911.13299): the weights of the untrained network rest, and scores drawn by lot are trained instead;
 * a layer uses the weights of the largest |score|. What was found is fine-tuned here.
 *
 * Cost: as many epochs as pre-training has, and a few passes over the weights a step.
 */
import * as v from 'valibot';
import { scoredData } from '../../src/nn/parameterisations/scored';
import { countKept } from '../../src/prune/mask';
import { selectMasks } from '../../src/prune/select';
import { strategy } from '../../src/prune/strategy';
import { STREAMS, uniform } from '../../src/tensor/philox';
import { input } from '../../src/tensor/tensor';

export const popup = strategy({
  name: 'popup',
  about: 'scores of untrained weights are trained, the smallest |score| go',
  options: v.strictObject({}),
  structured: false,
  phases: () => [
    {
      ...{ name: 'prune', trained: 'scores', hyperparameters: 'pretrain' },
      ...{ decides: 'initial', start: 'initial' },
    },
    { name: 'finetune', decides: null },
  ],
  decide(context) {
    const { model, seed, previous } = context;
    const scores = new Map<string, Float32Array>();
    const masks = selectMasks(context, 'layer', (weight, position) => {
      const drawn = Float32Array.from(uniform(seed, STREAMS.prune, position, weight.size));
      scores.set([...model.params.keys()][position]!, drawn);
      return input(weight.engine, drawn, weight.shape);
    });
    return new Map(
      Array.from(masks, ([name, mask]) => {
        const weights = model.params.get(name)!.read();
        return [name, scoredData(weights, scores.get(name)!, countKept(mask), previous?.get(name))];
      }),
    );
  },
});
