/**
 * Jobs of a sweep as processes: each is this command line again, as `train` or `compress` in the folder of
 * its run. They end with this process, however it ends, and go on from there when they are started again.
 */
import type { ChildProcess } from 'node:child_process';
import { EspalierError } from '../errors';
import { Interrupted, type StopSignal } from '../events';
import type { Executor, Place } from '../recipe/sweep/execute';
import type { Job } from '../recipe/sweep/plan';
import { EXIT } from './command';
import { CHILD } from './io';

export interface ProcessOptions {
  /** The command that starts this program. */
  readonly self: readonly string[];
  /** Options for every job, such as --threads. */
  readonly options: readonly string[];
  readonly signal: StopSignal;
}

/** Files that processes are asked to read first, so that no command line holds a config. */
const configPath = ({ dir }: Place): string => `${dir}.json`;

/** The executor that starts a process a job. */
export const inProcesses = (given: ProcessOptions): Executor => ({
  async run(job, place, told) {
    const fs = await import('node:fs/promises');
    const { writeAtomic } = await import('../io/files');
    await whenFree(place.dir);
    await writeAtomic(configPath(place), `${JSON.stringify(job.config, null, 2)}\n`);
    const { code, stdout, stderr } = await start(argvOf(job, place, given), given, told);
    await fs.rm(configPath(place), { force: true });
    if (given.signal.aborted) throw new Interrupted(`What is done stays in ${place.dir}.`);
    // Bad news of a run, and a report that could not be made, are results.
    if (code === EXIT.done || code === EXIT.badNews) return;
    const sentence = errorIn(stdout) ?? stderr.trim().split('\n').at(-1) ?? '';
    if (code === EXIT.output && errorIn(stdout) === undefined) return;
    throw new EspalierError(sentence || `${place.dir}: expected a run, got a process that ended.`);
  },
});

function argvOf({ kind }: Job, place: Place, { options }: ProcessOptions): string[] {
  const command = kind === 'pretrain' ? 'train' : 'compress';
  const from = place.from === null ? [] : ['--from', place.from];
  return [command, configPath(place), '--out', place.dir, ...from, ...options, '--json'];
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Longer outputs of a process are of no use here. */
const MOST_OF_AN_ERROR = 10_000;

async function start(
  argv: readonly string[],
  { self: [program, ...first], signal }: ProcessOptions,
  told: (title: string, share: number) => void,
): Promise<Ended> {
  const { spawn } = await import('node:child_process');
  return new Promise((resolve, reject) => {
    const child = spawn(program!, [...first, ...argv], {
      env: { ...process.env, [CHILD]: '1' },
      // The end of its standard input tells it that this process is gone.
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const stopping = stopAt(signal, child);
    let [stdout, stderr, rest, title] = ['', '', '', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const event = eventIn(line);
        if (!event) stderr = `${stderr}${line}\n`.slice(-MOST_OF_AN_ERROR);
        if (event?.type === 'phase') title = String(event.title);
        if (event?.type === 'phase' || event?.type === 'progress')
          told(title, event.done! / Math.max(1, event.total!));
      }
    });
    child.once('error', (error) => {
      clearInterval(stopping);
      reject(new EspalierError(`${program}: expected to start it, got: ${error.message}.`));
    });
    child.once('close', (code) => {
      clearInterval(stopping);
      resolve({ code, stdout, stderr });
    });
  });
}

/** Hands a signal to stop on, once. */
function stopAt(signal: StopSignal, child: ChildProcess): NodeJS.Timeout {
  const timer = setInterval(() => {
    if (!signal.aborted) return;
    clearInterval(timer);
    child.kill('SIGINT');
  }, 50);
  return timer;
}

interface Told {
  readonly type: string;
  readonly title?: string;
  readonly done?: number;
  readonly total?: number;
}

function eventIn(line: string): Told | undefined {
  try {
    const event: unknown = line.startsWith('{') ? JSON.parse(line) : undefined;
    return typeof event === 'object' && event !== null && 'type' in event
      ? (event as Told)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The error of a command with --json, if it ended with one. */
function errorIn(stdout: string): string | undefined {
  try {
    const { error } = JSON.parse(stdout);
    return typeof error === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}

/** Waits until a process that an earlier sweep has left behind is out of the folder of a run. */
async function whenFree(dir: string): Promise<void> {
  const { join } = await import('node:path');
  const { kindOf } = await import('../io/files');
  const { takeLock } = await import('../io/lock');
  const words = { where: 'in this run directory', instead: 'wait for it' };
  for (let tries = 0; tries < 50 && (await kindOf(dir)) === 'folder'; tries++) {
    const release = await takeLock(join(dir, 'lock'), words).catch(() => undefined);
    if (release) return release();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
