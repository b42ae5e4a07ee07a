/**
 * Dynamic network surgery (Guo, Yao and Chen 2016, arXiv 1608.04493): the trained network goes on training
 * with all of its weights, of which a mask lets the large ones through; the gradient reaches the others too,
 * so those that grow are spliced in again. The mask changes with probability (1 + gamma t)^-power at update
 * t. A weight leaves below 0.9 of a threshold and comes in above 1.1 of it.
 *
 * Deviations: the threshold is not a mean plus c deviations but what the count asks for, with |w| / 0.9 of a
 * weight that is in compared with |w| / 1.1 of one that is out; that count falls along a cubic schedule over
 * the first `rise` of the updates (0: at once); the mask may change after `every` of them, not each, and rests
 * after `end` of all. Cost: dense training, and some twenty passes over the weights at each change.
 */
import * as v from 'valibot';
import type { ParameterData } from '../../nn/parameterisation';
import { takeKept } from '../../nn/parameterisation';
import { choice, real, whole } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { STREAMS, uniform } from '../../tensor/philox';
import { SCOPES } from '../allocate';
import {
  choose,
  entriesOf,
  ownMasks,
  prunableData,
  sparsityNow,
  spreadTensor,
} from '../between-batches';
import { selectMasks } from '../select';
import { strategy } from '../strategy';

/** Of the threshold: below it weights leave, above it they come in. */
const [LEAVES, COMES] = [0.9, 1.1];

export const surgery = strategy({
  name: 'surgery',
  about:
    'small |w| are cut and spliced in again while training: scope, gamma, power, every, rise, end',
  options: v.strictObject({
    scope: v.optional(choice(SCOPES), 'global'),
    gamma: v.optional(real(0), 1e-4),
    power: v.optional(real(0), 1),
    /** Updates between two times that the mask may change. */
    every: v.optional(whole(1), 20),
    /** Shares of the phase after which all zeros are there, and after which the mask rests. */
    rise: v.optional(real(0, 1), 0.5),
    end: v.optional(real(0, 1), 0.75),
  }),
  structured: false,
  needs: ['training'],
  phases: ({ every }) => [{ name: 'finetune', decides: 'best', every }],
  decide(context, { scope }) {
    const { model, previous } = context;
    const masks = selectMasks(context, scope, (weight) => abs(weight));
    return new Map(
      Array.from(masks, ([name, kept]): [string, ParameterData] => {
        const mask = previous?.get(name) ?? null;
        const weights = takeKept(model.params.get(name)!.read(), mask);
        const through = takeKept(new Float32Array(kept), mask);
        return [name, { kind: 'spliced', mask, settings: {}, tensors: { weights, through } }];
      }),
    );
  },
  betweenBatches(context, { scope, gamma, power, every, rise, end }) {
    const { step, steps, seed } = context;
    const last = every * Math.floor((end * steps) / every);
    const [lot = 1] = uniform(seed, STREAMS.prune, 2 ** 32 + step, 1);
    const rests = step !== last && lot >= (1 + gamma * step) ** -power;
    if (step > last || rests) return undefined;
    const data = prunableData(context.model);
    const earlier = ownMasks(data);
    const sparsity = step === last ? context.sparsity : sparsityNow(context, rise, earlier);
    const scores = new Map(
      Array.from(data, ([name, own]) => {
        const isIn = spreadTensor(own, 'through');
        const sizes = spreadTensor(own, 'weights').map(Math.abs);
        return [name, sizes.map((w, i) => w / (isIn[i] === 1 ? LEAVES : COMES))] as const;
      }),
    );
    const masks = choose(context, sparsity, scope, scores, earlier);
    return new Map(
      Array.from(data, ([name, own]) => {
        const through = entriesOf(own, new Float32Array(masks.get(name)!));
        return [name, { ...own, tensors: { ...own.tensors, through } }];
      }),
    );
  },
});
