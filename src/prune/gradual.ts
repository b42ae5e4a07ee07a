/**
 * Gradual pruning within one phase of training (Zhu and Gupta 2017, arXiv 1710.01878): every so many
 * updates sparsity rises along the cubic schedule, and the strategy decides anew by the weights of then.
 */
import * as v from 'valibot';
import { freeModel } from '../nn/model';
import { remasked } from '../nn/parameterised';
import { denseModel, type ParameterMap } from '../nn/training-model';
import { real, whole } from '../options';
import { ownMasks, prunableData, sparsityNow } from './between-batches';
import { countMasked } from './mask';
import type { BetweenBatchesContext, Decision, PruneContext } from './strategy';

/** Updates between two steps of a gradual phase, and the share of the phase after which it is done. */
export const GRADUAL = v.strictObject({
  every: v.optional(whole(1), 20),
  end: v.optional(real(0, 1), 0.75),
});
export type Gradual = v.InferOutput<typeof GRADUAL>;

/** Prunes on, by what `decide` says of the weights now, where the schedule asks for more zeros than there are. */
export async function pruneOn(
  context: BetweenBatchesContext,
  { end }: Gradual,
  decide: (context: PruneContext) => Promise<Decision>,
): Promise<ParameterMap | undefined> {
  const { seed, oracle } = context;
  const data = prunableData(context.model);
  const previous = ownMasks(data);
  const { zeros, total } = countMasked(context.model.graph, previous);
  const sparsity = sparsityNow(context, end, previous);
  if (Math.round(sparsity * total) <= zeros) return undefined;
  const model = denseModel(context.model);
  try {
    const decision = await decide({ model, sparsity, seed, oracle, previous });
    return new Map(
      Array.from(decision, ([name, own]) => [
        name,
        own instanceof Uint8Array ? remasked(data.get(name)!, own) : own,
      ]),
    );
  } finally {
    freeModel(model);
  }
}
