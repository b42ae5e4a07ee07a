/**
 * The time that the jobs of a sweep should take on this machine, with one thread a job: a few training steps
 * and the evaluation of a few images are measured for every network, objective and sparsity, with weights
 * as they are drawn and masks by lot. Costs about a second for each of them.
 */
import { batchOf } from '../../data/batches';
import type { DataSet } from '../../data/types';
import { EspalierError, lookup } from '../../errors';
import { evaluate } from '../../evaluate/evaluate';
import type { Listener, StopSignal } from '../../events';
import { Interrupted } from '../../events';
import { canonicalJson } from '../../json';
import { createModel, freeModel, type Model } from '../../nn/model';
import { parameterise } from '../../nn/training-model';
import { applyMasks } from '../../prune/mask';
import { parameterMap } from '../../prune/prune';
import { random } from '../../prune/strategies/random';
import type { Masks } from '../../prune/strategy';
import type { Engine } from '../../runtime/engine';
import { trainStep } from '../../train/loop';
import { objectives } from '../../train/objectives/registry';
import { evaluationEps } from '../config';
import { asked, withNetworks } from '../networks';
import { freePhase, startPhase } from '../training';
import type { TrainingData } from '../training-data';
import { type Job, jobsOf, type Plan } from './plan';
import { type Part, type Work, workCounter } from './work';

export interface JobEstimate {
  readonly job: Job;
  /** Multiply-adds, a forward and backward pass as three forward ones. */
  readonly operations: number;
  /** On this machine, one thread. */
  readonly seconds: number;
  /** Why there is no estimate. */
  readonly error: string | null;
}

/** Estimates every job of a plan. */
export async function estimateSweep(
  engine: Engine,
  plan: Plan,
  { onEvent, signal }: { readonly onEvent?: Listener; readonly signal?: StopSignal },
): Promise<JobEstimate[]> {
  const count = workCounter();
  const rates = new Map<string, number>();
  const jobs = jobsOf(plan);
  onEvent?.({ type: 'phase', phase: 'sweep', title: 'measure', total: jobs.length, done: 0 });
  const found: JobEstimate[] = [];
  for (const job of jobs) {
    if (signal?.aborted) throw new Interrupted('Nothing was begun.');
    try {
      const work = await count(job);
      let seconds = 0;
      for (const part of work.parts)
        seconds += part.images * (await rateOf(engine, part, work, rates));
      found.push({ job, operations: work.operations, seconds, error: null });
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      found.push({ job, operations: 0, seconds: 0, error: error.message });
    }
    const progress = { done: found.length, total: jobs.length, rate: 0, unit: 'jobs', metrics: {} };
    onEvent?.({ type: 'progress', ...progress });
  }
  return found;
}

/** Seconds an image of a part; what differs in nothing that matters is measured once. */
async function rateOf(
  engine: Engine,
  part: Part,
  work: Work,
  known: Map<string, number>,
): Promise<number> {
  if (part.images === 0) return 0;
  const { data, network, objective, evaluate: settings } = part.config;
  const about = part.spec
    ? [objective, { ...part.spec.training, epochs: 0, learningRate: 0 }]
    : [settings, evaluationEps(part.config)];
  const key = canonicalJson([data, network, part.sparsity, part.kind, about]);
  const found = known.get(key) ?? (await measure(engine, part, work));
  known.set(key, found);
  return found;
}

async function measure(engine: Engine, part: Part, { graph, set }: Work): Promise<number> {
  const { init } = lookup(objectives, part.config.objective.name, 'objective');
  const model = createModel(engine, graph.network, { seed: part.config.seed, init });
  const { sparsity } = part;
  const masks =
    sparsity > 0
      ? ((await random.decide({ model, sparsity, seed: 0 }, {})) as Masks)
      : new Map<string, Uint8Array>();
  if (part.spec) {
    const asking = { objective: part.spec.objective, training: [part.spec.training] };
    const data = { set, train: set.train, held: set.test };
    return withNetworks(engine, asking, data, async ({ networks }) =>
      trainingRate(model, masks, part, { ...data, networks }),
    );
  }
  applyMasks(model, masks);
  return evaluationRate(model, part, set).finally(() => freeModel(model));
}

const MOST_STEPS = 4;
const ENOUGH_MS = 500;

/** Seconds an image of training at full difficulty: the fastest of a few steps after the first. */
function trainingRate(
  model: Model,
  masks: Masks,
  { config, spec }: Part,
  { set, networks }: Pick<TrainingData, 'set' | 'networks'>,
): number {
  const size = Math.min(spec!.training.batch, set.train.count);
  const batch = batchOf(set, set.train, 0, size);
  const phase = startPhase(spec!, parameterise(model, parameterMap(model, masks)));
  const { name, ...options } = config.objective;
  const job = {
    ...{ model: phase.model, optimizer: phase.optimizer, options, seed: config.seed },
    ...asked(config.objective, spec!.training, { networks }),
    ...{ objective: lookup(objectives, name, 'objective'), epoch: 0, epochs: 1, ramp: false },
    ...{ batches: 1, batch: () => batch, rate: () => 1e-6, after: async () => false },
  };
  let best = Number.POSITIVE_INFINITY;
  try {
    const began = performance.now();
    for (let i = 0; i <= MOST_STEPS && (i < 2 || performance.now() - began < ENOUGH_MS); i++) {
      const started = performance.now();
      trainStep(job, batch, 0);
      if (i > 0) best = Math.min(best, performance.now() - started);
    }
  } finally {
    freePhase(phase);
  }
  return best / 1000 / size;
}

const FEW = 16;

/** Seconds an image of the test split: a few images, of which as large a share is attacked and verified. */
async function evaluationRate(model: Model, { config }: Part, set: DataSet): Promise<number> {
  const count = Math.min(FEW, set.test.count);
  const share = (limit: number | null): number =>
    Math.ceil(count * Math.min(1, (limit ?? set.test.count) / set.test.count));
  const { evaluate: settings } = config;
  const few = {
    ...settings,
    eps: evaluationEps(config),
    attackLimit: share(settings.attackLimit),
    verifyLimit: share(settings.verifyLimit),
  };
  const started = performance.now();
  await evaluate(model, set, { ...set.test, count }, few, { seed: config.seed });
  return (performance.now() - started) / 1000 / count;
}
