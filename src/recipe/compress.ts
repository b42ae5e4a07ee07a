/**
 * The recipe (Sehwag et al. 2019): pre-train, prune, fine-tune, evaluate, each with the objective of
 * the network that is wanted in the end; the pruning strategy knows nothing of it.
 *
 * A run is a sequence of stages: 0 is pre-training, stage r prunes to the r-th sparsity of the
 * schedule and fine-tunes. The checkpoint says in which stage the run is and holds everything needed
 * to go on; a stage begins from the best parameters of the one before.
 */

import { holdout } from '../data/holdout';
import { fitted } from '../data/layout';
import { datasets } from '../data/registry';
import { lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { kindOf, writeAtomic } from '../io/files';
import { Journal, type JournalRecord } from '../io/journal';
import { loadModel, saveModel } from '../io/model';
import { createModel, freeModel, type Model, prunableNames } from '../nn/model';
import { buildNetwork } from '../nn/zoo';
import { freeMasks } from '../prune/mask';
import { type Pruned, prune } from '../prune/prune';
import { relativeSparsity, sparsityAfter } from '../prune/schedule';
import { strategies } from '../prune/strategies/registry';
import { renderReport } from '../report/html';
import type { EpochRecord, Summary } from '../report/types';
import type { Engine } from '../runtime/engine';
import { objectives } from '../train/objectives/registry';
import { type Checkpoint, loadCheckpoint, type RunState, saveCheckpoint } from './checkpoint';
import { type Config, evaluationEps } from './config';
import type { RunDir } from './run-dir';
import { exhibits, histograms, summarise } from './summary';
import { parseSummary } from './summary-file';
import {
  freePhase,
  type Phase,
  runPhase,
  startPhase,
  type TrainingData,
  takeBest,
} from './training';

export interface CompressOptions {
  /** Opened by `openRun` and released by the caller. */
  readonly dir: RunDir;
  readonly engine: Engine;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

interface Run extends CompressOptions {
  readonly config: Config;
  readonly data: TrainingData;
  readonly journal: Journal;
}

/**
 * Runs or resumes a whole run; its directory then holds models, journal, summary and report. A report
 * that cannot be made is a fault that is told; the run is finished without it, and makes it next time.
 */
export async function compress(config: Config, options: CompressOptions): Promise<Summary> {
  const { dir, onEvent } = options;
  const finished = await readSummary(dir);
  if (finished && (await kindOf(dir.paths.report)) === 'file') {
    onEvent?.({ type: 'note', text: `${dir.dir} holds this run, finished: showing its result.` });
    return finished;
  }
  const run = await open(config, options);
  try {
    const state = await train(run);
    return await judge(run, state, finished);
  } finally {
    await run.journal.close();
  }
}

/** Pre-trains alone; leaves `dense.safetensors` and a checkpoint from which `compress` goes on. */
export async function pretrain(config: Config, options: CompressOptions): Promise<void> {
  const run = await open(config, options);
  try {
    await train(run, 1);
  } finally {
    await run.journal.close();
  }
}

async function open(config: Config, options: CompressOptions): Promise<Run> {
  const { name, path, heldOut } = config.data;
  const { onEvent } = options;
  onEvent?.({ type: 'phase', phase: 'data', title: `read ${name}`, total: 1, done: 0 });
  const set = await lookup(datasets, name, 'data').load(path === null ? {} : { path });
  const count = heldOut ?? Math.round(set.train.count / 12);
  const { train, held } = holdout(set.train, set.shape, count, config.seed);
  const journal = await Journal.open(options.dir.paths.journal);
  return { ...options, config, data: { set, train, held }, journal };
}

/** All stages before `end` (default: every one). */
async function train(run: Run, end = Number.POSITIVE_INFINITY): Promise<RunState> {
  const { config, dir, engine, journal } = run;
  const loaded = await loadCheckpoint(engine, dir.paths.checkpoint, dir.hash, (name) =>
    name === 'pretrain' ? config.pretrain : config.finetune,
  );
  if (loaded) run.onEvent?.({ type: 'note', text: 'Going on from the checkpoint.' });
  let at: Checkpoint | undefined = loaded ?? begin(run);
  try {
    fitted(at.phase.model, run.data.set);
    const last = at.run.overall;
    await journal.truncateAfter((r) => isEpoch(r) && r.overall <= last);
    const stages = Math.min(end, 1 + config.prune.rounds);
    if (at.run.stage >= stages) return at.run;
    for (;;) {
      await trainStage(run, at);
      if (at.run.stage + 1 >= stages) return at.run;
      const ended: Checkpoint = at;
      const { model, masks } = pruneNext(run, ended);
      at = undefined;
      freePhase(ended.phase, model);
      const stage = ended.run.stage + 1;
      const phase = startPhase('finetune', stage, model, masks, config.finetune);
      at = { run: { ...ended.run, stage }, phase };
      await saveCheckpoint(dir.paths.checkpoint, dir.hash, at);
    }
  } finally {
    if (at) freePhase(at.phase);
  }
}

function begin(run: Run): Checkpoint {
  const { config, engine, data } = run;
  const { name, ...options } = config.network;
  const network = buildNetwork(name, options, data.set.shape, data.set.classes.length);
  const { init } = lookup(objectives, config.objective.name, 'objective');
  const model = createModel(engine, network, { seed: config.seed, init });
  checkSparsity(run, model);
  const phase = startPhase('pretrain', 0, model, undefined, config.pretrain);
  const startedAt = new Date().toISOString();
  const weights = prunableWeights(model);
  return { run: { stage: 0, overall: 0, seconds: 0, startedAt, weights }, phase };
}

/** The phase of one stage to its end; its best model is then in a file and in `at.phase.best`. */
async function trainStage(run: Run, at: Checkpoint): Promise<void> {
  const { config, dir, journal, data, onEvent, signal } = run;
  const { phase } = at;
  const before = at.run.seconds;
  const started = performance.now();
  const save = async (): Promise<void> => {
    at.run.seconds = before + (performance.now() - started) / 1000;
    await saveCheckpoint(dir.paths.checkpoint, dir.hash, at);
  };
  const training = phase.name === 'pretrain' ? config.pretrain : config.finetune;
  const complete = await runPhase(phase, config, training, data, {
    onEvent,
    signal,
    save,
    async epochEnd(record) {
      at.run.overall++;
      const counted: EpochRecord = { ...record, overall: at.run.overall };
      await journal.append(counted);
      await save();
    },
  });
  if (!complete)
    throw new Interrupted(`Everything so far is in ${dir.dir}: run the same command to go on.`);
  await saveBest(run, phase);
}

/** Writes the phase's best parameters as the dense or the pruned model. */
async function saveBest({ config, dir }: Run, phase: Phase): Promise<void> {
  const path = phase.name === 'pretrain' ? dir.paths.dense : dir.paths.pruned;
  await saveModel(path, { ...phase.model, params: phase.best }, { config });
}

/** Prunes the best model of the stage that ended. */
function pruneNext({ config, onEvent }: Run, { run, phase }: Checkpoint): Pruned {
  const { sparsity, rounds, strategy } = config.prune;
  const { name, ...options } = strategy;
  takeBest(phase);
  const target = sparsityAfter(run.stage + 1, rounds, sparsity);
  const title = `prune ${name} to ${(100 * target).toFixed(1)} % zeros`;
  onEvent?.({ type: 'phase', phase: 'prune', title, total: 1, done: 0 });
  return prune(phase.model, lookup(strategies, name, 'strategy'), options, {
    sparsity: relativeSparsity(target, run.weights, prunableWeights(phase.model)),
    seed: config.seed,
    ...(phase.masks ? { previous: phase.masks } : {}),
  });
}

/** Asks for the last masks once, so that a sparsity out of reach is said before the training. */
function checkSparsity({ config }: Run, model: Model): void {
  const { name, ...options } = config.prune.strategy;
  const { sparsity } = config.prune;
  const chosen = lookup(strategies, name, 'strategy');
  freeMasks(chosen.masks({ model, sparsity, seed: config.seed }, options));
}

function prunableWeights({ graph, params }: Model): number {
  return prunableNames(graph).reduce((total, name) => total + params.get(name)!.size, 0);
}

function isEpoch(record: JournalRecord): record is EpochRecord {
  return record.event === 'epoch';
}

/** Evaluates the two models of a trained run, unless that is done, and writes summary and report. */
async function judge(run: Run, state: RunState, finished: Summary | undefined): Promise<Summary> {
  const { config, dir, engine, data } = run;
  const models: Model[] = [];
  try {
    const dense = await loadModel(engine, dir.paths.dense);
    models.push(dense);
    const pruned = await loadModel(engine, dir.paths.pruned);
    models.push(pruned);
    const resolved = { ...config.evaluate, eps: evaluationEps(config) };
    const job = { config: { ...config, evaluate: resolved }, data, dense, pruned, state };
    const summary = finished ?? (await summarise(engine, dir, job, run));
    if (!finished) await writeAtomic(dir.paths.summary, `${JSON.stringify(summary, null, 2)}\n`);
    await report(run, summary, dense, pruned, resolved);
    return summary;
  } finally {
    for (const model of models) freeModel(model);
  }
}

async function report(
  { config, dir, data, journal, onEvent }: Run,
  summary: Summary,
  dense: Model,
  pruned: Model,
  evaluation: Config['evaluate'],
): Promise<void> {
  onEvent?.({ type: 'phase', phase: 'report', title: 'report', total: 1, done: 0 });
  try {
    const html = await renderReport({
      summary,
      epochs: journal.records.filter(isEpoch),
      histograms: histograms(dense, pruned),
      exhibits: exhibits(pruned, data.set, evaluation, config.seed),
    });
    await writeAtomic(dir.paths.report, html);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const text = `${dir.paths.report}: expected to make the report, got: ${why} The run is finished: ${dir.paths.summary} holds its result.`;
    onEvent?.({ type: 'fault', text });
  }
}

/** The summary of a finished run; anything else in its place is made again. */
async function readSummary({ paths }: RunDir): Promise<Summary | undefined> {
  const { readFile } = await import('node:fs/promises');
  try {
    return parseSummary(await readFile(paths.summary, 'utf8'));
  } catch {
    return undefined;
  }
}
