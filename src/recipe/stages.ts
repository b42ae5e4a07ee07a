/**
 * A run's phases, one after the other (run-phases.ts). The checkpoint says in which one the run is and
 * holds everything needed to go on. A phase begins from weights of an earlier one; at its beginning the
 * strategy decides which of them go, and what is trained instead of them.
 */
import { fitted } from '../data/layout';
import { expect, lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import type { Journal, JournalRecord } from '../io/journal';
import { loadModel, saveModel } from '../io/model';
import type { Graph, Network } from '../nn/graph';
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
import { countMasked } from '../prune/mask';
import type { LossOracle } from '../prune/oracle';
import { decide, parameterMap } from '../prune/prune';
import { relativeSparsity, sparsityAfter } from '../prune/schedule';
import { prunableParts } from '../prune/select';
import { shuffledShape } from '../prune/shuffle';
import { strategies } from '../prune/strategies/registry';
import type { Masks, Strategy } from '../prune/strategy';
import type { EpochRecord } from '../report/types';
import type { Engine } from '../runtime/engine';
import { permutation, STREAMS } from '../tensor/philox';
import { objectives } from '../train/objectives/registry';
import {
  type Checkpoint,
  loadCheckpoint,
  ofEqualOperations,
  operationsOf,
  type RunState,
  saveCheckpoint,
} from './checkpoint';
import type { Config } from './config';
import { lineage } from './controls';
import { withNetworks } from './networks';
import { lossOracle } from './oracle';
import type { AnyStart, PhaseSpec } from './phase-spec';
import type { RunDir } from './run-dir';
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
  const { engine, config, phases } = run;
  const asking = { objective: config.objective, training: phases.map(({ training }) => training) };
  return withNetworks(engine, asking, run.data, (data) => trainUntil({ ...run, data }, end));
}

async function trainUntil(run: Run, end: number): Promise<RunState> {
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
      const ended: Checkpoint = at;
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
  await checkGoal(run, model);
  const startedAt = new Date().toISOString();
  const weights = prunableWeights(model);
  const phase = startPhase(run.phases[0]!, parameterise(model));
  return { run: { stage: 0, overall: 0, seconds: 0, startedAt, operations: 0, weights }, phase };
}

/** The weights that pre-training begins with: the same whenever they are asked for. */
function initialModel({ config, engine, data }: Run): Model {
  const { name, ...options } = config.network;
  const network = buildNetwork(name, options, data.set.shape, data.set.classes.length);
  const { init } = lookup(objectives, config.objective.name, 'objective');
  return createModel(engine, network, { seed: config.seed, init });
}

/** Says before the training that a strategy lacks something, or that a sparsity is out of reach. */
async function checkGoal({ config }: Run, model: Model): Promise<void> {
  const { sparsity } = config.prune;
  const { entry, name, options } = strategyOf(config);
  const trained = config.pretrain.epochs > 0 || !entry.needs?.includes('training');
  expect(trained, `prune.strategy ${name}`, 'a trained network to judge', 'pretrain.epochs 0');
  const context = { model, sparsity, seed: config.seed };
  const parts = prunableParts(model, undefined);
  if (entry.structured) await entry.decide(context, options);
  else if (parts.length > 0) keptTotal(parts, sparsity);
  entry.check?.(context, options as never);
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
    ...{ onEvent, signal, save, betweenBatches: betweenBatchesOf(run, phase, at.run.weights) },
    async epochEnd(record) {
      at.run.overall++;
      if (isAncestor(run, at.run.stage)) at.run.operations += operationsOf(phase.model);
      await saveEarly(run, phase);
      const counted: EpochRecord = { ...record, overall: at.run.overall };
      await journal.append(counted);
      await save();
    },
  });
  if (!complete)
    throw new Interrupted(`Everything so far is in ${dir.dir}: run the same command to go on.`);
  const { name } = phase.spec;
  if (name === 'finetune') checkPruned(phase, config);
  if (name === 'prune') return;
  const path = name === 'pretrain' ? dir.paths.dense : dir.paths.pruned;
  await savedAs(path, run, modelFromParameters(run.engine, phase.model.graph.network, phase.best));
}

/** Whether the pruned network comes from the phase at a position, which then is no control. */
function isAncestor({ phases }: Run, stage: number): boolean {
  const own = phases.filter(({ name }) => name !== 'control');
  return stage < own.length && lineage(own).includes(own[stage]!);
}

/** Says that the phases of a round, some of which prune as they train, were too short for it. */
function checkPruned({ spec, best, model }: Phase, config: Config): void {
  const { entry, name } = strategyOf(config);
  if (entry.structured) return;
  const { sparsity, rounds } = config.prune;
  const { zeros, total } = countMasked(model.graph, masksIn(best));
  const goal = Math.round(
    sparsityAfter(spec.round, rounds, sparsity, entry.sparsitySchedule) * total,
  );
  const hint = 'Give the phases that prune more epochs.';
  const who = `prune.strategy ${name}`;
  expect(zeros >= goal, who, `${goal} weights to go while training`, zeros, hint);
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

/** The weights of `start`, as a model of its own. */
async function weightsAt(
  run: Run,
  { model, best }: Phase,
  start: AnyStart,
  { seedOffset, masks }: PhaseSpec,
): Promise<Model> {
  const seed = drawSeed(run, seedOffset);
  if (start === 'best') return modelFromParameters(run.engine, model.graph.network, best);
  if (start === 'last') return denseModel(model);
  if (start === 'initial' || start === 0) return initialModel(run);
  if (start === 'fresh') return freshModel(run, model.graph.network, seed);
  if (start === 'dense') {
    const dense = await loadModel(run.engine, run.dir.paths.dense);
    return masks === 'shuffled' ? inShape(dense, model.graph, seed) : dense;
  }
  return loadModel(run.engine, run.dir.paths.early(start));
}

/** The seed of what a phase draws, which none of another phase or run is near. */
const drawSeed = ({ config }: Run, seedOffset: number): number =>
  config.seed + 1_000_003 * seedOffset;

/** The dense network, which it frees, without filters drawn by lot, as many as the given shape lacks. */
function inShape(dense: Model, shape: Graph, seed: number): Model {
  const smaller = shuffledShape(dense, shape, seed);
  if (smaller) freeModel(dense);
  return smaller ?? dense;
}

/** A network of the given shape with other weights than those that a run began with. */
function freshModel({ config, engine }: Run, network: Network, seed: number): Model {
  const { init } = lookup(objectives, config.objective.name, 'objective');
  return createModel(engine, network, { seed, init });
}

/** The masks that a phase begins with; shuffled ones keep the count of each layer. */
function keptMasks({ config }: Run, { masks: kind }: PhaseSpec, masks: Masks): Masks {
  if (kind === 'same') return masks;
  if (kind === 'none') return new Map();
  return new Map(
    Array.from(masks, ([name, mask], i) => {
      const order = permutation(config.seed, STREAMS.prune, SHUFFLE + i, mask.length);
      return [name, mask.map((_, place) => mask[order[place]!]!)];
    }),
  );
}

/** Draws of controls, apart from those of strategies. */
const SHUFFLE = 2 ** 40;

/** The phase that follows one that has ended; the strategy decides where it has to. */
async function nextPhase(run: Run, ended: Checkpoint, spec: PhaseSpec): Promise<Phase> {
  const { decides, start } = spec;
  const { model: before, best } = ended.phase;
  const masks = keptMasks(run, spec, masksIn(start === 'last' ? snapshot(before) : best));
  const weights = await weightsAt(run, ended.phase, start, spec);
  if (!decides) {
    const model = parameterise(weights, parameterMap(weights, masks));
    return startPhase(ofEqualOperations(spec, ended.run, model), model);
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
    state: ended.phase.strategyState,
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
function betweenBatchesOf(
  run: Run,
  { spec, model: { graph } }: Phase,
  weights: number,
): PhaseHooks['betweenBatches'] {
  const { betweenBatches: when } = spec;
  const { entry, options } = strategyOf(run.config);
  if (!when || !entry.betweenBatches) return undefined;
  const oracle = oracleFor(run, spec);
  const weightsLeft = countMasked(graph, new Map()).total;
  return async ({ model, optimizer, strategyState: state }, steps, learningRate) => {
    const step = optimizer.steps;
    if (step % when.every !== 0 && step !== steps) return undefined;
    const { seed } = run.config;
    const sparsity = relativeSparsity(when.sparsity, weights, weightsLeft);
    return entry.betweenBatches!(
      { model, sparsity, seed, step, steps, learningRate, oracle, state },
      options as never,
    );
  };
}
