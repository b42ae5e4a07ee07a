/**
 * Filter pruning: the filters and hidden units of the smallest score go, physically, along with all that
 * reads them (select-channels.ts). `score` is one of
 *
 * - `l1`, the L1 norm of the filter (Li et al. 2016, "Pruning filters for efficient convnets", arXiv
 *   1608.08710);
 * - `geometric-median`, the distances to the layer's other filters (He et al. 2019, FPGM, arXiv 1811.00250),
 *   rows^2 / 2 passes over a row in JavaScript;
 * - `batch-norm`, the size of batch norm's gain (Liu et al. 2017, "Network slimming", arXiv 1708.06519);
 *   layers without one keep their filters. Liu et al. train the gains towards zero: group-lasso does, `on: batch-norm`.
 *
 * `scope`: the same share of every layer, or one threshold over all (as Liu et al.).
 * Deviation from Li et al.: they pick each layer's share by a sensitivity scan (`inspect --sensitivity`).
 * Cost: a pass over the weights, and a search over the number of filters.
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { CHANNEL_SCORES, channelScores } from '../channel-scores';
import { CHANNEL_SCOPES, selectChannels } from '../select-channels';
import { strategy } from '../strategy';

export const filter = strategy({
  name: 'filter',
  about: 'filters and hidden units of the smallest score go, physically: score, scope',
  options: v.strictObject({
    score: v.optional(choice(CHANNEL_SCORES), 'l1'),
    scope: v.optional(choice(CHANNEL_SCOPES), 'layer'),
  }),
  structured: true,
  decide: (context, { score, scope }) => selectChannels(context, scope, channelScores[score]),
});
