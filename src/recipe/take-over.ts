/**
 * A run that begins with phases of another one: what both have in common is not computed twice. Phases are
 * data, so whether they are the same is a comparison; the result is bit for bit that of the whole run.
 */
import { expect, fail } from '../errors';
import type { Listener } from '../events';
import { readFile, writeAtomic } from '../io/files';
import { type Journal, type JournalRecord, readJournal } from '../io/journal';
import { loadModel, saveModel } from '../io/model';
import { canonicalJson } from '../json';
import { freeModel } from '../nn/model';
import type { EpochRecord } from '../report/types';
import type { Engine } from '../runtime/engine';
import { type Checkpoint, loadCheckpoint, saveCheckpoint } from './checkpoint';
import { type Config, configHash } from './config';
import type { PhaseSpec } from './phase-spec';
import { pathsOf, type RunDir, readRunConfig } from './run-dir';
import { phasesOfRun } from './run-phases';
import { freePhase, isOver } from './training';

/** How many phases two runs begin with in common. */
export function sharedPhases(a: Config, b: Config): number {
  const before = ({ seed, data, network }: Config): string =>
    canonicalJson({ seed, data, network });
  if (before(a) !== before(b)) return 0;
  const [mine, theirs] = [phasesOfRun(a), phasesOfRun(b)];
  const other = mine.findIndex((spec, i) => canonicalJson(spec) !== canonicalJson(theirs[i]));
  const same = other < 0 ? mine.length : other;
  const pruned = canonicalJson(a.prune.strategy) === canonicalJson(b.prune.strategy);
  return pruned ? same : Math.min(same, 1);
}

/** Epochs of pre-training whose weights later phases begin with. */
export const earlyEpochs = (phases: readonly PhaseSpec[]): number[] => [
  ...new Set(
    phases
      .flatMap(({ start, decides }) => [start, decides?.by])
      .filter((start): start is number => typeof start === 'number' && start > 0),
  ),
];

/** What it takes of the run that begins. */
interface Taker {
  readonly dir: RunDir;
  readonly engine: Engine;
  readonly config: Config;
  readonly phases: readonly PhaseSpec[];
  readonly journal: Journal;
  readonly onEvent?: Listener;
}

/**
 * The checkpoint of the run in `from`, made this run's own with all that it rests on. Raises an error where
 * that run has not ended a phase that both have, and where its last phase is none of this run.
 */
export async function takeOver(run: Taker, from: string): Promise<Checkpoint> {
  const path = await import('node:path');
  const { engine, config } = run;
  const theirs = await readRunConfig(from);
  const paths = pathsOf(from, path.join);
  const shared = sharedPhases(config, theirs);
  expect(shared > 0, from, 'a run with the same pre-training', 'another', 'See --from.');
  const at =
    (await loadCheckpoint(
      engine,
      paths.checkpoint,
      await configHash(theirs),
      phasesOfRun(theirs),
    )) ?? fail(paths.checkpoint, 'the checkpoint of a run', 'none');
  try {
    await adopt(run, at, { from, shared });
    return at;
  } catch (error) {
    freePhase(at.phase);
    throw error;
  }
}

async function adopt(
  { dir, engine, config, journal, phases, onEvent }: Taker,
  at: Checkpoint,
  { from, shared }: { readonly from: string; readonly shared: number },
): Promise<void> {
  const path = await import('node:path');
  const paths = pathsOf(from, path.join);
  const { stage, overall } = at.run;
  const { spec } = at.phase;
  const ended = stage < shared && isOver(at.phase);
  const hint = 'espalier train does pre-training alone.';
  expect(ended, from, 'a run that stands at the end of a phase of this one', spec.name, hint);
  if (stage > 0) {
    const dense = await loadModel(engine, paths.dense);
    await saveModel(dir.paths.dense, dense, { config }).finally(() => freeModel(dense));
  }
  for (const epochs of earlyEpochs(phases)) {
    const early = await readFile(paths.early(epochs), 2 ** 32);
    await writeAtomic(dir.paths.early(epochs), early);
  }
  await journal.truncateAfter(() => false);
  const isDone = (record: JournalRecord): boolean => (record as EpochRecord).overall <= overall;
  for (const record of (await readJournal(paths.journal)).filter(isDone))
    await journal.append(record);
  await saveCheckpoint(dir.paths.checkpoint, dir.hash, at);
  onEvent?.({ type: 'note', text: `The first ${overall} epochs are those of ${from}.` });
}
