/** Single phases on model files: prune, fine-tune, bounds of given inputs. */

import { batchOf } from '../data/batches';
import { holdout } from '../data/holdout';
import { fitted } from '../data/layout';
import { datasets } from '../data/registry';
import type { DataSet } from '../data/types';
import { logits } from '../domain/classifier';
import { expect, lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { freezeSparsity } from '../nn/freeze';
import { lower } from '../nn/lower';
import { freeModel, type Model, prunableNames } from '../nn/model';
import type { PlugIn } from '../options';
import { parseOptions } from '../options';
import { freeMasks } from '../prune/mask';
import { prune } from '../prune/prune';
import { strategies } from '../prune/strategies/registry';
import type { Masks } from '../prune/strategy';
import { argmax } from '../tensor/ops/loss';
import { input, keep, step, type Tensor } from '../tensor/tensor';
import { outputBounds as provenBounds } from '../verify/prove';
import { normOf } from '../verify/verifier';
import { verifiers } from '../verify/verifiers/registry';
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
  const byBounds = Object.keys(verifiers).filter((name) => verifiers[name]!.method);
  expect(entry.method, '--method', `one of ${byBounds.join(', ')}`, method.name);
  const { name, ...chosen } = method;
  const options = parseOptions(entry.options, chosen, `--method ${name}`);
  const bounds = entry.method(options as never);
  const sound = method.sound !== false;
  const canonical = freezeSparsity(lower(model));
  const { engine, graph } = canonical;
  const result = indices.map((index) => {
    if (signal?.aborted) throw new Interrupted('Nothing is kept: the bounds start again.');
    const { images, labels } = batchOf(set, set.test, index, index + 1);
    const [label] = labels as unknown as [number];
    const { predicted, logits: z } = step(engine, () => {
      const out = logits(canonical, input(engine, images, [1, ...graph.network.input]));
      return { predicted: argmax(out)[0]!, logits: Array.from(out.read()) };
    });
    const norm = normOf(entry, options);
    const out = provenBounds(bounds, { model: canonical, images, labels, eps }, { norm });
    const lower = Array.from(out.margins);
    return {
      ...{ index, label, predicted, logits: z },
      lo: Array.from(out.lo),
      hi: Array.from(out.hi),
      margins: lower.map((m, j) => (j === label ? null : m)),
      certified: sound && lower.every((m, j) => j === label || m > 0),
    };
  });
  freeModel(canonical);
  return result;
}
