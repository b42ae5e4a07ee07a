/**
 * Movement pruning (Sanh et al. 2020, "Movement pruning: Adaptive sparsity by fine-tuning", arXiv
 * 2005.07683): the trained network goes on training with scores beside its weights, which add up -g w, so
 * weights stay that move away from 0; as the number kept falls along the cubic schedule, those of the
 * smallest scores are left out of the network, though scores can bring them back until the phase ends.
 *
 * Deviations: scores and weights share one optimiser and rate: scores begin at 0, and only their order
 * matters; fine-tuning of what is left follows. Cost: `epochs` of dense training and a few passes over the
 * weights a step.
 */
import * as v from 'valibot';
import type { ParameterData } from '../../nn/parameterisation';
import { takeKept } from '../../nn/parameterisation';
import { choice, real, whole } from '../../options';
import { SCOPES } from '../allocate';
import { choose, ownMasks, prunableData, sparsityNow, spreadTensor } from '../between-batches';
import { countKept } from '../mask';
import { prunableParts } from '../select';
import { strategy } from '../strategy';

export const movement = strategy({
  name: 'movement',
  about: 'weights that move towards 0 in training go: scope, epochs, every, end',
  options: v.strictObject({
    scope: v.optional(choice(SCOPES), 'global'),
    /** That prune; null is as many as fine-tuning has. */
    epochs: v.optional(v.nullable(whole(0)), null),
    /** Updates between two steps of the schedule, and the share of the phase after which it is done. */
    every: v.optional(whole(1), 20),
    end: v.optional(real(0, 1), 0.75),
  }),
  structured: false,
  needs: ['training'],
  phases: ({ epochs, every }) => [
    {
      ...{ name: 'prune', decides: 'best', trained: 'both', every },
      ...(epochs !== null && { training: { epochs } }),
    },
    { name: 'finetune', decides: null },
  ],
  decide: ({ model, previous }) =>
    new Map(
      prunableParts(model, previous).map(({ name, cap }): [string, ParameterData] => {
        const mask = previous?.get(name) ?? null;
        const weights = takeKept(model.params.get(name)!.read(), mask);
        const tensors = { weights, scores: new Float32Array(weights.length) };
        return [name, { kind: 'scored', mask, settings: { kept: cap, signed: 1 }, tensors }];
      }),
    ),
  betweenBatches(context, { scope, end }) {
    const data = prunableData(context.model);
    const masks = ownMasks(data);
    const scores = new Map(
      Array.from(data, ([name, own]) => [name, spreadTensor(own, 'scores')] as const),
    );
    const chosen = choose(context, sparsityNow(context, end, masks), scope, scores, masks);
    return new Map(
      Array.from(data, ([name, own]) => {
        const kept = countKept(chosen.get(name)!);
        return [name, { ...own, settings: { ...own.settings, kept } }];
      }),
    );
  },
});
