/**
 * Executes the jobs of a sweep, several at a time, each when the one it begins with has ended. What is done
 * is on disk and not done again. A fault ends a job and those that rest on it; the others go on.
 */
import { EspalierError } from '../../errors';
import { Interrupted, type Listener, type StopSignal } from '../../events';
import { kindOf, makeFolder, readFile } from '../../io/files';
import type { Summary } from '../../report/types';
import { configHash } from '../config';
import { pathsOf, readRunConfig } from '../run-dir';
import { parseSummary } from '../summary-file';
import { type Job, jobsOf, type Plan } from './plan';
import { type Work, workCounter } from './work';

/** Hands a job to whatever does it: a process, or this one. */
export interface Executor {
  /**
   * Does a job in the folder `dir`, beginning with the phases of the run in `from`, and tells the title and
   * the share in [0, 1] of the part it is at. Raises EspalierError where the run is at fault.
   */
  run(job: Job, place: Place, told: (title: string, share: number) => void): Promise<void>;
}

export interface Place {
  readonly dir: string;
  readonly from: string | null;
}

export interface SweepOptions {
  /** Folder of the sweep. */
  readonly dir: string;
  /** Jobs at a time. */
  readonly jobs: number;
  readonly executor: Executor;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

/** Faults of jobs, in words; those that are done have none. */
export type Faults = ReadonlyMap<Job, string>;

/** Does all jobs of a plan that are not done. Raises Interrupted at a signal. */
export async function executeSweep(plan: Plan, options: SweepOptions): Promise<Faults> {
  const { join } = await import('node:path');
  const { dir, executor, signal } = options;
  for (const folder of ['runs', 'dense']) await makeFolder(join(dir, folder));
  const bar = await progressOf(plan, options);
  const faults = new Map<Job, string>();
  const turn = limiter(options.jobs);
  const ends = new Map<Job, Promise<void>>();
  const place = ({ dir: own, after }: Job): Place => ({
    dir: join(dir, own),
    from: after && join(dir, after.dir),
  });
  const work = async (job: Job): Promise<void> => {
    if (await isDone(job, dir)) return bar.done(job);
    const known = bar.faults.get(job);
    if (known !== undefined) return fault(job, known);
    if (job.after) await end(job.after);
    const before = job.after && faults.get(job.after);
    await (before ? fault(job, before) : turn(() => attempt(job)));
  };
  const end = (job: Job): Promise<void> => {
    const known = ends.get(job) ?? work(job);
    ends.set(job, known);
    return known;
  };
  const fault = (job: Job, sentence: string): void => {
    faults.set(job, sentence);
    options.onEvent?.({ type: 'warning', text: `${job.config.name}: ${sentence}` });
    bar.done(job);
  };
  const attempt = async (job: Job): Promise<void> => {
    if (signal?.aborted) throw new Interrupted(SAVED);
    try {
      await executor.run(job, place(job), (title, share) => bar.at(job, title, share));
      bar.done(job);
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      fault(job, error.message);
    }
  };
  const all = await Promise.allSettled([...plan.jobs.values()].map(end));
  const failed = all.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return faults;
}

const SAVED = 'Every run stays as it is, and goes on from there.';

/** Whether the result of a job is in its folder. */
async function isDone(job: Job, dir: string): Promise<boolean> {
  if (job.kind === 'compress') return (await summaryOf(job, dir)) !== undefined;
  const { join } = await import('node:path');
  return (await kindOf(pathsOf(join(dir, job.dir), join).dense)) === 'file';
}

/** The summary of a finished run of this very config. */
export async function summaryOf(job: Job, dir: string): Promise<Summary | undefined> {
  const { join } = await import('node:path');
  const paths = pathsOf(join(dir, job.dir), join);
  if ((await kindOf(paths.summary)) !== 'file') return undefined;
  const held = await readRunConfig(join(dir, job.dir));
  if ((await configHash(held)) !== (await configHash(job.config))) return undefined;
  return parseSummary(new TextDecoder().decode(await readFile(paths.summary, 1 << 26)));
}

/** Lets at most `most` pieces of work run at a time, in the order they come. */
function limiter(most: number): (work: () => Promise<void>) => Promise<void> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

/** One bar over all jobs, in billions of multiply-adds. */
async function progressOf(plan: Plan, { onEvent }: SweepOptions) {
  const count = workCounter();
  const known = new Map<Job, Work>();
  const faults = new Map<Job, string>();
  for (const job of jobsOf(plan))
    try {
      known.set(job, await count(job));
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      faults.set(job, error.message);
    }
  const unit = 1e9;
  const total = [...known.values()].reduce((sum, { operations }) => sum + operations, 0) / unit;
  const reached = new Map<Job, number>();
  const finished = new Set<Job>();
  const started = performance.now();
  let skipped = 0;
  onEvent?.({ type: 'phase', phase: 'sweep', title: 'sweep', total, done: 0 });
  const tell = (): void => {
    const done = [...reached.values()].reduce((sum, one) => sum + one, 0) / unit;
    const seconds = (performance.now() - started) / 1000;
    const rate = Math.max(0, done - skipped) / Math.max(seconds, 1e-3);
    const metrics = { jobs: finished.size, of: known.size };
    onEvent?.({ type: 'progress', done, total, rate, unit: 'G multiply-adds', metrics });
  };
  return {
    faults,
    at(job: Job, title: string, share: number) {
      const parts = known.get(job)?.parts ?? [];
      const here = parts.findIndex((part) => part.title === title);
      if (here < 0) return;
      const before = parts.slice(0, here).reduce((sum, part) => sum + part.operations, 0);
      const now = before + share * parts[here]!.operations;
      // What a resumed job has behind it was not done now.
      if (!reached.has(job)) skipped += now / unit;
      reached.set(job, Math.max(now, reached.get(job) ?? 0));
      tell();
    },
    done(job: Job) {
      const all = known.get(job)?.operations ?? 0;
      if (!reached.has(job)) skipped += all / unit;
      reached.set(job, all);
      finished.add(job);
      tell();
    },
  };
}
