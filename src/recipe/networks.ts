/** Networks that training asks beside the one it trains: a teacher's, and those of an objective's files. */
import { fitted } from '../data/layout';
import type { DataSet } from '../data/types';
import { expect, lookup } from '../errors';
import { loadModel } from '../io/model';
import { lower } from '../nn/lower';
import { type AnyModel, freeModel, type Model } from '../nn/model';
import type { PlugIn } from '../options';
import type { Engine } from '../runtime/engine';
import { objectives } from '../train/objectives/registry';
import type { Labelling } from '../train/targets';
import type { TrainingConfig } from './config';
import type { TrainingData } from './training-data';

/** By file, in canonical form. */
export type Networks = ReadonlyMap<string, AnyModel>;

interface Asking {
  readonly objective: PlugIn;
  readonly training: readonly TrainingConfig[];
}

/** The model files that an objective's options name. */
export function objectiveFiles({ name, ...options }: PlugIn): readonly string[] {
  return lookup(objectives, name, 'objective').files?.(options) ?? [];
}

/**
 * Runs `fn` with the data and the networks of all files that are named, which are freed at its end. Raises
 * EspalierError for a network that does not take the data as they are.
 */
export async function withNetworks<T>(
  engine: Engine,
  { objective, training }: Asking,
  data: TrainingData,
  fn: (data: TrainingData) => Promise<T>,
): Promise<T> {
  const teachers = training.flatMap(({ teacher }) => (teacher ? [teacher.file] : []));
  const networks = new Map<string, Model>();
  try {
    for (const file of new Set([...objectiveFiles(objective), ...teachers]))
      networks.set(file, await networkOf(engine, file, data.set));
    return await fn({ ...data, networks });
  } finally {
    for (const model of networks.values()) freeModel(model);
  }
}

async function networkOf(engine: Engine, file: string, set: DataSet): Promise<Model> {
  const model = await loadModel(engine, file);
  try {
    const same = fitted(model, set).layout === set.layout;
    expect(same, file, 'a network that takes images as the trained one does', 'another layout');
    return lower(model);
  } finally {
    freeModel(model);
  }
}

type Read = Pick<TrainingData, 'networks'>;

function networkIn({ networks }: Read, file: string): AnyModel {
  const found = networks?.get(file);
  expect(found, file, 'a network that was read', 'none');
  return found;
}

/** The networks of the objective's files. */
export const othersOf = (objective: PlugIn, data: Read): readonly AnyModel[] =>
  objectiveFiles(objective).map((file) => networkIn(data, file));

/** What a phase's training takes from the networks that were read: those of the objective, and labels. */
export function asked(
  objective: PlugIn,
  { labelSmoothing: smoothing, teacher }: TrainingConfig,
  data: Read,
): { readonly others: readonly AnyModel[]; readonly labelling: Labelling } {
  const taught = teacher && { ...teacher, model: networkIn(data, teacher.file) };
  return { others: othersOf(objective, data), labelling: { smoothing, teacher: taught } };
}
