/**
 * One phase of training: epochs with a schedule, held-out accuracy after each, the best parameters
 * kept aside, and a state that can be saved after any batch and taken up again with identical
 * results.
 */
import { epochBatches } from '../data/batches';
import { lookup } from '../errors';
import type { Listener, StopSignal } from '../events';
import { freeModel, type Model, modelFrom } from '../nn/model';
import {
  freeTraining,
  leavesOf,
  masksIn,
  modelFromParameters,
  type ParameterMap,
  parameterise,
  snapshot,
  type TrainingModel,
  trainingModelFrom,
} from '../nn/training-model';
import type { PlugIn } from '../options';
import { countMasked } from '../prune/mask';
import type { EpochRecord } from '../report/types';
import { assign } from '../tensor/tensor';
import { averageSnapshot, moveAverages, startAverages, swaCount } from '../train/averages';
import { type EpochJob, type EpochProgress, trainEpoch } from '../train/loop';
import { objectives } from '../train/objectives/registry';
import { createOptimizer, freeOptimizer, type Optimizer } from '../train/optimizers';
import { replaceParameters } from '../train/replace';
import { learningRate, standstills } from '../train/schedules';
import { keepsStatistics, resetStatistics } from '../train/statistics';
import type { Config } from './config';
import { asked } from './networks';
import type { PhaseSpec } from './phase-spec';
import { batchAt, better, heldOut, type Score, type TrainingData } from './training-data';

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
  /** Of every epoch so far; null where difficulty or sparsity were not yet those of the end. */
  scores: (Score | null)[];
}

export interface Phase {
  readonly spec: PhaseSpec;
  readonly model: TrainingModel;
  readonly optimizer: Optimizer;
  /** Parameters of the best epoch so far. */
  best: ParameterMap;
  readonly state: PhaseState;
  /** Arrays that the strategy keeps from one call of `betweenBatches` to the next. */
  readonly strategyState: Map<string, Float32Array>;
  /** Of the objective, from update to update. */
  readonly kept: Map<string, Float32Array>;
}

export interface PhaseHooks {
  readonly onEvent?: Listener | undefined;
  readonly signal?: StopSignal | undefined;
  /**
   * Called after every batch with all updates of the phase and the rate of the last one; gives the
   * parameters whose masks change.
   */
  readonly betweenBatches?:
    | ((phase: Phase, steps: number, learningRate: number) => Promise<ParameterMap | undefined>)
    | undefined;
  /** Called at the end of every epoch, with its record. */
  epochEnd?(record: EpochRecord): Promise<void>;
  /** Called within an epoch at most every `saveEvery` seconds, and when interrupted. */
  save?(): Promise<void>;
}

const SAVE_EVERY_MS = 30_000;
const YIELD_EVERY_MS = 50;

function freshState(): PhaseState {
  return { epoch: 0, updates: 0, progress: freshProgress(), seconds: 0, best: null, scores: [] };
}

function freshProgress(): EpochProgress {
  return { step: 0, images: 0, lossSum: 0, metrics: {} };
}

/** A phase that begins with `model`, which it takes over. */
export function startPhase(
  spec: PhaseSpec,
  model: TrainingModel,
  state: PhaseState = freshState(),
): Phase {
  const optimizer = createOptimizer(leavesOf(model, spec.trained), spec.training);
  optimizer.steps = state.updates;
  if (spec.training.average.name !== 'none') startAverages(model, optimizer);
  const [strategyState, kept] = [new Map(), new Map()];
  return { spec, model, optimizer, best: snapshot(model), state, strategyState, kept };
}

/** Frees all tensors of a phase, its model's too. */
export function freePhase({ model, optimizer }: Phase): void {
  freeOptimizer(optimizer);
  freeTraining(model);
}

/** Trains a model whose parameters are given by `how`; where it is stopped before its end, it is unchanged. */
export async function trainInPlace(
  model: Model,
  spec: PhaseSpec,
  how: ParameterMap,
  ...[config, data, hooks]: [RunConfig, TrainingData, PhaseHooks]
): Promise<boolean> {
  const { engine, graph, params } = model;
  const { network } = graph;
  const copy = modelFrom(engine, network, (name) => params.get(name)!.read());
  const phase = startPhase(spec, parameterise(copy, how));
  try {
    if (!(await runPhase(phase, config, data, hooks))) return false;
    const best = modelFromParameters(engine, network, phase.best);
    for (const [name, t] of best.params) assign(params.get(name)!, t);
    freeModel(best);
    return true;
  } finally {
    freePhase(phase);
  }
}

type RunConfig = Pick<Config, 'seed' | 'data'>;

/** What stays the same over the epochs of a phase. */
interface Work {
  readonly phase: Phase;
  readonly config: RunConfig;
  readonly data: TrainingData;
  readonly hooks: PhaseHooks;
  readonly batchSize: number;
  readonly perEpoch: number;
  /** Images trained on so far, and in all. */
  done(): number;
  readonly total: number;
  rate(epoch: number): number;
}

/** Trains to the end of the phase; false if `signal` stopped it before (the state was saved). */
export async function runPhase(
  phase: Phase,
  config: RunConfig,
  data: TrainingData,
  hooks: PhaseHooks,
): Promise<boolean> {
  const { state, spec } = phase;
  const { onEvent, signal, save } = hooks;
  const work = workOf(phase, config, data, hooks);
  const { done, total } = work;
  onEvent?.({
    type: 'phase',
    phase: spec.name,
    title: TITLES[spec.name](spec),
    total,
    done: done(),
  });
  await scoreStart(work);
  while (!isOver(phase)) {
    const started = performance.now() - 1000 * state.seconds;
    const complete = await trainEpoch(epochJob(work, started), state.progress);
    if (!complete) {
      await save?.();
      return false;
    }
    await endEpoch(work, started);
    if (signal?.aborted && !isOver(phase)) return false;
  }
  if (!state.best) phase.best = snapshot(phase.model);
  return true;
}

/**
 * Scores the weights that a phase begins with as its epoch 0, so that training which makes all of them worse
 * changes nothing; not where the objective's difficulty grows or zeros are still to come.
 */
async function scoreStart({ phase, config, data }: Work): Promise<void> {
  const { model, state, spec } = phase;
  const isFresh = state.epoch === 0 && state.progress.step === 0;
  if (!isFresh || spec.ramp || spec.betweenBatches || spec.training.epochs === 0) return;
  state.best = await scoreOf(phase, undefined, data, config.seed);
  phase.best = snapshot(model);
}

/** Whether a phase has had its epochs, or so many in a row brought nothing better that it ends early. */
export function isOver({ state, spec }: Pick<Phase, 'state' | 'spec'>): boolean {
  const { epochs, earlyStop } = spec.training;
  const stale = earlyStop !== null && standstills(state.scores, earlyStop, better) > 0;
  return stale || state.epoch >= epochs;
}

/** Titles of phases in events. */
export const TITLES: Readonly<Record<PhaseSpec['name'], (spec: PhaseSpec) => string>> = {
  pretrain: () => 'pre-train',
  prune: ({ round }) => `prune by training ${round}`,
  finetune: ({ round }) => `fine-tune ${round}`,
  control: () => 'train the control',
};

function workOf(phase: Phase, config: RunConfig, data: TrainingData, hooks: PhaseHooks): Work {
  const { state, spec } = phase;
  const { epochs, batch, learningRate: base, schedule } = spec.training;
  const perEpoch = Math.max(1, Math.floor(data.train.count / batch)) * replaysOf(spec.objective);
  const batchSize = Math.min(batch, data.train.count);
  const images = perEpoch * batchSize;
  return {
    ...{ phase, config, data, hooks, batchSize, perEpoch },
    done: () => state.epoch * images + state.progress.images,
    total: epochs * images,
    rate(epoch) {
      const falls = standstills(state.scores, schedule.patience, better);
      return learningRate(base, schedule, epoch, epochs, falls);
    },
  };
}

/** How often in a row every batch is used. */
export function replaysOf({ name, ...options }: PlugIn): number {
  return lookup(objectives, name, 'objective').replays?.(options) ?? 1;
}

function epochJob(work: Work, started: number): EpochJob {
  const { phase, config, data, batchSize, perEpoch, rate } = work;
  const { model, optimizer, state, spec } = phase;
  const { epoch } = state;
  // Draws of later phases must not repeat those of earlier ones.
  const seed = config.seed + 1_000_003 * spec.seedOffset;
  const shuffle = { seed, epoch, shuffle: true, dropLast: true };
  const order = epochBatches(data.train.count, batchSize, shuffle);
  const { crop, flip, cutout } = config.data.augment;
  const moved = crop > 0 || flip || cutout > 0;
  const augment = moved ? { pad: crop, flip, cutout, seed, epoch } : undefined;
  const replays = replaysOf(spec.objective);
  const { average } = spec.training;
  const { name, ...options } = spec.objective;
  return {
    ...{ model, optimizer, options, seed, epoch, rate },
    ...asked(spec.objective, spec.training, data),
    objective: lookup(objectives, name, 'objective'),
    epochs: spec.training.epochs,
    ramp: spec.ramp,
    memory: phase.kept,
    ema: average.name === 'ema' ? average.decay : undefined,
    batches: perEpoch,
    batch: (at) => batchAt(data, order[Math.floor(at / replays)]!, augment),
    after: afterBatch(work, started),
  };
}

/** What is done after every batch; its result says whether to stop. */
function afterBatch({ phase, hooks, perEpoch, ...work }: Work, started: number): EpochJob['after'] {
  const { state, model, optimizer, spec } = phase;
  const { onEvent, signal, save, betweenBatches } = hooks;
  const imagesBefore = state.progress.images;
  const resumedAt = performance.now();
  let [saved, yielded] = [resumedAt, resumedAt];
  return async (progress) => {
    state.updates = optimizer.steps;
    const last = work.rate(state.epoch + (progress.step - 1) / perEpoch);
    const changes = await betweenBatches?.(phase, perEpoch * spec.training.epochs, last);
    if (changes) replaceParameters(model, optimizer, spec.trained, changes);
    const now = performance.now();
    state.seconds = (now - started) / 1000;
    if (now - yielded < YIELD_EVERY_MS && !signal?.aborted) return false;
    yielded = now;
    await new Promise((resolve) => setImmediate(resolve));
    const rate = (1000 * (progress.images - imagesBefore)) / (now - resumedAt);
    const metrics = { ...progress.metrics, loss: progress.lossSum / progress.step };
    const { total } = work;
    onEvent?.({ type: 'progress', done: work.done(), total, rate, unit: 'images', metrics });
    if (signal?.aborted) return true;
    if (now - saved > SAVE_EVERY_MS && save) {
      await save();
      saved = performance.now();
    }
    return false;
  };
}

/**
 * Sets the batch-norm statistics of the parameters that are judged, the averaged ones or the model's own, to those
 * of the whole training set, not augmented, where the phase asks for it.
 */
async function withStatistics(
  { phase, config, data, batchSize }: Work,
  averaged: ParameterMap | undefined,
): Promise<ParameterMap | undefined> {
  const { model, spec } = phase;
  if (spec.training.statistics !== 'population' || !keepsStatistics(model)) return averaged;
  const { engine, graph } = model;
  const judged = averaged ? trainingModelFrom(engine, graph.network, averaged) : model;
  const { seed } = config;
  const shuffle = { seed, epoch: 0, shuffle: true, dropLast: false };
  const order = epochBatches(data.train.count, batchSize, shuffle);
  try {
    await resetStatistics(judged, {
      ...{ batches: order.length, seed, batch: (at) => batchAt(data, order[at]!) },
      pause: () => new Promise((resolve) => setImmediate(resolve)),
    });
    return averaged && snapshot(judged);
  } finally {
    if (judged !== model) freeTraining(judged);
  }
}

/** Judges an epoch by the held-out images, keeps the best parameters and tells the record. */
async function endEpoch(work: Work, started: number): Promise<void> {
  const { phase, config, data, hooks, rate } = work;
  const { model, state, spec } = phase;
  const { epoch, progress } = state;
  const { name, ...options } = spec.objective;
  const objective = lookup(objectives, name, 'objective');
  const judged = await withStatistics(work, averagedAt(phase, epoch));
  const score = await scoreOf(phase, judged, data, config.seed);
  const { epochs } = spec.training;
  const hard = !spec.ramp || objective.atFullDifficulty(epoch + 1, epochs, options);
  const counts = hard && (!spec.betweenBatches || isPruned(model, spec.betweenBatches.sparsity));
  if (counts && (!state.best || better(score, state.best))) {
    state.best = score;
    phase.best = judged ?? snapshot(model);
  }
  const back = takenBack(phase, score, objective.collapse?.(options) ?? null);
  if (back) hooks.onEvent?.({ type: 'note', text: back });
  const seconds = (performance.now() - started) / 1000;
  const record: EpochRecord = {
    event: 'epoch',
    phase: spec.name,
    round: spec.round,
    epoch: epoch + 1,
    overall: 0,
    loss: progress.lossSum / progress.step,
    learningRate: rate(epoch),
    metrics: { ...progress.metrics, ...(back && { collapsed: 1 }) },
    heldOut: score,
    seconds,
    imagesPerSecond: progress.images / seconds,
  };
  state.scores.push(counts ? score : null);
  state.epoch++;
  state.progress = freshProgress();
  state.seconds = 0;
  await hooks.epochEnd?.(record);
}

/** The averaged parameters at the end of an epoch (0-based); undefined where there are none, or not yet. */
function averagedAt({ model, optimizer, spec }: Phase, epoch: number): ParameterMap | undefined {
  const { average, epochs } = spec.training;
  if (average.name === 'none') return undefined;
  if (average.name === 'swa') {
    const count = swaCount(average.start, epoch, epochs);
    if (count < 1) return undefined;
    moveAverages(model, optimizer, 1 / count);
  }
  return averageSnapshot(model, optimizer);
}

/** Held-out accuracies of the given parameters, or of the model as it is. */
async function scoreOf(
  { model, spec }: Phase,
  parameters: ParameterMap | undefined,
  data: TrainingData,
  seed: number,
): Promise<Score> {
  if (!parameters) return heldOut(model, data, spec.objective, seed);
  const averaged = trainingModelFrom(model.engine, model.graph.network, parameters);
  return heldOut(averaged, data, spec.objective, seed).finally(() => freeTraining(averaged));
}

/**
 * Takes training back to the best parameters so far, without moments, where robust accuracy has fallen by more than
 * `most` below theirs; says so in words. The draws of later epochs are others, so that it does not repeat itself.
 */
function takenBack(phase: Phase, score: Score, most: number | null): string | undefined {
  const { state, model, optimizer, spec, best, kept } = phase;
  if (most === null || !state.best || score.robust >= state.best.robust - most) return undefined;
  replaceParameters(model, optimizer, spec.trained, best);
  for (const moment of optimizer.moments.values()) moment.write(new Float32Array(moment.size));
  if (spec.training.average.name !== 'none') startAverages(model, optimizer);
  kept.clear();
  const [from, to] = [state.best.robust, score.robust].map((share) => (100 * share).toFixed(1));
  return `Training collapsed in epoch ${state.epoch + 1}: robust accuracy on held-out images fell from ${from} % to ${to} %. The best weights so far are back.`;
}

/** Whether so large a share of the prunable weights is gone, to the nearest one. */
function isPruned(model: TrainingModel, sparsity: number): boolean {
  const { zeros, total } = countMasked(model.graph, masksIn(snapshot(model)));
  return zeros >= Math.round(sparsity * total);
}
