/** What strategies that act between two batches have in common: parameters as data, and choices among them. */
import { freeModel, prunableNames } from '../nn/model';
import { type Mask, type ParameterData, spreadKept, takeKept } from '../nn/parameterisation';
import { dataOf } from '../nn/parameterised';
import { denseModel, type TrainingModel } from '../nn/training-model';
import type { Scope } from './allocate';
import { countMasked } from './mask';
import { sparsityAt } from './schedule';
import { scoresFrom, selectMasks } from './select';
import type { BetweenBatchesContext, Masks } from './strategy';

/** The prunable parameters of a model as data. */
export const prunableData = ({ graph, parameters }: TrainingModel): Map<string, ParameterData> =>
  new Map(prunableNames(graph).map((name) => [name, dataOf(parameters.get(name)!)]));

/** The masks that parameterisations have of their own, whatever they let through. */
export const ownMasks = (data: ReadonlyMap<string, ParameterData>): Masks =>
  new Map(
    Array.from(data, ([name, { mask }]) => [name, mask] as const).filter(
      (entry): entry is [string, Mask] => entry[1] !== null,
    ),
  );

/** One of a parameter's tensors shaped like the weight, 0 where the mask is. */
export const spreadTensor = ({ mask, tensors }: ParameterData, local: string): Float32Array =>
  mask ? spreadKept(tensors[local]!, mask) : tensors[local]!;

/** The entries of an array shaped like the weight that a parameter's mask keeps. */
export const entriesOf = ({ mask }: ParameterData, values: Float32Array): Float32Array =>
  takeKept(values, mask);

/** Masks of the largest scores, as `selectMasks` makes them, among the entries that `previous` keeps. */
export function choose(
  { model, seed }: BetweenBatchesContext,
  sparsity: number,
  scope: Scope,
  scores: ReadonlyMap<string, Float32Array>,
  previous: Masks,
): Masks {
  const dense = denseModel(model);
  try {
    const context = { model: dense, sparsity, seed, previous };
    return selectMasks(context, scope, scoresFrom(scores, 'prune.strategy'));
  } finally {
    freeModel(dense);
  }
}

/**
 * The sparsity that a phase has come to on a cubic rise over its first `end` (a share), from that which the
 * masks had when it was first asked.
 */
export function sparsityNow(
  { model, step, steps, sparsity, state }: BetweenBatchesContext,
  end: number,
  masks: Masks,
): number {
  if (!state.has('start')) {
    const { zeros, total } = countMasked(model.graph, masks);
    state.set('start', Float32Array.of(zeros / total));
  }
  const share = end > 0 ? Math.min(1, step / (end * steps)) : 1;
  return sparsityAt('cubic', state.get('start')![0]!, sparsity, share);
}
