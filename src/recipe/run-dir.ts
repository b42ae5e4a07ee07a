/**
 * The directory of a run: config.json says which run it is, `lock` which process works in it.
 *
 * `openRun` makes a new one, or resumes the one that is there when its config is the same; any other
 * content is left untouched and is an error. One in which nothing was computed is taken back when it is
 * released, so that a config that fails at once (no such data) leaves nothing behind.
 */
import { EspalierError, fail } from '../errors';
import { isLockFile, type Release, takeLock } from '../io/lock';
import { parseJson } from '../json';
import { type Config, configDifferences, configHash, parseConfig } from './config';

export interface RunDir {
  readonly dir: string;
  readonly config: Config;
  /** Identity of the run: SHA-256 of its config. */
  readonly hash: string;
  /** True where the directory held this run before. */
  readonly resumed: boolean;
  readonly paths: RunPaths;
  /** Gives the lock back; safe to call twice. */
  release(): Promise<void>;
}

export interface RunPaths {
  readonly config: string;
  readonly journal: string;
  readonly checkpoint: string;
  readonly dense: string;
  readonly pruned: string;
  /** Weights after so many epochs of pre-training, where a later phase begins with them. */
  early(epochs: number): string;
  /** Of the pruned network, image by image. */
  readonly outcomes: string;
  readonly summary: string;
  readonly report: string;
}

const OTHER = 'Choose another directory with --out.';
const WORDS = {
  where: 'in this run directory',
  instead: 'choose another directory with --out',
};

/** Creates or resumes the run of `config` in `dir` and locks it for this process. */
export async function openRun(dir: string, config: Config): Promise<RunDir> {
  const path = await import('node:path');
  const { makeFolder, writeAtomic } = await import('../io/files');
  const paths = pathsOf(dir, path.join);
  const hash = await configHash(config);
  const resumed = await inspectRun(dir, config, hash);
  const made = await makeFolder(dir);
  let fresh = false;
  let unlock: Release | undefined;
  const release: Release = async () => {
    const held = unlock;
    unlock = undefined;
    if (fresh && held) await takeBack(paths).finally(held);
    else await held?.();
    if (made !== undefined) await removeEmpty(dir, made);
  };
  try {
    unlock = await takeLock(path.join(dir, 'lock'), WORDS);
    // Again, as another process may have been faster between the first look and the lock.
    const now = await inspectRun(dir, config, hash);
    await removeLeftovers(dir);
    fresh = !now;
    if (fresh) await writeAtomic(paths.config, `${JSON.stringify(config, null, 2)}\n`);
    return { dir, config, hash, resumed: resumed || now, paths, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Removes the config of a run that has nothing else yet but an empty journal. */
async function takeBack({ config, journal }: RunPaths): Promise<void> {
  const fs = await import('node:fs/promises');
  const { basename, dirname } = await import('node:path');
  const own = [config, journal].map((path) => basename(path));
  const names = (await fs.readdir(dirname(config))).filter((name) => !isLeftover(name));
  const { size } = await fs.stat(journal).catch(() => ({ size: 0 }));
  if (size > 0 || names.some((name) => !own.includes(name))) return;
  // The config last: a journal alone would be a folder of others.
  await fs.rm(journal, { force: true });
  await fs.rm(config, { force: true });
}

/** Removes `folder` and those above it down from `first`, as far as they are empty. */
async function removeEmpty(folder: string, first: string): Promise<void> {
  const fs = await import('node:fs/promises');
  const { dirname, resolve } = await import('node:path');
  try {
    for (let at = resolve(folder); ; at = dirname(at)) {
      await fs.rmdir(at);
      if (at === resolve(first)) return;
    }
  } catch {
    // Somebody has something in it.
  }
}

export function pathsOf(dir: string, join: (...parts: string[]) => string): RunPaths {
  return {
    config: join(dir, 'config.json'),
    journal: join(dir, 'journal.jsonl'),
    checkpoint: join(dir, 'checkpoint.safetensors'),
    dense: join(dir, 'dense.safetensors'),
    pruned: join(dir, 'pruned.safetensors'),
    early: (epochs) => join(dir, `epoch-${epochs}.safetensors`),
    outcomes: join(dir, 'outcomes.json'),
    summary: join(dir, 'summary.json'),
    report: join(dir, 'report.html'),
  };
}

/** True if `dir` holds this run, false if it is free; an error if it holds anything else. */
async function inspectRun(dir: string, config: Config, hash: string): Promise<boolean> {
  const fs = await import('node:fs/promises');
  let names: string[];
  try {
    names = await fs.readdir(dir);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    if (code === 'ENOTDIR') return fail(dir, 'a run directory', 'a file', OTHER);
    throw new EspalierError(`${dir}: expected a readable run directory, got: ${message}.`);
  }
  if (!names.includes('config.json')) {
    const foreign = names.filter((name) => !isLeftover(name));
    if (foreign.length === 0) return false;
    const some = foreign.slice(0, 3).join(', ');
    fail(dir, 'an empty directory, or one of this run', `one with other files (${some})`, OTHER);
  }
  const held = await readRunConfig(dir);
  if ((await configHash(held)) === hash) return true;
  const differences = configDifferences(held, config);
  fail(
    dir,
    'a directory of this run',
    `one of another run (there, wanted: ${differences.slice(0, 4).join('; ')})`,
    `${OTHER} Nothing was overwritten.`,
  );
}

/** True for files that a process killed before it wrote config.json leaves behind. */
function isLeftover(name: string): boolean {
  return isLockFile(name, 'lock') || /^(\.?config\.json|lock)\..+$/.test(name);
}

/** Temporary files of writes that a kill cut short; they can be as large as a checkpoint. */
async function removeLeftovers(dir: string): Promise<void> {
  const fs = await import('node:fs/promises');
  const { join } = await import('node:path');
  const names = (await fs.readdir(dir)).filter((name) =>
    /^\..+\.[0-9a-f]{12}\.tmp$|^lock\.[0-9a-f-]{36}$/.test(name),
  );
  await Promise.all(names.map((name) => fs.rm(join(dir, name), { force: true })));
}

/** The config a run directory was made with. */
export async function readRunConfig(dir: string): Promise<Config> {
  const path = await import('node:path');
  const { readFile } = await import('../io/files');
  const file = path.join(dir, 'config.json');
  const text = new TextDecoder().decode(await readFile(file, 1 << 20));
  return parseConfig(parseJson(text, file, 'the JSON config of a run', OTHER), file);
}
