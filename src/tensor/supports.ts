/**
 * Which weights are 0 outside of a support, so that layers may go over their non-zeros
 * (supported.ts) wherever they are applied: in training, attacks and bounds. Encoded when first
 * asked for, once a geometry.
 */

import { type ConvSizes, isMatrix } from './sparse';
import { lanesFor, type Support, supportOf } from './support-sides';
import type { Tensor } from './tensor';

interface Freed {
  free(): void;
}

interface Known {
  readonly mask: Tensor;
  readonly density: number;
  readonly encoded: Map<string, Support>;
  readonly made: Map<object, Freed | undefined>;
}

const supports = new WeakMap<Tensor, Known>();

/**
 * Densities up to which the support is used: steps and bounds of cnn-large and vgg16 gain little at
 * 0.25 (1.0 to 1.35 times, measured), which has to pay for the tables, too.
 */
const PAYS = 0.2;
/** Samples from which a dense layer fills its lanes. */
const LEAST = 8;

/** Says that `weight` is 0 where `mask` is, until `dropSupport`. The mask must stay as it is. */
export function setSupport(weight: Tensor, mask: Tensor): void {
  dropSupport(weight);
  const density = mask.read().reduce((n, v) => (v === 0 ? n : n + 1), 0) / Math.max(1, mask.size);
  supports.set(weight, { mask, density, encoded: new Map(), made: new Map() });
}

/** Forgets it and frees its tables, between steps: gradients of one may still be read by them (`scattered`). */
export function dropSupport(weight: Tensor): void {
  const known = supports.get(weight);
  for (const one of [...(known?.encoded.values() ?? []), ...(known?.made.values() ?? [])])
    one?.free();
  supports.delete(weight);
}

/** Whether the weight's own zeros are its support: none of its values changes until `dropSupport`. */
export const isFrozen = (weight: Tensor): boolean => supports.get(weight)?.mask === weight;

/** What is made once of a weight's support, for each `key`, and freed with it. */
export function withSupport<T extends Freed>(
  weight: Tensor,
  key: object,
  make: () => T | undefined,
): T | undefined {
  const { made } = supports.get(weight)!;
  if (!made.has(key)) made.set(key, make());
  return made.get(key) as T | undefined;
}

/** The support to use for a layer with this weight and input, if it has one and that pays. */
export function supportFor(
  weight: Tensor,
  sizes: ConvSizes | undefined,
  batch: number,
): Support | undefined {
  const known = supports.get(weight);
  if (!known || !sizes || known.density > PAYS) return undefined;
  if (isMatrix(sizes) && batch < LEAST) return undefined;
  const key = [...sizes, lanesFor(sizes, batch)].join();
  const found = known.encoded.get(key) ?? supportOf(known.mask, sizes, batch);
  known.encoded.set(key, found);
  return found;
}
