/**
 * Random pruning: the baseline any strategy has to beat (with `erk` a strong one: Liu et al. 2022,
 * "The unreasonable effectiveness of random pruning").
 *
 * Scores are uniform draws keyed by (seed, position of the parameter, index of the weight), so masks
 * repeat, and the masks of one seed are nested as sparsity rises.
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { reshape } from '../../tensor/ops/core';
import { uniform } from '../../tensor/ops/random';
import { STREAMS } from '../../tensor/philox';
import { SCOPES } from '../allocate';
import { selectMasks } from '../select';
import { strategy } from '../strategy';

export const random = strategy({
  name: 'random',
  about: 'weights drawn by lot go: scope (layer, global, erk)',
  options: v.strictObject({ scope: v.optional(choice(SCOPES), 'layer') }),
  structured: false,
  decide: (context, { scope }) =>
    selectMasks(context, scope, (weight, position) => {
      const key = { seed: context.seed, stream: STREAMS.prune, index: [position] };
      return reshape(uniform(weight.engine, [1, weight.size], key), weight.shape);
    }),
});
