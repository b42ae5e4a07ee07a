/** `espalier sweep` in processes: the example in small, killed and taken up again, and its dry run. */
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SweepResult } from '../../src/report/sweep-types';
import { read } from '../docs/markdown';
import { inTemporaryFolder } from '../recipe/temporary';
import { buildCli, type Cli } from './child';
import { run } from './fake';

let cli: Cli;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.close());

/** The example, with less of everything. */
const SMALL = [
  ...['--set', 'network.hidden=[12]', '--set', 'pretrain.epochs=3', '--set', 'finetune.epochs=2'],
  ...['--set', 'evaluate.attack.steps=2', '--set', 'evaluate.attackLimit=50'],
];

const small = (lists: object = {}): string =>
  JSON.stringify({
    ...JSON.parse(read('examples/sweep-digits.json')),
    ...{ controls: ['none', 'random-mask'], sparsities: [0.9], seeds: [1, 2], ...lists },
  });

/** Results without what the clock decides. */
const timeless = (result: SweepResult): object => ({
  ...result,
  runs: result.runs.map((one) => ({ ...one, result: one.result && { ...one.result, seconds: 0 } })),
});

describe('espalier sweep', () => {
  it('killed again and again, ends as if nothing had been, and does nothing twice', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('s.json', small());
      const argv = (dir: string) => [
        ...['sweep', file('s.json'), '--out', file(dir), '--jobs', '2', '--json', ...SMALL],
      ];
      const whole = await cli.run(argv('whole'));
      expect(whole.code, whole.stderr).toBe(0);
      const result: SweepResult = JSON.parse(whole.stdout);
      expect(result.runs).toHaveLength(8);
      expect(result.groups).toHaveLength(4);
      expect(result.pairs).toHaveLength(12);
      expect(await readdir(file('whole'))).toEqual(['dense', 'report.html', 'runs', 'sweep.json']);
      expect(await readdir(file('whole/dense'))).toHaveLength(2);
      // As far as each start comes before its first or second sign of life, by both signals.
      let kills = 0;
      for (const signal of ['SIGKILL', 'SIGINT', 'SIGKILL'] as const) {
        let events = 0;
        const child = cli.start(argv('parts'), (event) => {
          if (event.type === 'progress' && ++events === 2) child.process.kill(signal);
        });
        const { code, stderr } = await child.finished;
        if (code === 0) break;
        expect([null, 130], stderr).toContain(code);
        expect(await readdir(file('parts'))).not.toContain('sweep.json');
        kills++;
      }
      expect(kills).toBeGreaterThan(0);
      const last = await cli.run(argv('parts'));
      expect(last.code, last.stderr).toBe(0);
      expect(timeless(JSON.parse(last.stdout))).toEqual(timeless(result));
      for (const dir of await readdir(file('parts/runs'))) {
        const model = (of: string) =>
          readFile(file(`${of}/runs/${dir}/pruned.safetensors`), 'base64');
        expect(await model('parts')).toBe(await model('whole'));
      }
      const again = await cli.run(argv('parts'));
      expect(again.code, again.stderr).toBe(0);
      expect(JSON.parse(again.stdout)).toEqual(JSON.parse(last.stdout));
    });
  });

  it('reports a faulty run in its row, exits with 1, and does the others', async () => {
    await inTemporaryFolder(async (file, write) => {
      const strategies = ['magnitude', 'magnitud'];
      const grid = { 'finetune.learningRate': [0.001, 1e20] };
      await write('s.json', small({ strategies, grid, controls: ['none'], seeds: [1] }));
      const { code, stdout, stderr } = await cli.run([
        ...['sweep', file('s.json'), '--out', file('s'), ...SMALL],
      ]);
      expect(code, stderr).toBe(1);
      expect(stdout).toMatch(/sweep-digits: 1 of 4 runs/);
      expect(stdout).toMatch(/Did you mean "magnitude"\?/);
      expect(stdout).toMatch(/training, epoch 1, step \d+: expected a finite/);
      expect(stdout).toContain('report.html');
    });
  });

  it('--dry-run prints jobs, multiply-adds and time, and leaves nothing', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('s.json', small());
      const argv = ['sweep', file('s.json'), '--out', file('s'), '--dry-run', ...SMALL];
      const { code, stdout, stderr } = await cli.run([...argv, '--json', '--jobs', '2']);
      expect(code, stderr).toBe(0);
      const { jobs, seconds, runs } = JSON.parse(stdout);
      expect(runs).toBe(8);
      expect(jobs).toHaveLength(10);
      const sum = jobs.reduce((total: number, job: { seconds: number }) => total + job.seconds, 0);
      expect(seconds).toBeCloseTo(sum / 2, 9);
      for (const job of jobs) expect(job.operations).toBeGreaterThan(0);
      const text = await cli.run([...argv]);
      expect(text.code, text.stderr).toBe(0);
      expect(text.stdout).toMatch(
        /begins with[\s\S]*dense\/mlp-ibp-s1-[\s\S]*about .* on this machine/,
      );
      expect(await readdir(file('.'))).toEqual(['s.json']);
    });
  });

  it('the example is a sweep', async () => {
    const { code, stdout, stderr } = await run('sweep examples/sweep-digits.json --dry-run --json');
    expect(code, stderr).toBe(0);
    // 2 strategies x (2 sparsities x 2 controls + dense-longer) x 3 seeds.
    expect(JSON.parse(stdout).runs).toBe(30);
  });

  it.each<[string, string, RegExp]>([
    ['no config', 'sweep', /CONFIG: expected a JSON config/],
    ['no jobs', 'sweep examples/sweep-digits.json --jobs 0', /--jobs: expected a whole number/],
    ['a config of compress', 'sweep examples/mnist-ibp.json', /seed: expected a known option/],
    ['a file that is not there', 'sweep nowhere.json', /nowhere\.json/],
  ])('refuses %s', async (_, line, message) => {
    const { code, stderr } = await run(line);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});
