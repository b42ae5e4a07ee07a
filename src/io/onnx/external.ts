/** Data files beside a model: plain files in its own folder, and no others. */
import { expect, fail } from '../../errors';
import type { External } from './element';

/**
 * Reads files beside the model at `path`, of at most `limit` bytes, by their names.
 *
 * The reader raises EspalierError for names that are no plain file inside the folder of the model:
 * absent, a folder, or a link that leads out of it.
 */
export async function filesBeside(path: string, limit: number): Promise<External> {
  const fs = await import('node:fs');
  const { dirname, isAbsolute, join, relative } = await import('node:path');
  const folder = fs.realpathSync(dirname(path));
  return (name) => {
    const beside = join(folder, name);
    const what = `its external data ${name.slice(0, 200)}`;
    const stat = statOf(fs, beside);
    if (!stat?.isFile()) return fail(path, `${what} beside it`, 'no such file');
    const real = fs.realpathSync(beside);
    const way = relative(folder, real);
    const inside = way !== '' && !way.split(/[\\/]/).includes('..') && !isAbsolute(way);
    const hint = 'Copy the data into the folder of the model.';
    expect(inside, path, `${what} in its folder`, 'a link out of it', hint);
    expect(stat.size <= limit, beside, `at most ${limit} bytes`, stat.size);
    return fs.readFileSync(real);
  };
}

/** Also of names that no file can have, such as too long ones, there is none. */
function statOf(fs: typeof import('node:fs'), path: string): import('node:fs').Stats | undefined {
  try {
    return fs.statSync(path);
  } catch {
    return undefined;
  }
}
