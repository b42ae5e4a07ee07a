/**
 * The directory of a run: config.json says which run it is, `lock` which process works in it.
 *
 * `openRun` makes a new one, or resumes the one that is there when its config is the same; any other
 * content is left untouched and is an error. A lock is void when its process is dead, or is another
 * process that was given the same id (told by its start time, on Linux), so kill -9 locks nobody out.
 */
import { EspalierError, fail } from '../errors';
import { parseJson } from '../json';
import { type Config, configDifferences, configHash, parseConfig } from './config';

export interface RunDir {
  readonly dir: string;
  readonly config: Config;
  /** Identity of the run: SHA-256 of its config. */
  readonly hash: string;
  /** Whether the directory held this run before. */
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
  readonly summary: string;
  readonly report: string;
}

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** When that process started, in the kernel's ticks; '' where there is no /proc. */
  readonly started: string;
  readonly token: string;
}

const OTHER = 'Choose another directory with --out.';
const SETTLE_MS = 50;
/** A guard this old was left by a process that was killed. */
const GUARD_MS = 5000;
/** Tokens of the locks this process holds. */
const ours = new Set<string>();

/** Creates or resumes the run of `config` in `dir` and locks it for this process. */
export async function openRun(dir: string, config: Config): Promise<RunDir> {
  const path = await import('node:path');
  const { makeFolder, writeAtomic } = await import('../io/files');
  const paths = pathsOf(dir, path.join);
  const hash = await configHash(config);
  const resumed = await inspectRun(dir, config, hash);
  await makeFolder(dir);
  const release = await takeLock(path.join(dir, 'lock'));
  try {
    // Again, as another process may have been faster between the first look and the lock.
    const now = await inspectRun(dir, config, hash);
    await removeLeftovers(dir);
    if (!now) await writeAtomic(paths.config, `${JSON.stringify(config, null, 2)}\n`);
    return { dir, config, hash, resumed: resumed || now, paths, release };
  } catch (error) {
    await release();
    throw error;
  }
}

function pathsOf(dir: string, join: (...parts: string[]) => string): RunPaths {
  return {
    config: join(dir, 'config.json'),
    journal: join(dir, 'journal.jsonl'),
    checkpoint: join(dir, 'checkpoint.safetensors'),
    dense: join(dir, 'dense.safetensors'),
    pruned: join(dir, 'pruned.safetensors'),
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

/** What a process killed before it wrote config.json leaves behind. */
function isLeftover(name: string): boolean {
  return name === 'lock' || /^(\.?config\.json|lock)\..+$/.test(name);
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

/** Takes the lock file at `path`, over a dead owner if need be, or says who holds it. */
async function takeLock(path: string): Promise<() => Promise<void>> {
  const fs = await import('node:fs/promises');
  const os = await import('node:os');
  const me: Owner = {
    pid: process.pid,
    host: os.hostname(),
    started: await startOf(process.pid),
    token: globalThis.crypto.randomUUID(),
  };
  const text = `${JSON.stringify(me)}\n`;
  // Before the file is there, so that this process never takes its own lock for void.
  ours.add(me.token);
  try {
    while (!(await createExclusive(path, text))) {
      const owner = await readOwner(path);
      if (owner && (await isAlive(owner, me))) refuse(path, owner, me);
      if (await replaceVoid(path, text, me)) break;
      await sleep(SETTLE_MS);
    }
  } catch (error) {
    ours.delete(me.token);
    throw error;
  }
  return async () => {
    if (!ours.delete(me.token)) return;
    const holder = await readOwner(path);
    if (holder?.token === me.token) await fs.rm(path, { force: true });
  };
}

/** Creates a file that must not exist; false where it does. */
async function createExclusive(path: string, text: string): Promise<boolean> {
  const fs = await import('node:fs/promises');
  try {
    await fs.writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new EspalierError(`${path}: expected to write the lock file, got: ${message}.`);
  }
}

/**
 * Puts `text` in place of a void lock; false where it is void no longer. Several processes can find
 * the same void lock: a guard file lets one at a time look again and replace.
 */
async function replaceVoid(path: string, text: string, me: Owner): Promise<boolean> {
  const fs = await import('node:fs/promises');
  const guard = `${path}.guard`;
  if (!(await createExclusive(guard, text))) {
    const age = await fs.stat(guard).then(
      (stat) => Date.now() - stat.mtimeMs,
      () => 0,
    );
    if (age > GUARD_MS) await fs.rm(guard, { force: true });
    return false;
  }
  try {
    const owner = await readOwner(path);
    const gone = (await fs.stat(path).catch(() => undefined)) === undefined;
    if (gone || (owner && (await isAlive(owner, me)))) return false;
    const mine = `${path}.${me.token}`;
    await fs.writeFile(mine, text);
    await fs.rename(mine, path);
    return true;
  } finally {
    await fs.rm(guard, { force: true });
  }
}

/** The owner a lock file names; undefined where it is gone, or torn and nobody completes it. */
async function readOwner(path: string, patience = 4): Promise<Owner | undefined> {
  const fs = await import('node:fs/promises');
  try {
    const owner = JSON.parse(await fs.readFile(path, 'utf8')) as Partial<Owner>;
    const { pid, host, started, token } = owner;
    if (!Number.isInteger(pid) || typeof host !== 'string') return undefined;
    return { pid: pid as number, host, started: String(started ?? ''), token: String(token) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || patience === 0) return undefined;
    await sleep(SETTLE_MS);
    return readOwner(path, patience - 1);
  }
}

async function isAlive(owner: Owner, me: Owner): Promise<boolean> {
  // On another machine nothing can be asked; better refuse than share.
  if (owner.host !== me.host) return true;
  if (owner.pid === me.pid) return ours.has(owner.token);
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
  const started = await startOf(owner.pid);
  return owner.started === '' || started === '' || owner.started === started;
}

/** Start of a process: boot and field 22 of /proc/PID/stat; 'dead', or '' where it is unknown. */
async function startOf(pid: number): Promise<string> {
  const fs = await import('node:fs/promises');
  try {
    const stat = await fs.readFile(`/proc/${pid}/stat`, 'utf8');
    const boot = await fs.readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    // The name in field 2 may hold blanks and brackets; what follows the last one is regular.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie is dead, though its id can still be signalled until its parent asks for it.
    if (fields[0] === 'Z' || fields[0] === 'X') return 'dead';
    return `${boot.trim()}:${fields[19]}`;
  } catch {
    return '';
  }
}

function refuse(path: string, owner: Owner, me: Owner): never {
  const where = owner.host === me.host ? '' : ` on ${owner.host}`;
  fail(
    path,
    'no other process in this run directory',
    `process ${owner.pid}${where}`,
    where === ''
      ? 'Wait for it or stop it, or choose another directory with --out.'
      : 'If it is gone, delete the lock file.',
  );
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
