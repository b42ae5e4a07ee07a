/** Single phases on model files: prune, fine-tune, bounds of given inputs. */

import { batchOf } from '../data/batches';
import { fitted } from '../data/layout';
import type { DataSet } from '../data/types';
import { logits } from '../domain/classifier';
import { expect, lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { freezeSparsity } from '../nn/freeze';
import { lower } from '../nn/lower';
import { freeModel, type Model } from '../nn/model';
import { type PlugIn, parseOptions } from '../options';
import { nonzeroMasks } from '../prune/mask';
import { parameterMap, prune } from '../prune/prune';
import { strategies } from '../prune/strategies/registry';
import { argmax } from '../tensor/ops/loss';
import { input, step } from '../tensor/tensor';
import { verifiers } from '../verify/verifiers/registry';
import type { Config } from './config';
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
  if (!(await trainInPlace(model, finetuning(config, 1), how, config, data, hooks)))
    throw new Interrupted('Nothing was written.');
}

/** Bounds of one image's outputs over the ball. */
export interface ImageBounds {
  readonly index: number;
  readonly label: number;
  readonly predicted: number;
  readonly logits: readonly number[];
  readonly lo: readonly number[];
  readonly hi: readonly number[];
  /** Lower bound of logit[label] - logit[class], by class; null at the label itself. */
  readonly margins: readonly (number | null)[];
  readonly certified: boolean;
}

export interface BoundsJob {
  /** Positions in the test split. */
  readonly indices: readonly number[];
  readonly eps: number;
  readonly method: PlugIn;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

export function outputBounds(
  model: Model,
  given: DataSet,
  { indices, eps, method, onEvent, signal }: BoundsJob,
): ImageBounds[] {
  const set = fitted(model, given, onEvent);
  for (const index of indices) {
    const inside = Number.isInteger(index) && index >= 0 && index < set.test.count;
    expect(inside, '--index', `positions in [0, ${set.test.count})`, index);
  }
  const entry = lookup(verifiers, method.name, '--method');
  const byBounds = Object.keys(verifiers).filter((name) => verifiers[name]!.bounds);
  expect(entry.bounds, '--method', `one of ${byBounds.join(', ')}`, method.name);
  const { name, ...chosen } = method;
  const options = parseOptions(entry.options, chosen, `--method ${name}`);
  const sound = method.sound !== false;
  const canonical = freezeSparsity(lower(model));
  const { engine, graph } = canonical;
  const result = indices.map((index) => {
    if (signal?.aborted) throw new Interrupted('Nothing is kept: the bounds start again.');
    const { images, labels } = batchOf(set, set.test, index, index + 1);
    return step(engine, () => {
      const x = input(engine, images, [1, ...graph.network.input]);
      const z = logits(canonical, x);
      const out = entry.bounds!({ model: canonical, x, labels, eps }, options as never);
      const lower = Array.from(out.margins.read());
      const label = labels[0]!;
      return {
        index,
        label,
        predicted: argmax(z)[0]!,
        logits: Array.from(z.read()),
        lo: Array.from(out.lo.read()),
        hi: Array.from(out.hi.read()),
        margins: lower.map((m, j) => (j === label ? null : m)),
        certified: sound && lower.every((m, j) => j === label || m > 0),
      };
    });
  });
  freeModel(canonical);
  return result;
}
