/** Every subject once at tiny sizes: results are checked, times are not. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../bench/goldens';
import { hold } from '../../bench/harness';
import { installed } from '../../bench/peers/packages';
import { machineOf, render } from '../../bench/report';
import { subjects } from '../../bench/subjects';
// @ts-expect-error A script without types.
import { bundle } from '../../scripts/bench.mjs';
import { type Engine, load } from '../../src/runtime/engine';

const PLAN = { rounds: 1, samples: 1, warmSeconds: 0, leastSeconds: 1e-5 };

const absent = (name: string): boolean =>
  (['peers', 'pruned'].includes(name) && !installed()) || (name === 'verifiers' && !present());

let engine: Engine;
let [script, library] = ['', ''];
beforeAll(async () => {
  engine = await load({ threads: 1 });
  script = await bundle('bench/main.ts', 'test-main');
  library = await bundle('src/index.ts', 'test-library');
});
afterAll(() => {
  engine.close();
  for (const path of [script, library]) rmSync(path);
});

describe.each(Object.entries(subjects))('%s', (name, subject) => {
  it.skipIf(absent(name))('runs and is right', async () => {
    const used = engine.memory.usedBytes;
    const titles = new Set<string>();
    for await (const race of subject.races({ engine, size: 'tiny', script, library })) {
      const outcome = await hold(race, PLAN);
      titles.add(outcome.title);
      expect(new Set(outcome.results.map((result) => result.name)).size).toBe(
        race.contestants.length,
      );
      for (const { median, samples } of outcome.results) {
        expect(samples.length).toBeGreaterThan(0);
        expect(median).toBeGreaterThan(0);
      }
      for (const { value } of outcome.ratios) expect(value).toBeGreaterThan(0);
      expect(render(outcome, 'text')).toContain(outcome.title);
    }
    expect(titles.size).toBeGreaterThan(0);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });
});

it('names the machine', () => {
  const machine = machineOf(engine.info());
  expect(machine).toMatchObject({ node: process.versions.node, threads: 1 });
  expect(machine.cpu).not.toBe('');
});

it.each([
  [['nonsense'], 'expected one of roofline, products'],
  [['--roundz', '3'], '--roundz'],
  [['--rounds', 'x'], '--rounds: expected a whole number >= 1, got x.'],
  [['--binary', 'fast'], "expected 'simd', 'relaxed' or 'auto', got fast"],
])('refuses %j', (argv, sentence) => {
  const { status, stderr } = spawnSync(process.execPath, [script, ...argv], { encoding: 'utf8' });
  expect(stderr).toContain(sentence);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(status).toBe(2);
});
