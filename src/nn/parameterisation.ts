/**
 * Parameterisations: how a weight is computed, differentiably, from the tensors that are trained (its leaves:
 * weights, importance scores). All have one form: a mask says which entries of the weight may be non-zero, and
 * a kind (plain, scored, ...) computes the vector of these entries from tensors of its own. Optimisers, weight
 * decay, clipping and checkpoints see only the leaves; a pruned weight has none, so it stays 0.
 *
 * A parameterisation is either data (arrays by name), which strategies return and files hold, or instantiated
 * (tensors in an engine, parameterised.ts). A sparse one multiplies its entries as they are
 * (sparse/product.ts); a dense one scatters them into a dense weight once per step and gathers the gradient.
 */
import type { Tensor } from '../tensor/tensor';

/** Pruning mask, one element per entry of a weight in row-major order: 1 for kept, 0 for pruned. */
export type Mask = Uint8Array;

/** A parameterisation as data. */
export interface ParameterData {
  /** Key of the registry of kinds. */
  readonly kind: string;
  /** null where all entries are kept. */
  readonly mask: Mask | null;
  readonly settings: Readonly<Record<string, number>>;
  /** Tensors of the kind by name, flat; those with one element per entry hold the kept entries only, in order. */
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

/** How training treats a tensor of a kind. */
export interface TensorRole {
  /** `weight` and `score` are leaves, which a phase may train; `constant` is never trained. */
  readonly role: 'weight' | 'score' | 'constant';
  /** Whether it has one element per kept entry of the weight; otherwise the kind decides its length. */
  readonly perEntry: boolean;
}

export interface ParameterisationKind {
  readonly about: string;
  readonly tensors: Readonly<Record<string, TensorRole>>;
  /** Computes the kept entries [n] in the current step, differentiably in the leaves. */
  entries(tensors: Tensors, settings: ParameterData['settings']): Tensor;
  /** Validates data; raises an error that begins with `who` for what `entries` could not take. */
  check?(data: ParameterData, entries: number, who: string): void;
  /** Which kept entries the kind itself leaves non-zero (by its scores, say): 1 or 0 each. Left out: all. */
  kept?(tensors: ParameterData['tensors'], settings: ParameterData['settings']): Mask;
}

type Tensors = Readonly<Record<string, Tensor>>;

/** The plain parameterisation: entries are trained directly, all of them or those that `mask` keeps. */
export function plainData(weight: Float32Array, mask: Mask | null = null): ParameterData {
  return { kind: 'plain', mask, settings: {}, tensors: { values: takeKept(weight, mask) } };
}

/** Gathers the entries that a mask keeps; all where it is null. */
export function takeKept(weight: Float32Array, mask: Mask | null): Float32Array {
  return mask ? weight.filter((_, place) => mask[place] === 1) : weight;
}

/** Scatters kept entries to their places, with 0 elsewhere. */
export function spreadKept(entries: ArrayLike<number>, mask: Mask): Float32Array {
  const spread = new Float32Array(mask.length);
  let n = 0;
  for (let place = 0; place < mask.length; place++)
    if (mask[place] === 1) spread[place] = entries[n++]!;
  return spread;
}
