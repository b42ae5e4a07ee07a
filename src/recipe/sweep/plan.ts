/**
 * The jobs of a sweep, each in a folder of its own, and which of them begins where another one ends: dense
 * networks are trained once for all that prune them, and controls go on from the pruned run. Folders go by
 * the hash of all that a job's result depends on, so other sweeps in the same folder find them done.
 */
import { canonicalJson } from '../../json';
import { type Config, configHash, parseConfig } from '../config';
import { phasesOfRun } from '../run-phases';
import { earlyEpochs } from '../take-over';
import { named, type Row, type SweepConfig } from './config';

export interface Job {
  readonly kind: 'pretrain' | 'compress';
  /** Of the sweep's folder. */
  readonly dir: string;
  readonly config: Config;
  /** The job with whose phases this one begins. */
  readonly after: Job | null;
}

export interface Plan {
  readonly name: string;
  readonly rows: readonly Row[];
  /** By the id of a row. */
  readonly jobs: ReadonlyMap<string, Job>;
}

/** Plans the jobs of all rows that have a config. */
export async function planSweep({ name, rows }: SweepConfig): Promise<Plan> {
  const dense = new Map<string, Job>();
  const early = earlyByDense(rows);
  const jobs = new Map<string, Job>();
  const order = rowsInOrder(rows);
  for (const { config, id, labels } of order) {
    if (!config || id === null) continue;
    const base = { ...config, prune: { ...config.prune, control: 'none' as const } };
    const own = await named(base, { ...labels, 'prune.control': 'none' });
    const goesOn = config.prune.control !== 'none' && config.prune.control !== 'dense-longer';
    const pruned = goesOn ? jobs.get(own.id) : undefined;
    const after = pruned ?? (await denseJob(config, early, dense));
    jobs.set(id, { kind: 'compress', dir: `runs/${id}`, config, after });
  }
  return { name, rows, jobs };
}

/**
 * The rows in the order of their jobs: controls after what they go on from, and within a seed, so that a
 * sweep which is cut short has its first seeds whole.
 */
function rowsInOrder(rows: readonly Row[]): readonly Row[] {
  const seeds = [...new Set(rows.map(({ seed }) => seed))];
  const rank = (row: Row): number => 2 * seeds.indexOf(row.seed) + Number(isControl(row));
  return [...rows].sort((a, b) => rank(a) - rank(b));
}

const isControl = ({ config }: Row): boolean => (config?.prune.control ?? 'none') !== 'none';

/** The job that pre-trains for a config; null where its pre-training cannot be shared. */
async function denseJob(
  config: Config,
  early: ReadonlyMap<string, ReadonlySet<number>>,
  known: Map<string, Job>,
): Promise<Job | null> {
  if (config.pretrain.epochs === 0) return null;
  const wanted = early.get(canonicalJson(pretraining(config)))!;
  // A run keeps the weights of one early epoch.
  const own = wanted.size > 1 ? new Set(earlyEpochs(phasesOfRun(config))) : wanted;
  if (own.size > 1) return null;
  const dense = pretraining(config, [...own][0]);
  const hash = (await configHash(dense)).slice(0, 10);
  const dir = `dense/${config.network.name}-${config.objective.name}-s${config.seed}-${hash}`;
  const job: Job = known.get(dir) ?? { kind: 'pretrain', dir, config: dense, after: null };
  known.set(dir, job);
  return job;
}

/** All that pre-training depends on, and nothing else, as a config. */
function pretraining(
  { seed, data, network, objective, pretrain }: Config,
  start: number | string = 'best',
): Config {
  const parts = { seed, data, network, objective, pretrain };
  return parseConfig({ name: 'dense', ...parts, finetune: { start } }, 'pre-training');
}

/** Early epochs from which runs begin again, by what their pre-training depends on. */
function earlyByDense(rows: readonly Row[]): Map<string, Set<number>> {
  const found = new Map<string, Set<number>>();
  for (const { config } of rows) {
    if (!config) continue;
    const key = canonicalJson(pretraining(config));
    const epochs = found.get(key) ?? new Set();
    for (const epoch of earlyEpochs(phasesOfRun(config))) epochs.add(epoch);
    found.set(key, epochs);
  }
  return found;
}

/** Every job, those before that others begin with. */
export function jobsOf({ jobs }: Plan): readonly Job[] {
  const all = new Set<Job>();
  for (const job of jobs.values()) for (const one of chainOf(job)) all.add(one);
  return [...all];
}

const chainOf = (job: Job): Job[] => [...(job.after ? chainOf(job.after) : []), job];
