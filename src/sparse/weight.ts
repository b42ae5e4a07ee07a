/**
 * Weights and their representations: all entries, or the values of a sparsity pattern, which are an
 * ordinary tensor, so that gradients, optimisers and files see the non-zeros alone.
 */
import type { Engine } from '../runtime/engine';
import { abs } from '../tensor/ops/elementwise';
import { type Shape, sizeOf } from '../tensor/shape';
import { record } from '../tensor/tape';
import { empty, filled, Tensor } from '../tensor/tensor';
import type { SparsityPattern } from './pattern';
import { nonZeros } from './tables';

export interface SparseWeight {
  readonly engine: Engine;
  readonly shape: Shape;
  readonly pattern: SparsityPattern;
  /** [nnz], in the order of the pattern. */
  readonly values: Tensor;
  /** All entries, where they are at hand; `never`: no product may form them. */
  readonly dense?: Tensor | 'never' | undefined;
}

export type Weight = Tensor | SparseWeight;

export const isSparse = (weight: Weight): weight is SparseWeight => !(weight instanceof Tensor);

export const sparseWeight = (
  pattern: SparsityPattern,
  values: Tensor,
  dense?: SparseWeight['dense'],
): SparseWeight => ({ engine: values.engine, shape: pattern.shape, pattern, values, dense });

/** |W|. */
export const absolute = (weight: Weight): Weight =>
  isSparse(weight)
    ? sparseWeight(
        weight.pattern,
        abs(weight.values),
        weight.dense === 'never' ? weight.dense : undefined,
      )
    : abs(weight);

/** The entries of a pattern: [nnz]. */
export function gatherEntries(dense: Tensor, pattern: SparsityPattern): Tensor {
  const { engine } = dense;
  const values = empty(engine, [pattern.nnz]);
  engine.run('take_rows', pattern.nnz, 1, dense.ptr, pattern.at, values.ptr);
  return record(values, [dense], [(g) => scatterEntries(g, pattern)]);
}

function scatterEntries(values: Tensor, pattern: SparsityPattern): Tensor {
  const { engine } = values;
  const dense = filled(engine, pattern.shape, 0);
  engine.run('add_rows', pattern.nnz, 1, values.ptr, pattern.at, dense.ptr);
  return record(dense, [values], [(g) => gatherEntries(g, pattern)]);
}

/** All entries of a weight. */
export function toDense(weight: Weight): Tensor {
  if (!isSparse(weight)) return weight;
  if (weight.dense instanceof Tensor) return weight.dense;
  return scatterEntries(weight.values, weight.pattern);
}

/** A copy of all entries. */
export function readEntries(weight: Weight): Float32Array {
  if (!isSparse(weight)) return weight.read();
  if (weight.dense instanceof Tensor) return weight.dense.read();
  const all = new Float32Array(sizeOf(weight.shape));
  const [places, values] = [weight.pattern.places(), weight.values.read()];
  values.forEach((value, n) => {
    all[places[n]!] = value;
  });
  return all;
}

/** The ascending places of what is not 0 in a weight as it is now. */
export const placesOf = (weight: Weight): ArrayLike<number> =>
  isSparse(weight)
    ? weight.pattern.places()
    : nonZeros(weight.engine.memory.f32(weight.ptr, weight.size));
