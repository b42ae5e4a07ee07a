/**
 * Least weight magnitude: the smallest |w| go (Han et al. 2015; the strategy of Sehwag et al. 2019).
 *
 * Deviation from Han et al.: counts are given and exact, where they cut at a multiple of each layer's
 * standard deviation. Option `scope` says how layers share the zeros (allocate.ts).
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { SCOPES } from '../allocate';
import { selectMasks } from '../select';
import { strategy } from '../strategy';

export const magnitude = strategy({
  name: 'magnitude',
  about: 'smallest |w| go: scope (layer, global, erk)',
  options: v.strictObject({ scope: v.optional(choice(SCOPES), 'layer') }),
  structured: false,
  decide: (context, { scope }) => selectMasks(context, scope, (weight) => abs(weight)),
});
