/** 60 files made to harm, four of a kind; test/slow has ten times as many. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hostileFiles } from '../helpers/hostile/all';
import { MOST_BYTES } from '../helpers/hostile/file';
import { faults, runAll, runHostile } from '../helpers/hostile/run';
import { buildCli, type Cli } from './child';

let cli: Cli | undefined;
beforeAll(async () => {
  cli = await buildCli();
}, 120_000);
afterAll(() => cli?.close());

it('end in a sentence, in short time and little memory', async () => {
  const files = hostileFiles(4);
  expect(files).toHaveLength(60);
  for (const { name, files: parts } of files)
    for (const content of Object.values(parts))
      expect(content.length, name).toBeLessThanOrEqual(MOST_BYTES);
  expect(await runAll(cli!.program, files)).toEqual([]);
}, 600_000);

it('would be caught', async () => {
  const bad = {
    code: 70,
    output: `${'x\n'.repeat(200)}    at f (file:1:2)\n\x1b[31m`,
    seconds: 9,
    bytes: 2 ** 31,
  };
  expect(faults(bad)).toHaveLength(6);
  expect(faults({ code: null, output: '', seconds: Number.NaN, bytes: Number.NaN })).toHaveLength(
    1,
  );
  const fine = await runHostile(cli!.program, { name: 'help', files: {}, argv: ['--help'] });
  expect(faults(fine)).toEqual([]);
  expect(fine.seconds).toBeGreaterThan(0);
  expect(fine.bytes).toBeGreaterThan(2 ** 20);
});
