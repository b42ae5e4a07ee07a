/**
 * From `import` to a first result, in a process of its own for every sample, measured there: the time
 * of Node itself to start is not in it. The file is in the machine's cache from the call before.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect } from '../src/errors';
import type { Contestant, Race } from './harness';
import type { Subject } from './subject';

/** Wanted on Node 20, one thread. */
const BAR_SECONDS = 0.03;

/** Expressions of an engine `e`, with the library as `L`. */
const RESULTS = {
  'a product':
    'L.step(e, () => L.matmul(L.input(e, [1, 2], [1, 2]), L.input(e, [3, 4], [2, 1])).read()[0] === 11)',
  'cnn-small, one image':
    "L.step(e, () => L.logits(L.createModel(e, L.buildNetwork('cnn-small', {}, [1, 28, 28], 10)), L.input(e, new Float32Array(784), [1, 1, 28, 28])).read().length === 10)",
};

export const start: Subject = {
  about: 'import, load() and a first result in a fresh process',
  *races({ engine, size, library }) {
    const { binary } = engine;
    expect(existsSync(library), 'bench: start', 'a built library', library, 'Run npm run build.');
    const counts = size === 'full' ? [1, 2] : [1];
    const contestants = counts.flatMap((threads) =>
      Object.entries(RESULTS).map(
        ([what, result]): Contestant => ({
          name: `${what}, ${threads} thread${threads === 1 ? '' : 's'}`,
          selfTimed: true,
          run: () => seconds(library, `{ threads: ${threads}, binary: '${binary}' }`, result),
        }),
      ),
    );
    yield {
      title: `import, load() and a first result, ${binary} binary (wanted: ${1000 * BAR_SECONDS} ms)`,
      contestants,
    } satisfies Race;
  },
};

async function seconds(library: string, options: string, result: string): Promise<number> {
  const program = `
    const started = performance.now();
    const L = await import(${JSON.stringify(pathToFileURL(library).href)});
    const e = await L.load(${options});
    const right = ${result};
    const ended = performance.now();
    e.close();
    console.log(right ? (ended - started) / 1000 : 'wrong');`;
  const argv = [...process.execArgv, '--input-type=module', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, argv);
  const time = Number(stdout);
  if (!(time > 0)) throw new Error(`start-up: expected a first result, got ${stdout}`);
  return time;
}
