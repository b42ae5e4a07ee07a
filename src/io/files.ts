/**
 * Files on disk: capped reads, atomic writes, and the folder of an installed package.
 *
 * Everything of Node's is imported when called, so importing this module costs nothing and a bundle
 * for the browser keeps working until a file is really asked for. Every failure is an EspalierError
 * that names the file and the cause.
 */
import { EspalierError, expect, fail } from '../errors';
import { parseJson } from '../json';

const CAUSES: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EEXIST: 'there is a file of this name',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'a folder',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'a read-only file system',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'a name too long for the file system',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'a file too big for the file system',
  EIO: 'an input/output error of the device',
};

/** `ENOSPC (the disk is full)`, or the error's own message. */
function cause(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === 'string' && Object.hasOwn(CAUSES, code)) return `${code} (${CAUSES[code]})`;
  return error instanceof Error ? error.message : String(error);
}

/** Whether `path` is a regular file or a folder; undefined if there is nothing to read there. */
export async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  const fs = await import('node:fs/promises');
  try {
    const stat = await fs.stat(path);
    if (stat.isFile()) return 'file';
    return stat.isDirectory() ? 'folder' : undefined;
  } catch {
    return undefined;
  }
}

/** Raises an error where files cannot be made in a folder. */
export async function checkWritable(folder: string, who: string): Promise<void> {
  const fs = await import('node:fs/promises');
  await fs.access(folder, fs.constants.W_OK).catch((error: unknown) => {
    fail(who, 'a folder to write to', cause(error));
  });
}

/** Whether two paths lead to the same file, by links or not. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  const fs = await import('node:fs/promises');
  try {
    const [one, other] = await Promise.all([a, b].map((path) => fs.stat(path, { bigint: true })));
    return one!.dev === other!.dev && one!.ino === other!.ino;
  } catch {
    return false;
  }
}

/**
 * Creates a folder and those above it; what is there already stays. Returns the first it made. One level
 * after the other, as Node's own recursion never ends below folders that take no entries (`/proc`).
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  const fs = await import('node:fs/promises');
  const { dirname, resolve } = await import('node:path');
  const missing: string[] = [];
  let above = resolve(path);
  for (; (await kindOf(above)) === undefined && dirname(above) !== above; above = dirname(above))
    missing.push(above);
  for (const folder of missing.length > 0 ? missing.toReversed() : [path])
    await fs.mkdir(folder).catch(async (error: unknown) => {
      // It was there, or another process was faster.
      if ((await kindOf(folder)) === 'folder') return;
      const hint = 'Choose another name.';
      fail(path, 'to create this folder', cause(error), hint, { cause: error });
    });
  return missing.at(-1);
}

/**
 * The whole of a regular file of at most `maxBytes` bytes.
 *
 * Raises EspalierError if it is missing, unreadable, not a regular file, or larger.
 */
export async function readFile(path: string, maxBytes: number): Promise<Uint8Array> {
  const fs = await import('node:fs/promises');
  let handle: Awaited<ReturnType<typeof fs.open>> | undefined;
  try {
    // A pipe would block the open itself, so the kind is asked first.
    const kind = await fs.stat(path);
    if (!kind.isFile())
      fail(path, 'a regular file', kind.isDirectory() ? 'a folder' : 'a special file');
    handle = await fs.open(path, 'r');
    const { size } = await handle.stat();
    if (size > maxBytes) fail(path, `at most ${maxBytes} bytes`, `${size} bytes`);
    const bytes = new Uint8Array(size);
    let at = 0;
    while (at < size) {
      const { bytesRead } = await handle.read(bytes, at, size - at, at);
      if (bytesRead === 0)
        fail(path, `${size} bytes`, `${at}`, 'The file shrank while being read.');
      at += bytesRead;
    }
    return bytes;
  } catch (error) {
    if (error instanceof EspalierError) throw error;
    return fail(path, 'a readable file', cause(error));
  } finally {
    await handle?.close();
  }
}

/**
 * A file's bytes, decompressed if they are gzip; both sizes are at most `maxBytes`. `sizeOf`, where a
 * format can tell, gives the whole size from the first 64 bytes (or fewer) or raises an error; more is
 * then never unpacked.
 */
export async function readPlainOrGzip(
  path: string,
  maxBytes: number,
  sizeOf?: (start: Uint8Array) => number,
): Promise<Uint8Array> {
  const bytes = await readFile(path, maxBytes);
  const { gunzip, gzipStart, isGzip } = await import('./gzip');
  if (!isGzip(bytes)) return bytes;
  const size = sizeOf?.(await gzipStart(bytes, path, 64)) ?? maxBytes;
  return gunzip(bytes, path, Math.min(size, maxBytes));
}

/**
 * Replaces `path` by `content` so that a reader, or a crash at any moment, sees the old file or the
 * new one and nothing between: a temporary file in the same folder, synced, renamed, and the
 * folder synced where the system can. A symbolic link is followed, not replaced.
 *
 * Raises EspalierError, after removing the temporary file, if anything fails.
 */
export async function writeAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const fs = await import('node:fs/promises');
  const target = await fs.realpath(path).catch(() => path);
  await putAtomic(path, target, content, (from) => fs.rename(from, target));
}

/**
 * Creates `path` as `writeAtomic` would, but where nothing is: false, and no change, if there is
 * anything of that name, even if another process has put it there this moment.
 */
export async function createAtomic(path: string, content: Uint8Array | string): Promise<boolean> {
  const fs = await import('node:fs/promises');
  let created = true;
  await putAtomic(path, path, content, async (from) => {
    try {
      // File systems without hard links copy: a crash may then leave a part.
      await fs.link(from, path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') throw error;
        return fs.copyFile(from, path, fs.constants.COPYFILE_EXCL);
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      created = false;
    }
    await fs.rm(from, { force: true });
  });
  return created;
}

/** Puts content into the file of a name, whole or not at all: `writeAtomic`, or `writeNew`. */
export type Put = (path: string, content: Uint8Array | string) => Promise<void>;

/**
 * Creates `path` where nothing is. Where something came there meanwhile that stays, and the content goes
 * into a file beside it (`net-1.onnx`), which the EspalierError names: nothing is lost.
 */
export const writeNew: Put = async (path, content) => {
  if (await createAtomic(path, content)) return;
  const { extname } = await import('node:path');
  const extension = extname(path);
  const stem = path.slice(0, path.length - extension.length);
  for (let i = 1; ; i++) {
    const beside = `${stem}-${i}${extension}`;
    if (await createAtomic(beside, content))
      fail(path, 'no such file yet', 'one that came meanwhile', `The result is in ${beside}.`);
  }
};

/** Writes a temporary file beside `target`, synced, and has `place` move it there. */
async function putAtomic(
  path: string,
  target: string,
  content: Uint8Array | string,
  place: (temporary: string) => Promise<void>,
): Promise<void> {
  const fs = await import('node:fs/promises');
  const { dirname, basename, join } = await import('node:path');
  const { randomBytes } = await import('node:crypto');
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const folder = dirname(target);
  const temporary = join(folder, `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
  let created = false;
  try {
    const handle = await fs.open(temporary, 'wx');
    created = true;
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await place(temporary);
  } catch (error) {
    if (created) await fs.rm(temporary, { force: true }).catch(() => undefined);
    const got = `${cause(error)}; nothing was overwritten`;
    fail(path, `to write ${bytes.length} bytes`, got, '', { cause: error });
  }
  await syncFolder(folder);
}

/** Makes the rename itself durable; systems that cannot sync a folder (Windows) are let off. */
async function syncFolder(folder: string): Promise<void> {
  const fs = await import('node:fs/promises');
  try {
    const handle = await fs.open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // The file is complete and in place; only its survival of a power cut is less certain.
  }
}

/**
 * The folder of the installed npm package `name`, seen from the working directory or from this
 * library; undefined if neither finds it.
 */
export async function packageFolder(name: string): Promise<string | undefined> {
  expect(/^(@[a-z0-9._-]+\/)?[a-z0-9._-]+$/.test(name), 'package name', 'an npm name', name);
  const { createRequire } = await import('node:module');
  const { dirname, join } = await import('node:path');
  // A CommonJS bundle has __filename and an empty import.meta; a module the other way round.
  const self = typeof __filename === 'string' ? __filename : import.meta.url;
  for (const from of [join(process.cwd(), 'package.json'), self]) {
    try {
      return dirname(createRequire(from).resolve(`${name}/package.json`));
    } catch {
      // Not from here; the next place may know it.
    }
  }
  return undefined;
}

/** The value in a small file of JSON, of at most 1 MiB. */
export async function readJson(path: string): Promise<unknown> {
  return parseJson(new TextDecoder().decode(await readFile(path, 1 << 20)), path);
}
