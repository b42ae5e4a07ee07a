/** Single phases on model files: prune, fine-tune. */

import { holdout } from '../data/holdout';
import { fitted } from '../data/layout';
import { datasets } from '../data/registry';
import { lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { type Model, prunableNames } from '../nn/model';
import type { PlugIn } from '../options';
import { freeMasks } from '../prune/mask';
import { prune } from '../prune/prune';
import { strategies } from '../prune/strategies/registry';
import type { Masks } from '../prune/strategy';
import { keep, type Tensor } from '../tensor/tensor';
import type { Config } from './config';
import { freePhase, runPhase, startPhase, takeBest } from './training';

/** The pruned model: the same one with zeros, or a smaller one (the given one stays the caller's). */
export function pruneModel(
  model: Model,
  { strategy, sparsity, seed }: { strategy: PlugIn; sparsity: number; seed: number },
): Model {
  const { name, ...options } = strategy;
  const goal = { sparsity, seed };
  const pruned = prune(model, lookup(strategies, name, 'strategy'), options, goal);
  freeMasks(pruned.masks);
  return pruned.model;
}

/** Fine-tunes in place; weights that are zero stay zero. */
export async function trainModel(
  model: Model,
  config: Config,
  { onEvent, signal }: { onEvent?: Listener; signal?: StopSignal },
): Promise<void> {
  const { name, path, heldOut } = config.data;
  const given = await lookup(datasets, name, 'data').load(path === null ? {} : { path });
  const set = fitted(model, given, onEvent);
  const count = heldOut ?? Math.round(set.train.count / 12);
  const { train, held } = holdout(set.train, set.shape, count, config.seed);
  const phase = startPhase('finetune', 1, model, supportOf(model), config.finetune);
  const hooks = { onEvent, signal };
  try {
    const complete = await runPhase(phase, config, config.finetune, { set, train, held }, hooks);
    if (!complete) throw new Interrupted('Nothing was written.');
    takeBest(phase);
  } finally {
    freePhase(phase, model);
  }
}

/** Masks of the weights that are not zero. */
export function supportOf({ engine, graph, params }: Model): Masks {
  const masks = new Map<string, Tensor>();
  for (const name of prunableNames(graph)) {
    const t = params.get(name)!;
    masks.set(
      name,
      keep(
        engine,
        t.shape,
        t.read().map((w) => (w === 0 ? 0 : 1)),
      ),
    );
  }
  return masks;
}
