/**
 * Locks of folders and files among processes: a small file beside what it guards, which names its
 * owner. A lock is void when that process is dead, or is another process that was given the same id
 * (told by its start time, on Linux), so kill -9 locks nobody out.
 *
 * A void lock is not replaced, as several processes may find it at once: whoever creates the file of
 * the next number (`lock`, `lock.1`, `lock.2`, ...), which must not exist, and then sees no other
 * living owner, holds the lock and deletes the void ones. No clock and no wait takes part.
 */
import { EspalierError, fail, isNoRoom } from '../errors';

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Which process ids it sees, as containers have their own; '' where there is no /proc. */
  readonly space: string;
  /** When that process started, in the kernel's ticks; '' where there is no /proc. */
  readonly started: string;
  readonly token: string;
}

export interface LockWords {
  /** What is locked, as in `no other process in this run directory`. */
  readonly where: string;
  /** What else the user can do, such as `choose another directory with --out`. */
  readonly instead: string;
}

export type Release = () => Promise<void>;

const SETTLE_MS = 50;
/** How every lock file starts, so that a torn one is told from a file of others. */
const START = '{"pid":';
/** Tokens of the locks this process holds. */
const ours = new Set<string>();

/** Takes the lock file at `path`, past dead owners, or says who holds it. */
export async function takeLock(path: string, words: LockWords): Promise<Release> {
  const me = await thisProcess();
  // Before the file is there, so that this process never takes its own lock for void.
  ours.add(me.token);
  try {
    for (;;) {
      const before = await locksAt(path);
      const held = await holder(before, me);
      if (held) refuse(path, held, me, words);
      const mine = numbered(path, 1 + Math.max(-1, ...before.map(({ number }) => number)));
      if (!(await createExclusive(mine, `${JSON.stringify(me)}\n`))) continue;
      const after = await locksAt(path);
      if (after.some((lock) => lock.path === mine) && !(await holder(after, me))) {
        await removeAll(after.filter((lock) => lock.path !== mine));
        return () => giveBack(mine, me);
      }
      await removeAll([{ path: mine }]);
      await sleep(SETTLE_MS * Math.random());
    }
  } catch (error) {
    ours.delete(me.token);
    throw error;
  }
}

/** Whether a file in a folder belongs to the lock `name` there. */
export function isLockFile(file: string, name: string): boolean {
  return (
    file === name || (file.startsWith(`${name}.`) && /^\d+$/.test(file.slice(name.length + 1)))
  );
}

interface Lock {
  readonly path: string;
  readonly number: number;
}

const numbered = (path: string, number: number): string =>
  number === 0 ? path : `${path}.${number}`;

/** The lock files at `path`, void or not. */
async function locksAt(path: string): Promise<Lock[]> {
  const fs = await import('node:fs/promises');
  const { basename, dirname, join } = await import('node:path');
  const [folder, name] = [dirname(path), basename(path)];
  const names = await fs.readdir(folder).catch((error: Error) => {
    throw new EspalierError(`${folder}: expected a folder for a lock, got: ${error.message}.`);
  });
  return names
    .filter((file) => isLockFile(file, name))
    .map((file) => ({ path: join(folder, file), number: Number(file.slice(name.length + 1)) }));
}

/** Another living owner of one of them. */
async function holder(locks: readonly Lock[], me: Owner): Promise<Owner | undefined> {
  for (const { path } of locks) {
    const owner = await readOwner(path);
    if (owner && owner.token !== me.token && (await isAlive(owner, me))) return owner;
  }
  return undefined;
}

async function giveBack(path: string, me: Owner): Promise<void> {
  if (!ours.delete(me.token)) return;
  const owner = await readOwner(path);
  if (owner?.token === me.token) await removeAll([{ path }]);
}

async function removeAll(locks: readonly Pick<Lock, 'path'>[]): Promise<void> {
  const fs = await import('node:fs/promises');
  await Promise.all(locks.map(({ path }) => fs.rm(path, { force: true })));
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
    // What a full disk leaves of it would be a lock of nobody.
    if (isNoRoom(error)) await removeAll([{ path }]);
    throw new EspalierError(`${path}: expected to write the lock file, got: ${message}.`, {
      cause: error,
    });
  }
}

/** The owner a lock file names; undefined where it is gone, or torn and nobody completes it. */
async function readOwner(path: string, patience = 4): Promise<Owner | undefined> {
  const fs = await import('node:fs/promises');
  const text = await fs.readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw new EspalierError(`${path}: expected to read the lock file, got: ${error.message}.`);
  });
  if (!text.startsWith(START) && !START.startsWith(text))
    fail(path, 'a lock file or none', 'another file', 'It was left as it is.');
  try {
    const { pid, host, space = '', started = '', token } = JSON.parse(text) as Partial<Owner>;
    if (!Number.isInteger(pid) || typeof host !== 'string') return undefined;
    return { pid: pid as number, host, space, started, token: String(token) };
  } catch {
    if (patience === 0) return undefined;
    await sleep(SETTLE_MS);
    return readOwner(path, patience - 1);
  }
}

async function thisProcess(): Promise<Owner> {
  const fs = await import('node:fs/promises');
  const os = await import('node:os');
  return {
    pid: process.pid,
    host: os.hostname(),
    space: await fs.readlink('/proc/self/ns/pid').catch(() => ''),
    started: await startOf(process.pid),
    token: globalThis.crypto.randomUUID(),
  };
}

/** Whether the owner runs on another machine or in another container, where nothing can be asked. */
const isElsewhere = (owner: Owner, me: Owner): boolean =>
  owner.host !== me.host || (owner.space !== '' && me.space !== '' && owner.space !== me.space);

async function isAlive(owner: Owner, me: Owner): Promise<boolean> {
  // Better refuse than share.
  if (isElsewhere(owner, me)) return true;
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

function refuse(path: string, owner: Owner, me: Owner, { where, instead }: LockWords): never {
  const elsewhere = isElsewhere(owner, me);
  fail(
    path,
    `no other process ${where}`,
    `process ${owner.pid}${elsewhere ? ` on ${owner.host}` : ''}`,
    elsewhere ? 'If it is gone, delete the lock file.' : `Wait for it or stop it, or ${instead}.`,
  );
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
