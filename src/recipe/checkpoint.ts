/**
 * The checkpoint of a run: one safetensors file with the model in training, the best one so far, the
 * optimiser's moments and the masks, and as metadata where the run stands. Restoring it and going on
 * gives bit for bit what an uninterrupted run gives.
 */
import * as v from 'valibot';
import { expect } from '../errors';
import { kindOf } from '../io/files';
import { type LoadedTensors, loadTensors, modelIn, saveTensors } from '../io/model';
import type { Model } from '../nn/model';
import { choice, parseOptions, real, whole } from '../options';
import type { Masks } from '../prune/strategy';
import type { Engine } from '../runtime/engine';
import { keep, type Tensor } from '../tensor/tensor';
import type { TrainingConfig } from './config';
import { type Phase, startPhase } from './training';

/** What the whole run remembers beside its phase. */
export interface RunState {
  /** 0 is pre-training, r the fine-tuning of round r. */
  readonly stage: number;
  /** Epochs finished over all phases: the last journal record that counts. */
  overall: number;
  /** Seconds computed so far. */
  seconds: number;
  readonly startedAt: string;
  /** Prunable weights of the dense network: what sparsity refers to. */
  readonly weights: number;
}

/** The metadata of a checkpoint, beside the network and the hash. */
const SAVED = v.strictObject({
  run: v.strictObject({
    stage: whole(),
    overall: whole(),
    seconds: real(0),
    startedAt: v.string(),
    weights: whole(),
  }),
  phase: v.strictObject({
    name: choice(['pretrain', 'finetune']),
    round: whole(),
    state: v.strictObject({
      epoch: whole(),
      updates: whole(),
      progress: v.strictObject({
        step: whole(),
        images: whole(),
        lossSum: real(),
        metrics: v.record(v.string(), real()),
      }),
      seconds: real(0),
      best: v.nullable(v.strictObject({ benign: real(0, 1), robust: real(0, 1) })),
    }),
  }),
});

export interface Checkpoint {
  readonly run: RunState;
  readonly phase: Phase;
}

export async function saveCheckpoint(
  path: string,
  hash: string,
  { run, phase }: Checkpoint,
): Promise<void> {
  const tensors = new Map<string, Tensor>();
  const put = (prefix: string, some: Iterable<readonly [string, Tensor]>): void => {
    for (const [name, t] of some) tensors.set(`${prefix}/${name}`, t);
  };
  put('model', phase.model.params);
  put('best', phase.best);
  put('moment', phase.optimizer.moments);
  put('mask', phase.masks ?? []);
  const { name, round, state } = phase;
  const network = phase.model.graph.network;
  await saveTensors(path, tensors, { network, hash, run, phase: { name, round, state } });
}

/** The checkpoint at `path`, or undefined if there is none; an error if it is another run's. */
export async function loadCheckpoint(
  engine: Engine,
  path: string,
  hash: string,
  training: (name: Phase['name']) => TrainingConfig,
): Promise<Checkpoint | undefined> {
  if ((await kindOf(path)) !== 'file') return undefined;
  const file = await loadTensors(path);
  expect(
    file.metadata.hash === hash,
    path,
    'the checkpoint of this run',
    'one of another config',
    'Choose another directory with --out, or move the file away to start again.',
  );
  const { run, phase: saved } = parseOptions(
    SAVED,
    { run: file.metadata.run, phase: file.metadata.phase },
    path,
  );
  const model: Model = modelIn(engine, file, path, 'model/');
  const masks = readMasks(engine, file);
  const phase = startPhase(
    saved.name,
    saved.round,
    model,
    masks,
    training(saved.name),
    saved.state,
  );
  for (const [name, t] of phase.best) t.write(file.tensor(`best/${name}`).values);
  for (const [name, t] of phase.optimizer.moments) t.write(file.tensor(`moment/${name}`).values);
  return { run, phase };
}

function readMasks(engine: Engine, file: LoadedTensors): Masks | undefined {
  const masks = new Map<string, Tensor>();
  for (const full of file.names) {
    if (!full.startsWith('mask/')) continue;
    const { shape, values } = file.tensor(full);
    masks.set(full.slice('mask/'.length), keep(engine, shape, values));
  }
  return masks.size > 0 ? masks : undefined;
}
