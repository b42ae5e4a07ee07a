/**
 * The three accuracies of a network: benign, empirical robust (ERA, under attacks) and verifiable robust
 * (VRA, by verifiers), image by image, with a look for contradictions: a sample both certified and broken
 * would mean an unsound verifier. Of an attack in another norm only what it finds inside of the verifier's
 * ball counts.
 */
import { attacks } from '../attack/attacks/registry';
import { fitted } from '../data/layout';
import type { DataSet, Split } from '../data/types';
import { expect, lookup } from '../errors';
import type { Listener, Phase, StopSignal } from '../events';
import { withCanonical } from '../nn/freeze';
import type { AnyModel, Model } from '../nn/model';
import { listed, type PlugIn, type PlugIns } from '../options';
import { normOf } from '../verify/verifier';
import { verifiers } from '../verify/verifiers/registry';
import type { SampleRecord, Task } from './block';
import { type Evaluation, evaluationOf } from './records';
import { local } from './runners/local';
import { runners } from './runners/registry';
import { type FolderOptions, inFolder, inMemory, withoutAttacks } from './store';
import { type Limits, spansOf, workOf } from './work';

/** Settings of an evaluation; limits take the first images of the split, null all of them. */
export interface EvaluateSettings {
  /** Radius in input space; null is 0.1. */
  readonly eps: number | null;
  /** One, or a list: each sees what those before it left unbroken. */
  readonly attack: PlugIns;
  readonly attackLimit: number | null;
  /** One, or a list: each sees what those before it left unknown. */
  readonly verifier: PlugIns;
  readonly verifyLimit: number | null;
  /** Whether the largest certified radius of each image is searched too. */
  readonly radius?: boolean;
  /** Images at once. */
  readonly batch: number;
}

export interface EvaluateHooks {
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
  /** Keys the attacks' random draws. */
  readonly seed?: number;
  /** Under which progress is told. */
  readonly phase?: Phase;
  readonly title?: string;
  /** Runner of the blocks, `local` by default. */
  readonly runner?: PlugIn;
  /** Folder that keeps records, to go on from; without it they end with the process. */
  readonly folder?: FolderOptions;
}

/** Images of a line in a folder's journals: what a kill costs at most. */
const BLOCK = 50;

/**
 * Evaluates a model on a split. Of a runner that does only a share of the work, the result is that of the
 * images that are known. Raises EspalierError for unknown methods and options, and for data that the
 * network does not take; Interrupted at a signal.
 */
export async function evaluate(
  model: Model,
  given: DataSet,
  split: Split,
  settings: EvaluateSettings,
  hooks: EvaluateHooks = {},
): Promise<Evaluation> {
  const { onEvent, signal, phase = 'evaluate', title = 'evaluate', runner = local() } = hooks;
  const set = fitted(model, given, onEvent);
  const task = taskOf(settings, hooks.seed ?? 0);
  const carrier = lookup(runners, runner.name, 'runner');
  const limits = limitsOf(settings, split.count);
  const size = hooks.folder ? Math.min(BLOCK, settings.batch) : settings.batch;
  const spans = spansOf(limits, size, Math.max(size, settings.batch));
  const { folder } = hooks;
  const identity = { model: folder?.identity, data: set.sha256 };
  const store = folder ? await inFolder({ ...folder, identity }, task) : inMemory();
  try {
    await withCanonical(model, async (canonical) => {
      const work = workOf({ model: canonical, set, split, task, spans, store, onEvent, signal });
      onEvent?.({ type: 'phase', phase, title, total: split.count, done: 0 });
      tellMemory(canonical, Math.min(limits.verify, size), task.verifiers, onEvent);
      await carrier.run(work, runner);
    });
    return evaluationOf(within(limits, await store.read()), task);
  } finally {
    await store.close();
  }
}

/** The settings as a task, every method with all its options. */
export function taskOf(settings: EvaluateSettings, seed: number): Task {
  const { eps, attack, verifier, radius = false } = settings;
  const task = {
    eps: eps ?? 0.1,
    seed,
    attacks: listed(attack).map((one) => lookup(attacks, one.name, 'attack')(one)),
    verifiers: listed(verifier).map((one) => lookup(verifiers, one.name, 'verifier')(one)),
    radius,
  };
  for (const [kind, list] of Object.entries({ attack: task.attacks, verifier: task.verifiers })) {
    const names = list.map(({ name }) => name);
    const twice = names.find((name, i) => names.indexOf(name) < i);
    expect(twice === undefined, kind, 'each method once', `${twice} twice`);
  }
  const norms = new Set(task.verifiers.map((one) => normOf(verifiers[one.name]!, one)));
  const wanted = 'verifiers of one norm, where radii are searched';
  expect(!radius || norms.size <= 1, 'evaluate', wanted, [...norms]);
  return task;
}

function limitsOf({ attackLimit, verifyLimit }: EvaluateSettings, count: number): Limits {
  const most = (limit: number | null): number => Math.min(count, limit ?? count);
  return { count, attack: most(attackLimit), verify: most(verifyLimit) };
}

/** The records of images within the limits, by index; a folder may know more. */
function within(limits: Limits, known: ReadonlyMap<number, SampleRecord>): SampleRecord[] {
  return Array.from({ length: limits.count }, (_, i) => known.get(i)).flatMap((record) => {
    if (!record) return [];
    const attacked = record.index < limits.attack ? record : withoutAttacks(record);
    if (record.index < limits.verify) return [attacked];
    const { verdicts: _, radius: __, ...rest } = attacked;
    return [rest];
  });
}

/** Tells how large the batches of verifiers are, and what memory they are taken to need. */
function tellMemory(
  model: AnyModel,
  images: number,
  plugIns: readonly PlugIn[],
  onEvent: Listener | undefined,
): void {
  for (const { name, ...options } of plugIns) {
    const needs = verifiers[name]?.memoryFor?.(model, images, options);
    if (!needs || images === 0) continue;
    const { samples, bytes } = needs;
    const many = samples === 1 ? 'one image' : `${samples} images`;
    const text = `${name}: ${many} at a time, at most about ${Math.ceil(bytes / 2 ** 20)} MiB`;
    onEvent?.({ type: 'note', text });
  }
}
