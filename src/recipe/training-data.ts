/** The data of a run: batches that train, and the part that picks checkpoints. */
import { wrongSamples } from '../attack/attack';
import { type Augment, batchOf, fillBatch, fillLabels } from '../data/batches';
import { holdout } from '../data/holdout';
import { datasets } from '../data/registry';
import type { DataSet, Split } from '../data/types';
import { lookup } from '../errors';
import { freezeSparsity } from '../nn/freeze';
import { lower } from '../nn/lower';
import { type AnyModel, freeModel, type Model } from '../nn/model';
import { denseModel, type TrainingModel } from '../nn/training-model';
import type { PlugIn } from '../options';
import { sizeOf } from '../tensor/shape';
import type { Batch } from '../train/loop';
import { objectives } from '../train/objectives/registry';
import type { Config } from './config';

/** The data of a run: what trains, what picks checkpoints, and the set both come from. */
export interface TrainingData {
  readonly set: DataSet;
  readonly train: Split;
  readonly held: Split;
  /** Those that training asks beside the one it trains (networks.ts), by file. */
  readonly networks?: ReadonlyMap<string, AnyModel> | undefined;
}

/** Reads a config's data set, and holds the part back that picks checkpoints. */
export async function loadTrainingData(
  { data: { name, path, heldOut }, seed }: Pick<Config, 'data' | 'seed'>,
  arrange: (set: DataSet) => DataSet = (set) => set,
): Promise<TrainingData> {
  const set = arrange(await lookup(datasets, name, 'data').load(path === null ? {} : { path }));
  const count = heldOut ?? Math.round(set.train.count / 12);
  return { set, ...holdout(set.train, set.shape, count, seed) };
}

export interface Score {
  readonly benign: number;
  readonly robust: number;
}

/** Training samples by their positions. */
export function batchAt({ set, train }: TrainingData, index: Int32Array, augment?: Augment): Batch {
  const images = new Float32Array(index.length * sizeOf(set.shape));
  const labels = new Int32Array(index.length);
  fillBatch(train, set, index, images, augment);
  fillLabels(train, index, labels);
  return { images, labels, index };
}

/** Robust accuracy first, benign accuracy among equals; later epochs win ties. */
export function better(a: Score, b: Score): boolean {
  return a.robust > b.robust || (a.robust === b.robust && a.benign >= b.benign);
}

/** Benign and robust accuracy on the held-out images, in the canonical form. */
export async function heldOut(
  model: TrainingModel,
  { set, held }: TrainingData,
  { name, ...options }: PlugIn,
  seed: number,
): Promise<Score> {
  const objective = lookup(objectives, name, 'objective');
  const canonical = freezeSparsity(canonicalOf(model));
  let [benign, robust] = [0, 0];
  try {
    for (let from = 0; from < held.count; from += 500) {
      await new Promise((resolve) => setImmediate(resolve));
      const batch = batchOf(set, held, from, Math.min(held.count, from + 500));
      const wrong = wrongSamples(canonical, batch.images, batch.labels);
      const strong = objective.robust({ model: canonical, seed, ...batch }, options);
      wrong.forEach((w, i) => {
        benign += 1 - w;
        robust += w === 0 ? strong[i]! : 0;
      });
    }
  } finally {
    freeModel(canonical);
  }
  const count = Math.max(1, held.count);
  return { benign: benign / count, robust: robust / count };
}

function canonicalOf(model: TrainingModel): Model {
  const dense = denseModel(model);
  try {
    return lower(dense);
  } finally {
    freeModel(dense);
  }
}
