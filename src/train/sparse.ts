/**
 * Training over the non-zeros that masks keep: a step sees the values of a sparsity pattern as the
 * weight, so that products and gradients go over them alone.
 */
import type { AnyModel, Model } from '../nn/model';
import { worthSparse } from '../sparse/choice';
import { patternOf, type SparsityPattern } from '../sparse/pattern';
import { sparseWeight, takeEntries, type Weight } from '../sparse/weight';
import type { Tensor } from '../tensor/tensor';

/** By parameter; frees nothing by itself. */
export type Patterns = ReadonlyMap<string, SparsityPattern>;

/** The patterns of masks that keep few enough weights; the others train densely. */
export function maskPatterns(masks: ReadonlyMap<string, Tensor>): Patterns {
  const all = Array.from(masks, ([name, mask]) => [name, patternOf(mask)] as const);
  return new Map(all.filter(([, { density }]) => worthSparse(density)));
}

/** The model with the values of the patterns for weights, in the current step. */
export function overPatterns(model: Model, patterns: Patterns): AnyModel {
  const params = Array.from(model.params, ([name, tensor]): [string, Weight] => {
    const pattern = patterns.get(name);
    return [name, pattern ? sparseWeight(pattern, takeEntries(tensor, pattern)) : tensor];
  });
  return { ...model, params: new Map(params) };
}
