/**
 * Parameterisations: how a weight comes from what is trained, `leaves -> weight`, differentiable. All have
 * one form: a mask says which entries of the weight may be other than 0, and a kind makes the vector of
 * these entries from tensors of its own. Optimisers, weight decay, clipping and checkpoints see the leaves
 * alone, so a pruned weight cannot come back: it has no leaf.
 *
 * A parameterisation is data (arrays by name), which strategies return and files hold, or at work (kept
 * tensors in an engine). Few entries are multiplied as such (sparse/product.ts), many are scattered into
 * a dense weight once a step and the gradient is gathered.
 */
import type { Tensor } from '../tensor/tensor';

/** Which entries of a weight stay, by place: 1, or 0 for one that is 0 for good. */
export type Mask = Uint8Array;

/** A parameterisation as data. */
export interface ParameterData {
  /** Key of the registry of kinds. */
  readonly kind: string;
  /** null where all entries stay. */
  readonly mask: Mask | null;
  readonly settings: Readonly<Record<string, number>>;
  /** Tensors of the kind by name, flat; those an entry in the order of the mask's ones. */
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

/** What a tensor of a kind is to training. */
export interface TensorRole {
  /** Leaves are weights or scores; what is constant is never trained. */
  readonly role: 'weight' | 'score' | 'constant';
  /** Whether it has one element for each entry of the weight; else its length is its own. */
  readonly perEntry: boolean;
}

export interface ParameterisationKind {
  readonly about: string;
  readonly tensors: Readonly<Record<string, TensorRole>>;
  /** The entries [n] in the current step, differentiable in the leaves. */
  entries(tensors: Tensors, settings: ParameterData['settings']): Tensor;
  /** Raises an error, beginning with `who`, for data that `entries` could not take. */
  check?(data: ParameterData, entries: number, who: string): void;
  /** Which of the entries are other than 0: 1 or 0 an entry. Left out: all. */
  kept?(tensors: ParameterData['tensors'], settings: ParameterData['settings']): Mask;
}

type Tensors = Readonly<Record<string, Tensor>>;

/** A weight whose entries are trained as they are: all of them, or those that `mask` keeps. */
export function plainData(weight: Float32Array, mask: Mask | null = null): ParameterData {
  return { kind: 'plain', mask, settings: {}, tensors: { values: takeKept(weight, mask) } };
}

/** The entries that a mask keeps; all where it is null. */
export function takeKept(weight: Float32Array, mask: Mask | null): Float32Array {
  return mask ? weight.filter((_, place) => mask[place] === 1) : weight;
}

/** Entries in their places, 0 elsewhere. */
export function spreadKept(entries: ArrayLike<number>, mask: Mask): Float32Array {
  let n = 0;
  return Float32Array.from(mask, (one) => (one === 1 ? entries[n++]! : 0));
}
