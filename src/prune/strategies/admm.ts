/**
 * Pruning by the alternating direction method of multipliers (Zhang et al. 2018, arXiv 1804.03294; Ye et al.
 * 2019, arXiv 1903.12561, with adversarial training): the trained network W goes on training under the pull
 * rho / 2 |W - Z + U|^2 towards Z, which has the zeros that are wanted; every so many updates Z becomes the
 * nearest to W + U that has them, and U grows by W - Z. Then the smallest |w| go, and fine-tuning follows.
 *
 * Deviation: the pull is a proximal step after each update, W <- (W + r (Z - U)) / (1 + r) with r the
 * learning rate times rho, so that adaptive optimisers do not change it. Cost: `epochs` of dense training,
 * two copies of the weights, and a pass over them in JavaScript a step.
 */
import * as v from 'valibot';
import { choice, real, whole } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { SCOPES, type Scope } from '../allocate';
import { choose, entriesOf, ownMasks, prunableData, spreadTensor } from '../between-batches';
import { selectMasks } from '../select';
import { type BetweenBatchesContext, strategy } from '../strategy';

export const admm = strategy({
  name: 'admm',
  about: 'training pulls weights towards zeros, the smallest |w| go: scope, epochs, rho, every',
  options: v.strictObject({
    scope: v.optional(choice(SCOPES), 'global'),
    /** That pull; null is as many as fine-tuning has. */
    epochs: v.optional(v.nullable(whole(0)), null),
    rho: v.optional(real(0), 10),
    /** Updates between two of Z and U. */
    every: v.optional(whole(1), 50),
  }),
  structured: false,
  needs: ['training'],
  phases: ({ epochs }) => [
    { name: 'prune', every: 1, ...(epochs !== null && { training: { epochs } }) },
    { name: 'finetune', decides: 'last', start: 'last' },
  ],
  decide: (context, { scope }) => selectMasks(context, scope, (weight) => abs(weight)),
  betweenBatches(context, { scope, rho, every }) {
    const { model, step, learningRate, state } = context;
    if ((step - 1) % every === 0) project(context, scope);
    const pull = learningRate * rho;
    for (const [name, data] of prunableData(model)) {
      const [z, u] = ['z', 'u'].map((kind) => state.get(`${kind}/${name}`)!);
      const target = entriesOf(
        data,
        z!.map((x, i) => x - u![i]!),
      );
      const leaf = model.parameters.get(name)!.tensors.values!;
      leaf.write(data.tensors.values!.map((w, i) => (w + pull * target[i]!) / (1 + pull)));
    }
    return undefined;
  },
});

/** Z becomes the nearest to W + U that has the zeros, U grows by W - Z; at first U is 0. */
function project(context: BetweenBatchesContext, scope: Scope): void {
  const { model, sparsity, state } = context;
  const data = prunableData(model);
  const weights = new Map(
    Array.from(data, ([name, own]) => [name, spreadTensor(own, 'values')] as const),
  );
  const sums = new Map(
    Array.from(weights, ([name, w]) => {
      const u = state.get(`u/${name}`);
      return [name, u ? w.map((x, i) => x + u[i]!) : w] as const;
    }),
  );
  const sizes = new Map(Array.from(sums, ([name, sum]) => [name, sum.map(Math.abs)] as const));
  const masks = choose(context, sparsity, scope, sizes, ownMasks(data));
  for (const [name, sum] of sums) {
    const mask = masks.get(name)!;
    const isFirst = !state.has(`u/${name}`);
    const z = sum.map((x, i) => (mask[i] === 1 ? x : 0));
    state.set(`z/${name}`, z);
    state.set(`u/${name}`, isFirst ? new Float32Array(z.length) : sum.map((x, i) => x - z[i]!));
  }
}
