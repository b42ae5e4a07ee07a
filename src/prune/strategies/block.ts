/**
 * Blocks of 4 x 1: four neighbouring outputs share the places of their zeros, a form that the products over
 * non-zeros read four rows at a time (sparse/blocks.ts; Gray, Radford and Kingma 2017 for blocks as such).
 * The blocks of the smallest sum of |w| go; the pattern is also an option of every strategy that scores.
 *
 * Deviation: counts are exact, so at most one block of each layer is not whole. Rows that are left over,
 * fewer than four, are a block. Cost: a few passes over the weights.
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { scoring } from '../scoring';

export const block = scoring({
  name: 'block',
  about: 'blocks of four outputs by one input with the smallest |w| go',
  scope: 'layer',
  options: { pattern: v.optional(choice(['4x1']), '4x1') },
  scores: () => (weight) => abs(weight),
});
