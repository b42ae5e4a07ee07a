/**
 * Gradual pruning within one phase of training (Zhu and Gupta 2017, arXiv 1710.01878): every so many
 * updates sparsity rises along the cubic schedule, and the strategy decides anew by the weights of then.
 */
import * as v from 'valibot';
import { freeModel } from '../nn/model';
import { remasked } from '../nn/parameterised';
import { denseModel, masksIn, type ParameterMap, snapshot } from '../nn/training-model';
import { real, whole } from '../options';
import { countMasked } from './mask';
import { risen } from './schedule';
import type { BetweenContext, Decision, PruneContext } from './strategy';

/** How a phase prunes gradually: updates between two steps, and the share of the phase after which it is done. */
export const GRADUAL = v.strictObject({
  every: v.optional(whole(1), 20),
  end: v.optional(real(0, 1), 0.75),
});
export type Gradual = v.InferOutput<typeof GRADUAL>;

/** The sparsity that a phase has come to, which began with `start`. */
export const sparsityNow = (
  { step, steps, sparsity }: BetweenContext,
  start: number,
  end: number,
) => risen('cubic', start, sparsity, end > 0 ? Math.min(1, step / (end * steps)) : 1);

/** Prunes on, by what `decide` says of the weights now, where the schedule asks for more zeros than there are. */
export async function pruneOn(
  context: BetweenContext,
  { end }: Gradual,
  decide: (context: PruneContext) => Promise<Decision>,
): Promise<ParameterMap | undefined> {
  const { seed, oracle, memory } = context;
  const data = snapshot(context.model);
  const model = denseModel(context.model);
  try {
    const previous = masksIn(data);
    const { zeros, total } = countMasked(model.graph, previous);
    if (!memory.has('start')) memory.set('start', Float32Array.of(zeros / total));
    const sparsity = sparsityNow(context, memory.get('start')![0]!, end);
    if (Math.round(sparsity * total) <= zeros) return undefined;
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
