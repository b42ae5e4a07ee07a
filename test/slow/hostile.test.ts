/** 600 files made to harm, each read by the real command line within limits (test/helpers/hostile). */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildCli, type Cli } from '../cli/child';
import { hostileFiles, KINDS } from '../helpers/hostile/all';
import { runAll } from '../helpers/hostile/run';

let cli: Cli | undefined;
beforeAll(async () => {
  cli = await buildCli();
}, 120_000);
afterAll(() => cli?.close());

it.each(Object.keys(KINDS))('%s', async (kind) => {
  const files = hostileFiles(40, 1).filter(({ name }) => name.startsWith(`${kind}: `));
  expect(await runAll(cli!.program, files)).toEqual([]);
});
