/**
 * One phase of training: epochs with a schedule, held-out accuracy after each, the best parameters
 * kept aside, and a state that can be saved after any batch and taken up again with identical
 * results.
 */
import { wrongSamples } from '../attack/attack';
import { type Augment, batchOf, epochBatches, fillBatch, fillLabels } from '../data/batches';
import type { DataSet, Split } from '../data/types';
import { lookup } from '../errors';
import type { Listener, StopSignal } from '../events';
import { freezeSparsity } from '../nn/freeze';
import { lower } from '../nn/lower';
import { freeModel, type Model } from '../nn/model';
import type { PlugIn } from '../options';
import { assertMasked, freeMasks } from '../prune/mask';
import type { Masks } from '../prune/strategy';
import type { EpochRecord } from '../report/types';
import { sizeOf } from '../tensor/shape';
import { assign, keep, type Tensor } from '../tensor/tensor';
import { type Batch, type EpochProgress, trainEpoch } from '../train/loop';
import { objectives } from '../train/objectives/registry';
import { createOptimizer, freeOptimizer, type Optimizer } from '../train/optimizers';
import { learningRate } from '../train/schedules';
import { maskPatterns, type Patterns } from '../train/sparse';
import type { Ties } from '../train/ties';
import type { Config, TrainingConfig } from './config';

/** The data of a run: what trains, what picks checkpoints, and the set both come from. */
export interface TrainingData {
  readonly set: DataSet;
  readonly train: Split;
  readonly held: Split;
}

export interface Score {
  readonly benign: number;
  readonly robust: number;
}

/** All that a phase knows; with the tensors beside it, all that a checkpoint holds. */
export interface PhaseState {
  /** Epochs finished. */
  epoch: number;
  /** Updates done; Adam's bias correction needs it. */
  updates: number;
  /** Of the unfinished epoch. */
  progress: EpochProgress;
  /** Seconds spent in the unfinished epoch. */
  seconds: number;
  best: Score | null;
}

export interface Phase {
  readonly name: 'pretrain' | 'finetune';
  /** 0 for pre-training. */
  readonly round: number;
  readonly model: Model;
  readonly masks?: Masks | undefined;
  readonly ties?: Ties | undefined;
  readonly optimizer: Optimizer;
  /** Parameters of the best epoch so far, kept. */
  readonly best: ReadonlyMap<string, Tensor>;
  readonly state: PhaseState;
}

export interface PhaseHooks {
  readonly onEvent?: Listener | undefined;
  readonly signal?: StopSignal | undefined;
  /** Called at the end of every epoch, with its record. */
  epochEnd?(record: EpochRecord): Promise<void>;
  /** Called within an epoch at most every `saveEvery` seconds, and when interrupted. */
  save?(): Promise<void>;
}

const SAVE_EVERY_MS = 30_000;
const YIELD_EVERY_MS = 50;

function freshState(): PhaseState {
  return { epoch: 0, updates: 0, progress: freshProgress(), seconds: 0, best: null };
}

function freshProgress(): EpochProgress {
  return { step: 0, images: 0, lossSum: 0, metrics: {} };
}

export function startPhase(
  name: Phase['name'],
  round: number,
  model: Model,
  masks: Masks | undefined,
  training: TrainingConfig,
  state: PhaseState = freshState(),
): Phase {
  const optimizer = createOptimizer(model, training);
  optimizer.steps = state.updates;
  const best = new Map<string, Tensor>();
  for (const [full, t] of model.params) {
    best.set(full, keep(model.engine, t.shape));
    assign(best.get(full)!, t);
  }
  return { name, round, model, masks, optimizer, best, state };
}

/** Puts the best parameters into the model. */
export function takeBest({ model, best }: Phase): void {
  for (const [name, t] of model.params) assign(t, best.get(name)!);
}

/** Frees all tensors of a phase; its model too unless that is `keeping`. */
export function freePhase({ model, masks, best, optimizer }: Phase, keeping?: Model): void {
  for (const t of best.values()) t.free();
  freeOptimizer(optimizer);
  if (masks) freeMasks(masks);
  if (model !== keeping) freeModel(model);
}

/**
 * Trains to the end of the phase; false if `signal` stopped it before (the state was saved). With
 * masks it trains over the non-zeros, where that pays.
 */
export async function runPhase(
  phase: Phase,
  config: Pick<Config, 'seed' | 'objective' | 'data'>,
  training: TrainingConfig,
  data: TrainingData,
  hooks: PhaseHooks,
): Promise<boolean> {
  const patterns = phase.masks && maskPatterns(phase.masks);
  try {
    return await runEpochs({ ...phase, patterns }, config, training, data, hooks);
  } finally {
    for (const pattern of patterns?.values() ?? []) pattern.free();
  }
}

async function runEpochs(
  phase: Phase & { readonly patterns?: Patterns | undefined },
  config: Pick<Config, 'seed' | 'objective' | 'data'>,
  training: TrainingConfig,
  data: TrainingData,
  { onEvent, signal, epochEnd, save }: PhaseHooks,
): Promise<boolean> {
  const { model, state, optimizer, masks } = phase;
  const objective = lookup(objectives, config.objective.name, 'objective');
  const options = config.objective as PlugIn;
  const epochs = training.epochs;
  const perEpoch = Math.max(1, Math.floor(data.train.count / training.batch));
  const batchSize = Math.min(training.batch, data.train.count);
  const perEpochImages = perEpoch * batchSize;
  const title = phase.name === 'pretrain' ? 'pre-train' : `fine-tune ${phase.round}`;
  const done = (): number => state.epoch * perEpochImages + state.progress.images;
  const total = epochs * perEpochImages;
  onEvent?.({ type: 'phase', phase: phase.name, title, total, done: done() });
  const rateAt = (epoch: number): number =>
    learningRate(training.learningRate, training.schedule, epoch, epochs);
  while (state.epoch < epochs) {
    const { epoch } = state;
    // Draws of later phases must not repeat those of earlier ones.
    const seed = config.seed + 1_000_003 * phase.round;
    const order = epochBatches(data.train.count, batchSize, {
      seed,
      epoch,
      shuffle: true,
      dropLast: true,
    });
    const started = performance.now() - 1000 * state.seconds;
    const imagesBefore = state.progress.images;
    const resumedAt = performance.now();
    let [saved, yielded] = [resumedAt, resumedAt];
    const complete = await trainEpoch(
      {
        model,
        masks,
        patterns: phase.patterns,
        ties: phase.ties,
        optimizer,
        objective,
        options,
        seed,
        epoch,
        epochs,
        ramp: phase.name === 'pretrain',
        batches: perEpoch,
        batch: (at) => batchAt(data, order[at]!, config, seed, epoch),
        rate: rateAt,
        async after(progress) {
          if (masks) assertMasked(model, masks);
          const now = performance.now();
          state.seconds = (now - started) / 1000;
          state.updates = optimizer.steps;
          if (now - yielded < YIELD_EVERY_MS && !signal?.aborted) return false;
          yielded = now;
          await new Promise((resolve) => setImmediate(resolve));
          const rate = (1000 * (progress.images - imagesBefore)) / (now - resumedAt);
          const metrics = { ...progress.metrics, loss: progress.lossSum / progress.step };
          onEvent?.({ type: 'progress', done: done(), total, rate, unit: 'images', metrics });
          if (signal?.aborted) return true;
          if (now - saved > SAVE_EVERY_MS && save) {
            await save();
            saved = performance.now();
          }
          return false;
        },
      },
      state.progress,
    );
    if (!complete) {
      await save?.();
      return false;
    }
    const score = await heldOut(model, data, options, config.seed);
    const settled = phase.name === 'finetune' || objective.settled(epoch + 1, epochs, options);
    if (settled && (!state.best || better(score, state.best))) {
      state.best = score;
      for (const [name, t] of model.params) assign(phase.best.get(name)!, t);
    }
    const { progress } = state;
    const seconds = (performance.now() - started) / 1000;
    const record: EpochRecord = {
      event: 'epoch',
      phase: phase.name,
      round: phase.round,
      epoch: epoch + 1,
      overall: 0,
      loss: progress.lossSum / progress.step,
      learningRate: rateAt(epoch),
      metrics: progress.metrics,
      heldOut: score,
      seconds,
      imagesPerSecond: progress.images / seconds,
    };
    state.epoch++;
    state.progress = freshProgress();
    state.seconds = 0;
    await epochEnd?.(record);
    if (signal?.aborted && state.epoch < epochs) return false;
  }
  if (!state.best) for (const [name, t] of model.params) assign(phase.best.get(name)!, t);
  return true;
}

/** Robust accuracy first, benign accuracy among equals; later epochs win ties. */
function better(a: Score, b: Score): boolean {
  return a.robust > b.robust || (a.robust === b.robust && a.benign >= b.benign);
}

function batchAt(
  { set, train }: TrainingData,
  index: Int32Array,
  { data }: Pick<Config, 'data'>,
  seed: number,
  epoch: number,
): Batch {
  const images = new Float32Array(index.length * sizeOf(set.shape));
  const labels = new Int32Array(index.length);
  const { crop, flip } = data.augment;
  const augment: Augment | undefined =
    crop > 0 || flip ? { pad: crop, flip, seed, epoch } : undefined;
  fillBatch(train, set, index, images, augment);
  fillLabels(train, index, labels);
  return { images, labels, index };
}

/** Benign and robust accuracy on the held-out images, in the canonical form. */
async function heldOut(
  model: Model,
  { set, held }: TrainingData,
  options: PlugIn,
  seed: number,
): Promise<Score> {
  const objective = lookup(objectives, options.name, 'objective');
  const canonical = freezeSparsity(lower(model));
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
