/**
 * Models that stay as they are: weights with many zeros become their non-zeros, and values, gradients and
 * bounds of every domain then cost what those do (sparse/product.ts). They are the dense ones to
 * rounding, so that certificates hold (docs/numerics.md, "The network").
 *
 * Cost: a look at every weight; tables of about 20 bytes a non-zero once a layer first runs.
 */

import { worthSparse } from '../sparse/choice';
import { patternOf } from '../sparse/pattern';
import { gatherEntries, sparseWeight, type Weight } from '../sparse/weight';
import { keep, step, type Tensor } from '../tensor/tensor';
import { lower } from './lower';
import { type AnyModel, freeModel, type Made, type Model, prunableNames } from './model';

/** A model whose parameters refuse writes. */
export interface FrozenModel extends AnyModel {
  /** What was made for it (plans), freed with it. */
  readonly made: Made;
}

export const isFrozen = (model: AnyModel): model is FrozenModel => 'made' in model;

/**
 * Freezes a model, whose tensors refuse writes from now on, with the zeros that its weights have. It takes
 * the model's place: free the result alone, by `freeModel`.
 */
export function freezeSparsity(model: Model): FrozenModel {
  const prunable = new Set(prunableNames(model.graph));
  const params = new Map<string, Weight>();
  for (const [name, tensor] of model.params) {
    tensor.freeze();
    params.set(name, prunable.has(name) ? represented(tensor) : tensor);
  }
  return { ...model, params, made: new Map() };
}

/** Result of work on the model in canonical form, frozen, which is freed when the work has ended, however. */
export function withCanonical<T>(model: Model, work: (canonical: FrozenModel) => T): T {
  const canonical = freezeSparsity(lower(model));
  const free = (): void => freeModel(canonical);
  let result: T | undefined;
  try {
    result = work(canonical);
    return result instanceof Promise ? (result.finally(free) as T) : result;
  } finally {
    if (!(result instanceof Promise)) free();
  }
}

function represented(tensor: Tensor): Weight {
  const pattern = patternOf(tensor);
  if (!worthSparse(pattern.density)) return tensor;
  const { engine } = tensor;
  const values = step(engine, () => gatherEntries(tensor, pattern).read());
  const kept = keep(engine, [pattern.nnz], values);
  kept.freeze();
  return sparseWeight(pattern, kept, tensor);
}
