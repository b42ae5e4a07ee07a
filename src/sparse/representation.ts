/** Whether a weight's zeros pay: the one place that decides between its representations. */
import { type ConvShape, isMatrix } from '../tensor/convolution';
import { isSparse, toDense, type Weight } from './weight';

/**
 * Densities up to which products go over non-zeros: steps and bounds of cnn-large and vgg16 gain little
 * at 0.25 (1.0 to 1.35 times, measured), which has to pay for the tables, too.
 */
const PAYS = 0.2;
/** Samples from which a matrix fills its lanes. */
const LEAST = 8;

/** Whether a weight of this density should be kept as its non-zeros. */
export const worthSparse = (density: number): boolean => density <= PAYS;

/** A weight as a batch of this size goes through it: all entries, or its non-zeros. */
export function representationOf(weight: Weight, conv: ConvShape, batch: number): Weight {
  if (!isSparse(weight) || weight.dense === 'never') return weight;
  const few = isMatrix(conv) && batch < LEAST;
  return few || !worthSparse(weight.pattern.density) ? toDense(weight) : weight;
}
