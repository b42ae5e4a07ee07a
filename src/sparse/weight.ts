/**
 * Weights, dense or sparse. A sparse weight is a sparsity pattern with the values of its entries. The values are
 * an ordinary tensor, so gradients, optimisers and files deal with the non-zeros alone.
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
  /** The dense weight, where it exists already; `never`: it must not be formed (the edge saves the memory). */
  readonly dense?: Tensor | 'never' | undefined;
}

export type Weight = Tensor | SparseWeight;

export const isSparse = (weight: Weight): weight is SparseWeight => !(weight instanceof Tensor);

export const sparseWeight = (
  pattern: SparsityPattern,
  values: Tensor,
  dense?: SparseWeight['dense'],
): SparseWeight => ({ engine: values.engine, shape: pattern.shape, pattern, values, dense });

/** |W|, by element. */
export const absolute = (weight: Weight): Weight =>
  isSparse(weight)
    ? sparseWeight(
        weight.pattern,
        abs(weight.values),
        weight.dense === 'never' ? weight.dense : undefined,
      )
    : abs(weight);

/** Gathers the entries of a pattern from a dense tensor: [nnz]. */
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

/** The weight as a dense tensor. */
export function toDense(weight: Weight): Tensor {
  if (!isSparse(weight)) return weight;
  if (weight.dense instanceof Tensor) return weight.dense;
  return scatterEntries(weight.values, weight.pattern);
}

/** Copies all entries, zeros included, row-major. */
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

/** Flat positions, ascending, of the stored entries of a sparse weight or the current non-zeros of a dense one. */
export const placesOf = (weight: Weight): ArrayLike<number> =>
  isSparse(weight)
    ? weight.pattern.places()
    : nonZeros(weight.engine.memory.f32(weight.ptr, weight.size));
