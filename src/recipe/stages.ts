/**
 * A run's phases, one after the other (run-phases.ts). The checkpoint says in which one the run is and
 * holds everything needed to go on. A phase begins from weights of an earlier one; at its beginning the
 * strategy decides which of them go, and what is trained instead of them.
 */
import { fitted } from '../data/layout';
import { lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import type { Journal, JournalRecord } from '../io/journal';
import { loadModel, saveModel } from '../io/model';
import type { Network } from '../nn/graph';
import { createModel, freeModel, type Model, prunableNames } from '../nn/model';
import {
  denseModel,
  masksIn,
  modelFromParameters,
  parameterise,
  snapshot,
} from '../nn/training-model';
import { buildNetwork } from '../nn/zoo';
import type { Options } from '../options';
import { keptTotal } from '../prune/allocate';
import type { LossOracle } from '../prune/oracle';
import { decide, parameterMap } from '../prune/prune';
import { relativeSparsity } from '../prune/schedule';
import { strategies } from '../prune/strategies/registry';
import type { Strategy } from '../prune/strategy';
import type { EpochRecord } from '../report/types';
import type { Engine } from '../runtime/engine';
import { objectives } from '../train/objectives/registry';
import { type Checkpoint, loadCheckpoint, type RunState, saveCheckpoint } from './checkpoint';
import type { Config } from './config';
import { shuffledMasks, shuffledShape, spentIn, withLength } from './controls';
import { lossOracle } from './oracle';
import type { RunDir } from './run-dir';
import type { PhaseSpec } from './run-phases';
import { takeOver } from './take-over';
import { freePhase, type Phase, type PhaseHooks, runPhase, startPhase } from './training';
import type { TrainingData } from './training-data';

export interface CompressOptions {
  /** Opened by `openRun` and released by the caller. */
  readonly dir: RunDir;
  readonly engine: Engine;
  /** Directory of a run whose phases so far are the first ones of this run too: a new one begins with them. */
  readonly from?: string | undefined;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

export interface Run extends CompressOptions {
  readonly config: Config;
  readonly phases: readonly PhaseSpec[];
  readonly data: TrainingData;
  readonly journal: Journal;
}

export const isEpoch = (record: JournalRecord): record is EpochRecord => record.event === 'epoch';

/** Trains all phases before position `end` (default: every one), from the checkpoint on. */
export async function trainStages(run: Run, end = Number.POSITIVE_INFINITY): Promise<RunState> {
  const { dir, engine, journal, phases } = run;
  const loaded = await loadCheckpoint(engine, dir.paths.checkpoint, dir.hash, phases);
  if (loaded) run.onEvent?.({ type: 'note', text: 'Going on from the checkpoint.' });
  const taken = loaded ?? (run.from === undefined ? undefined : await takeOver(run, run.from));
  let at: Checkpoint | undefined = taken ?? (await begin(run));
  try {
    fitted(at.phase.model, run.data.set);
    const last = at.run.overall;
    await journal.truncateAfter((r) => isEpoch(r) && r.overall <= last);
    const stages = Math.min(end, phases.length);
    if (at.run.stage >= stages) return at.run;
    for (;;) {
      await trainStage(run, at);
      if (at.run.stage + 1 >= stages) return at.run;
      const spent = at.run.spent + spentIn(at.phase.spec, at.phase.model);
      const ended: Checkpoint = { run: { ...at.run, spent }, phase: at.phase };
      const stage = ended.run.stage + 1;
      const phase = await nextPhase(run, ended, phases[stage]!);
      freePhase(ended.phase);
      at = { run: { ...ended.run, stage }, phase };
      await saveCheckpoint(dir.paths.checkpoint, dir.hash, at);
    }
  } finally {
    if (at) freePhase(at.phase);
  }
}

async function begin(run: Run): Promise<Checkpoint> {
  const model = initialModel(run);
  await checkSparsity(run, model);
  const startedAt = new Date().toISOString();
  const weights = prunableWeights(model);
  const phase = startPhase(run.phases[0]!, parameterise(model));
  return { run: { stage: 0, overall: 0, seconds: 0, startedAt, spent: 0, weights }, phase };
}

/** The weights that pre-training, or a seed of its own, begins with: the same whenever they are asked for. */
function initialModel({ config, engine, data }: Run, seed = config.seed, smaller?: Network): Model {
  const { name, ...options } = config.network;
  const network = smaller ?? buildNetwork(name, options, data.set.shape, data.set.classes.length);
  const { init } = lookup(objectives, config.objective.name, 'objective');
  return createModel(engine, network, { seed, init });
}

/** Says that a sparsity is out of reach before the training. */
async function checkSparsity({ config }: Run, model: Model): Promise<void> {
  const { sparsity } = config.prune;
  const { entry, options } = strategyOf(config);
  const parts = prunableNames(model.graph).map((name) => {
    const { shape, size } = model.params.get(name)!;
    return { shape, cap: size };
  });
  if (entry.structured) await entry.decide({ model, sparsity, seed: config.seed }, options);
  else if (parts.length > 0) keptTotal(parts, sparsity);
}

function strategyOf({ prune }: Config): { entry: Strategy; name: string; options: Options } {
  const { name, ...options } = prune.strategy;
  return { entry: lookup(strategies, name, 'strategy'), name, options };
}

const prunableWeights = ({ graph, params }: Model): number =>
  prunableNames(graph).reduce((total, name) => total + params.get(name)!.size, 0);

/** One phase to its end; its best model is then in a file, if it is one of the run's results. */
async function trainStage(run: Run, at: Checkpoint): Promise<void> {
  const { config, dir, journal, data, onEvent, signal } = run;
  const { phase } = at;
  const before = at.run.seconds;
  const started = performance.now();
  const save = async (): Promise<void> => {
    at.run.seconds = before + (performance.now() - started) / 1000;
    await saveCheckpoint(dir.paths.checkpoint, dir.hash, at);
  };
  const complete = await runPhase(phase, config, data, {
    ...{ onEvent, signal, save, between: betweenOf(run, phase.spec) },
    async epochEnd(record) {
      at.run.overall++;
      await saveEarly(run, phase);
      const counted: EpochRecord = { ...record, overall: at.run.overall };
      await journal.append(counted);
      await save();
    },
  });
  if (!complete)
    throw new Interrupted(`Everything so far is in ${dir.dir}: run the same command to go on.`);
  if (phase.spec.name === 'prune') return;
  const path = phase.spec.name === 'pretrain' ? dir.paths.dense : dir.paths.pruned;
  await savedAs(path, run, modelFromParameters(run.engine, phase.model.graph.network, phase.best));
}

/** Keeps the weights of an epoch of pre-training that a later phase begins with. */
async function saveEarly(run: Run, phase: Phase): Promise<void> {
  const { epoch } = phase.state;
  const wanted = run.phases.some(({ start, decides }) => start === epoch || decides?.by === epoch);
  if (phase.spec.name !== 'pretrain' || !wanted) return;
  await savedAs(run.dir.paths.early(epoch), run, denseModel(phase.model));
}

async function savedAs(path: string, { config }: Run, model: Model): Promise<void> {
  await saveModel(path, model, { config });
  freeModel(model);
}

/** The seed of what phases draw, which no two of a run share. */
const drawSeed = ({ config }: Run, { draws }: PhaseSpec): number => config.seed + 1_000_003 * draws;

/** The weights of `start`, as a model of its own. */
async function weightsAt(
  run: Run,
  { model, best }: Phase,
  start: PhaseSpec['start'],
  spec: PhaseSpec,
): Promise<Model> {
  if (start === 'anew') return initialModel(run, drawSeed(run, spec), model.graph.network);
  if (start === 'dense') {
    const dense = await loadModel(run.engine, run.dir.paths.dense);
    const other = shuffledShape(dense, model.graph, drawSeed(run, spec));
    if (other) freeModel(dense);
    return other ?? dense;
  }
  if (start === 'best') return modelFromParameters(run.engine, model.graph.network, best);
  if (start === 'last') return denseModel(model);
  if (start === 'initial' || start === 0) return initialModel(run);
  return loadModel(run.engine, run.dir.paths.early(start));
}

/** The phase that follows one that has ended; the strategy decides where it has to. */
async function nextPhase(run: Run, ended: Checkpoint, spec: PhaseSpec): Promise<Phase> {
  const { decides, start } = spec;
  const { model: before, best } = ended.phase;
  const found = masksIn(start === 'last' ? snapshot(before) : best);
  const masks = spec.masks === 'kept' ? found : shuffledMasks(found, drawSeed(run, spec));
  const weights = await weightsAt(run, ended.phase, start, spec);
  if (!decides) {
    const model = parameterise(weights, parameterMap(weights, masks));
    return startPhase(withLength(spec, ended.run.spent, model), model);
  }
  const { entry, name, options } = strategyOf(run.config);
  const title = `prune ${name} to ${(100 * decides.sparsity).toFixed(1)} % zeros`;
  run.onEvent?.({ type: 'phase', phase: 'prune', title, total: 1, done: 0 });
  const judged =
    decides.by === start ? weights : await weightsAt(run, ended.phase, decides.by, spec);
  const { model, decision } = await decide(judged, entry, options, {
    sparsity: relativeSparsity(decides.sparsity, ended.run.weights, prunableWeights(judged)),
    seed: run.config.seed,
    oracle: oracleFor(run, spec),
    ...(masks.size > 0 && { previous: masks }),
  });
  // A structured decision makes a new model of the weights that it was taken by.
  const chosen = model === judged ? weights : model;
  for (const other of new Set([judged, weights])) if (other !== chosen) freeModel(other);
  return startPhase(spec, parameterise(chosen, parameterMap(chosen, decision)));
}

const oracleFor = ({ config, data }: Run, { objective, training }: PhaseSpec): LossOracle =>
  lossOracle({ objective, data, seed: config.seed, batch: training.batch });

/** What the strategy does between batches of a phase. */
function betweenOf(run: Run, spec: PhaseSpec): PhaseHooks['between'] {
  const { between: when } = spec;
  const { entry, options } = strategyOf(run.config);
  if (!when || !entry.between) return undefined;
  const oracle = oracleFor(run, spec);
  return async ({ model, optimizer, memory }, steps, rate) => {
    const step = optimizer.steps;
    if (step % when.every !== 0) return undefined;
    const { seed } = run.config;
    const { sparsity } = when;
    return entry.between!(
      { model, sparsity, seed, step, steps, rate, oracle, memory },
      options as never,
    );
  };
}
