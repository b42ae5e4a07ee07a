/**
 * The pruning phase, one round of it: a strategy decides, the model loses weights or filters.
 */
import type { Model } from '../nn/model';
import { parseOptions, sparsity as sparsityRule } from '../options';
import { channelsOf } from './channels';
import { applyMasks, freeMasks } from './mask';
import { maskedChannels, shrink, shrinkMasks } from './shrink';
import type { Masks, PruneContext, Strategy } from './strategy';

export interface Pruned {
  /**
   * The given model, its masked weights zero; or, of a structured strategy, a new and smaller one
   * (the given one is unchanged, and still the caller's to free).
   */
  readonly model: Model;
  /**
   * For fine-tuning, shaped like the model's parameters. After a structured strategy they are all
   * ones, but for what `previous` masked. Kept tensors, the caller frees them.
   */
  readonly masks: Masks;
  /** Positions of the filters (units) that went, by the path of their layer; of the given model. */
  readonly removed: ReadonlyMap<string, readonly number[]>;
}

/**
 * Prunes to `sparsity`, the share in [0, 1) of the given model's prunable weights; for a model that
 * has shrunk before, see `relativeSparsity`. `options` are checked by the strategy's schema.
 * `previous` masks stay the caller's to free.
 */
export function prune(
  model: Model,
  strategy: Strategy,
  options: unknown,
  goal: Omit<PruneContext, 'model'>,
): Pruned {
  const checked = parseOptions(strategy.options, options, 'prune.strategy');
  parseOptions(sparsityRule(), goal.sparsity, 'prune.sparsity');
  const masks = strategy.masks({ ...goal, model }, checked);
  if (!strategy.structured) {
    applyMasks(model, masks);
    return { model, masks, removed: new Map() };
  }
  const channels = channelsOf(model.graph);
  const gone = maskedChannels(model, channels, masks);
  const made = [...new Set(channels.groups.flatMap((group) => group.producers))].sort(
    (a, b) => a - b,
  );
  const removed = made.map((at): [string, number[]] => [
    model.graph.nodes[at]!.name,
    channels.outputs[at]!.flatMap((channel, i) => (gone.has(channel) ? [i] : [])),
  ]);
  try {
    const smaller = shrink(model, gone, channels);
    return {
      model: smaller,
      masks: shrinkMasks(model, gone, channels, masks),
      removed: new Map(removed),
    };
  } finally {
    freeMasks(masks);
  }
}
