/**
 * Least weight magnitude: the smallest |w| go (Han et al. 2015, arXiv 1506.02626; the strategy of Sehwag et
 * al. 2019).
 *
 * Han et al. cut each layer at q times the standard deviation of its weights: with `unit: deviation` and
 * `scope: global` magnitudes are in these deviations, and one threshold q holds for all layers. Deviation:
 * the count is given and q follows from it. Cost: a few passes over the weights.
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { affine } from '../../tensor/ops/core';
import { abs } from '../../tensor/ops/elementwise';
import { scoring } from '../scoring';

export const magnitude = scoring({
  name: 'magnitude',
  about: 'smallest |w| go',
  scope: 'layer',
  options: {
    /** Of |w|: itself, or the standard deviation of the layer's weights that are left. */
    unit: v.optional(choice(['weight', 'deviation']), 'weight'),
  },
  scores:
    ({ previous }, { unit }) =>
    (weight, _, name) => {
      if (unit !== 'deviation') return abs(weight);
      const mask = previous?.get(name);
      return affine(abs(weight), 1 / (deviation(weight.read(), mask) || 1), 0);
    },
});

/** Standard deviation of the entries that a mask keeps, in float64. */
function deviation(values: Float32Array, mask: Uint8Array | undefined): number {
  const left = mask ? values.filter((_, place) => mask[place] === 1) : values;
  const mean = left.reduce((sum, w) => sum + w, 0) / left.length;
  return Math.sqrt(left.reduce((sum, w) => sum + (w - mean) ** 2, 0) / left.length);
}
