/**
 * Whether a product pays to go over the non-zeros of its weight, and in which form: the one decision, for
 * training, attacks, bounds, plans and the edge, by the costs of runtime/costs.ts.
 *
 * Plans know their layouts and weigh a form against dense algorithms between two copies (`zerosPay`). Single
 * products pack and unpack their operands, and go by what a non-zero then costs in all (`representationOf`).
 */
import { type Costs, costOf, type Work } from '../runtime/costs';
import { cheapestDense } from '../tensor/algorithms';
import { type ConvShape, inputOf, isMatrix, outputOf } from '../tensor/convolution';
import { sizeOf } from '../tensor/shape';
import { BLOCK, type Filling, fillingOf } from './blocks';
import { TILE } from './tables';
import { isSparse, placesOf, toDense, type Weight } from './weight';

/**
 * Cost of a non-zero of a single product, its packing, tables and gradients included, in multiply-adds of the
 * dense one: steps and bounds of cnn-large and vgg16 gain little at a density of 0.25 (1.0 to 1.35 times,
 * measured: `npm run bench -- sparse-training`).
 */
const SINGLE = 5;
/** Samples from which a matrix fills its lanes. */
const LEAST = 8;

/** Whether a weight of this density should be kept as its non-zeros. */
export const worthSparse = (density: number): boolean => SINGLE * density <= 1;

/** A weight as a batch of this size goes through it: all entries, or its non-zeros. */
export function representationOf(weight: Weight, conv: ConvShape, batch: number): Weight {
  if (!isSparse(weight) || weight.dense === 'never') return weight;
  const few = isMatrix(conv) && batch < LEAST;
  return few || !worthSparse(weight.pattern.density) ? toDense(weight) : weight;
}

export interface SparseOptions {
  /** Values in pairs (interval plans): only rows, and forms for a whole tile whatever the lanes. */
  readonly pairs?: boolean;
  readonly costs?: Costs | undefined;
}

/** Images side by side in a plan for batches of this size. */
export const lanesOf = (batch: number): number => Math.min(batch, TILE);

/** What the forms over non-zeros do, by the keys of their costs. */
export function sparseWork(
  { nnz, blocks, size }: Filling,
  rows: number,
  outputs: number,
): Readonly<{ csr: Work<'csr'>; '4x1': Work<'4x1'>; single: Work<'single'> }> {
  const single = outputs === 1;
  const lanes = TILE * Math.ceil(outputs / TILE);
  const each = (entries: number) =>
    single ? undefined : { product: lanes * entries, row: lanes * rows };
  return {
    csr: each(nnz),
    // For zeros: full layers stay dense.
    '4x1': 2 * BLOCK * blocks > size ? undefined : each(BLOCK * blocks),
    single: single ? { product: nnz } : undefined,
  };
}

/** Whether a product has nothing but its non-zeros. */
export const isBare = (weight: Weight): boolean => isSparse(weight) && weight.dense === 'never';

/** The cheapest form of a product over its non-zeros. */
export function sparseForm(
  weight: Weight,
  conv: ConvShape,
  lanes: number,
  { pairs = false, costs }: SparseOptions = {},
): readonly [name: 'csr' | '4x1' | 'single', cost: number] {
  const { outChannels: oc, outHeight: oh, outWidth: ow } = conv;
  if (isBare(weight)) return ['csr', 0];
  const filling = fillingOf(placesOf(weight), oc, sizeOf(weight.shape));
  const side = pairs ? TILE * Math.ceil(lanes / TILE) : lanes;
  const work = sparseWork(filling, oc, oh * ow * side);
  const names = pairs ? (['csr'] as const) : (['csr', '4x1', 'single'] as const);
  return names
    .map((name) => [name, costOf(name, work[name], costs)] as const)
    .reduce((best, one) => (one[1] < best[1] ? one : best));
}

/** Cost of a product of a plan over non-zeros that is dense, with copies before and after. */
export function copiedDenseCost(conv: ConvShape, lanes: number, costs?: Costs): number {
  const element = lanes * (sizeOf(inputOf(conv)) + sizeOf(outputOf(conv)));
  return cheapestDense(conv, lanes, { costs })[1] + costOf('copy', { element }, costs);
}

/** Whether a product of a plan over non-zeros goes over them, and is not dense between two copies. */
export const zerosPay = (
  weight: Weight,
  conv: ConvShape,
  lanes: number,
  options: SparseOptions,
): boolean =>
  isBare(weight) ||
  copiedDenseCost(conv, lanes, options.costs) >= sparseForm(weight, conv, lanes, options)[1];
