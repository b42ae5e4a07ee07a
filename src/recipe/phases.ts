/** Single phases on model files: prune, fine-tune. */

import { fitted } from '../data/layout';
import { lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import type { Model } from '../nn/model';
import type { PlugIn } from '../options';
import { nonzeroMasks } from '../prune/mask';
import { parameterMap, prune } from '../prune/prune';
import { strategies } from '../prune/strategies/registry';
import type { Config } from './config';
import { withNetworks } from './networks';
import { finetuning } from './run-phases';
import { trainInPlace } from './training';
import { loadTrainingData } from './training-data';

/** The pruned model: the same one with zeros, or a smaller one (the given one stays the caller's). */
export async function pruneModel(
  model: Model,
  { strategy, sparsity, seed }: { strategy: PlugIn; sparsity: number; seed: number },
): Promise<Model> {
  const { name, ...options } = strategy;
  const goal = { sparsity, seed };
  return (await prune(model, lookup(strategies, name, 'strategy'), options, goal)).model;
}

/** Fine-tunes in place; weights that are zero stay zero. */
export async function trainModel(
  model: Model,
  config: Config,
  { onEvent, signal }: { onEvent?: Listener; signal?: StopSignal },
): Promise<void> {
  const data = await loadTrainingData(config, (set) => fitted(model, set, onEvent));
  const how = parameterMap(model, nonzeroMasks(model));
  const hooks = { onEvent, signal };
  const spec = finetuning(config, 1);
  const asking = { objective: spec.objective, training: [spec.training] };
  const done = await withNetworks(model.engine, asking, data, (all) =>
    trainInPlace(model, spec, how, config, all, hooks),
  );
  if (!done) throw new Interrupted('Nothing was written.');
}
