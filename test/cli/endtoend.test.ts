/** The real command line in processes of its own: a run from start to report, and every wrong use. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backend } from '../../src/cli/wiring';
import type { Summary } from '../../src/report/types';
import { inTemporaryFolder } from '../recipe/temporary';
import { buildCli, type Cli } from './child';
import { run } from './fake';

let cli: Cli;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.close());

const TINY = {
  network: { name: 'mlp', hidden: [16] },
  objective: { name: 'ibp', eps: 0.03 },
  pretrain: { epochs: 4, batch: 64, learningRate: 0.005 },
  finetune: { epochs: 2, batch: 64 },
  evaluate: { attack: { name: 'pgd', steps: 5 } },
};

describe('a run', () => {
  it('goes from nothing to a report; its models can be looked at, pruned, tuned, judged', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('tiny.json', JSON.stringify(TINY));
      const at = (name: string): string => file(`run/${name}`);
      const { code, stdout, stderr } = await cli.run([
        'compress',
        file('tiny.json'),
        '-o',
        file('run'),
      ]);
      expect(code, stderr).toBe(0);
      expect(stdout).toMatch(/dense against pruned/);
      expect(stdout).toMatch(/benign[\s\S]*ERA[\s\S]*VRA/i);
      expect((await readdir(file('run'))).sort()).toEqual([
        ...['checkpoint.safetensors', 'config.json', 'dense.safetensors', 'journal.jsonl'],
        ...['outcomes.json', 'pruned.safetensors', 'report.html', 'summary.json'],
      ]);
      const summary: Summary = JSON.parse(await readFile(at('summary.json'), 'utf8'));
      expect(summary.contradictions).toBe(0);
      expect(summary.dense.benign.value).toBeGreaterThan(0.6);
      // 64 x 16 + 16 x 10 weights.
      expect(summary.layers.reduce((n, layer) => n + layer.nonzero, 0)).toBe(
        1184 - Math.round(0.9 * 1184),
      );
      const report = await readFile(at('report.html'), 'utf8');
      expect(report).toMatch(/^<!doctype html>/i);
      expect(report).not.toMatch(/(src|href)="https?:/);

      const json = async (...argv: string[]) => {
        const done = await cli.run([...argv, '--json', '--threads', '1']);
        expect(done.code, done.stderr).toBe(0);
        return JSON.parse(done.stdout);
      };
      // A finished run shows its result again.
      expect(await json('compress', file('tiny.json'), '-o', file('run'))).toEqual(summary);
      expect(await json('inspect', at('pruned.safetensors'))).toMatchObject({
        layers: summary.layers,
      });
      const { benign, era, vra, contradictions } = await json('evaluate', at('pruned.safetensors'));
      expect({ benign, era, vra, contradictions }).toEqual({
        ...summary.pruned,
        contradictions: 0,
      });
      const few = await json(
        'evaluate',
        at('dense.safetensors'),
        '--eps',
        '8/255',
        '--limit',
        '20',
      );
      expect(few).toMatchObject({ eps: 8 / 255, era: { total: 20 }, vra: { total: 20 } });
      await json(
        'prune',
        at('dense.safetensors'),
        '--sparsity',
        '0.5',
        '-o',
        file('half.safetensors'),
      );
      await json('finetune', file('half.safetensors'), '-o', file('tuned.safetensors'));
      const { layers } = await json('inspect', file('tuned.safetensors'));
      const left = (layers as Summary['layers']).reduce((n, layer) => n + layer.nonzero, 0);
      expect(left).toBe(592);
      const bounds = await json('bounds', file('tuned.safetensors'), '--index', '3');
      expect(JSON.stringify(bounds)).toContain('"margins"');
    });
  });

  it('train is its first half', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('tiny.json', JSON.stringify(TINY));
      const argv = [file('tiny.json'), '-o', file('run'), '--json'];
      const train = await cli.run(['train', ...argv]);
      expect(train.code, train.stderr).toBe(0);
      expect(JSON.parse(train.stdout).epochs).toHaveLength(4);
      expect(await readdir(file('run'))).not.toContain('pruned.safetensors');
      const rest = await cli.run(['compress', ...argv]);
      expect(rest.code, rest.stderr).toBe(0);
      expect(rest.stderr).toMatch(/Going on from the checkpoint/);
    });
  });
});

/** [what, arguments after the config, what is said]: all exit with 2 and a single sentence. */
const WRONG: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['an unknown option', ['--sparsity', '0.5'], /expected one of .*got --sparsity/],
  ['a mistyped option', ['--thread', '1'], /Did you mean "--threads"\?/],
  [
    'an unknown key',
    ['--set', 'prune.sparsety=0.5'],
    /prune\.sparsety.* Did you mean "sparsity"\?/,
  ],
  ['an unknown section', ['--set', 'pretrane.epochs=1'], /Did you mean "pretrain"\?/],
  ['an unknown objective', ['--set', 'objective=ipb'], /objective.*Did you mean "ibp"\?/],
  ['an unknown strategy', ['--set', 'prune.strategy=magnitud'], /Did you mean "magnitude"\?/],
  ['an unknown attack', ['--set', 'evaluate.attack=pdg'], /Did you mean "pgd"\?/],
  ['an unknown verifier', ['--set', 'evaluate.verifier=intervall'], /Did you mean "interval"\?/],
  ['an unknown network', ['--set', 'network=cnn-smal'], /Did you mean "cnn-small"\?/],
  ['an unknown data set', ['--set', 'data=mnst'], /Did you mean "mnist"\?/],
  [
    'a ratio of 1',
    ['--set', 'prune.sparsity=1.0'],
    /prune\.sparsity: expected a fraction in \[0, 1\)/,
  ],
  ['a negative ratio', ['--set', 'prune.sparsity=-0.1'], /a fraction in \[0, 1\).*got -0\.1/],
  ['a ratio in percent', ['--set', 'prune.sparsity=90'], /a fraction in \[0, 1\).*got 90/],
  ['eps 0', ['--set', 'objective.eps=0'], /objective\.eps: expected a radius in \(0, 1\]/],
  ['a negative eps', ['--set', 'evaluate.eps=-0.1'], /evaluate\.eps: expected a radius/],
  ['eps by zero', ['--set', 'evaluate.eps=8/0'], /evaluate\.eps: expected a radius/],
  ['eps in pixels', ['--set', 'evaluate.eps=8'], /evaluate\.eps: expected a radius.*"?8/],
  [
    'no epochs but a word',
    ['--set', 'pretrain.epochs=many'],
    /pretrain\.epochs: expected a whole number/,
  ],
  ['half a seed', ['--seed', '1.5'], /--seed: expected a whole number/],
  ['a seed too large', ['--seed', '9007199254740991'], /seed: expected a whole number in/],
  ['no threads', ['--threads', '0'], /--threads: expected a whole number in \[1, 64\]/],
  ['a set without value', ['--set', 'seed'], /expected key=value/],
  [
    'a data folder that is not there',
    ['--set', 'data.name=cifar10', '--set', 'data.path=/nowhere'],
    /\/nowhere/,
  ],
  [
    'a sparsity out of reach',
    ['--set', 'prune.sparsity=0.99999'],
    /prune\.sparsity: expected at most/,
  ],
];

describe('wrong use', () => {
  it.each(WRONG)('%s: one sentence, exit code 2, nothing left behind', async (_, argv, said) => {
    await inTemporaryFolder(async (file, write) => {
      await write('tiny.json', JSON.stringify(TINY));
      // In this process, as there is nothing to compute; with what computes behind it all the same.
      const line = ['compress', file('tiny.json'), '-o', file('run'), ...argv];
      const done = await run(line, backend);
      expect(done.code, done.stderr).toBe(2);
      const errors = done.stderr.split('\n').filter((line) => /error:/.test(line));
      expect(errors).toHaveLength(1);
      expect(errors[0]).toMatch(said);
      expect(done.stderr).not.toMatch(/\n\s+at |bug in espalier/);
      expect(done.stdout).toBe('');
      expect(await readdir(file('.'))).toEqual(['tiny.json']);
    });
  });

  it('takes eps as a quotient', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write(
        'tiny.json',
        JSON.stringify({ ...TINY, objective: { name: 'ibp', eps: '8/255' } }),
      );
      const { code, stderr } = await cli.run([
        ...['compress', file('tiny.json'), '-o', file('run')],
        ...[
          '--set',
          'evaluate.eps=2/255',
          '--set',
          'pretrain.epochs=1',
          '--set',
          'finetune.epochs=0',
        ],
      ]);
      expect(code, stderr).toBe(0);
      const { config } = JSON.parse(await readFile(file('run/summary.json'), 'utf8')).provenance;
      expect([config.objective.eps, config.evaluate.eps]).toEqual([8 / 255, 2 / 255]);
    });
  });

  it('data that are damaged, and models that are none, are named', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write(
        'tiny.json',
        JSON.stringify({ ...TINY, data: { name: 'mnist', path: file('data') } }),
      );
      const start = () => cli.run(['compress', file('tiny.json'), '-o', file('run')]);
      expect((await start()).stderr).toMatch(/mnist: expected a folder with the four IDX files/);
      await mkdir(file('data'));
      expect((await start()).stderr).toMatch(/train-images-idx3-ubyte: expected a file/);
      await writeFile(file('data/train-images-idx3-ubyte'), Buffer.from([0, 0, 8, 3, 0, 0]));
      await writeFile(file('data/train-labels-idx1-ubyte'), Buffer.from([0, 0, 8, 1, 0, 0, 0, 0]));
      const { code, stderr } = await start();
      expect(code).toBe(2);
      expect(stderr).toMatch(/train-images-idx3-ubyte: expected an IDX header/);
      await write('model.safetensors', 'not a model at all');
      for (const command of ['inspect', 'evaluate', 'prune', 'finetune']) {
        const done = await cli.run([command, file('model.safetensors')]);
        expect(done.code, done.stderr).toBe(2);
        expect(done.stderr).toContain('model.safetensors');
        expect(done.stderr).not.toMatch(/bug in espalier/);
      }
    });
  });

  it('a report that cannot be made leaves a finished run, which makes it next time', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('tiny.json', JSON.stringify(TINY));
      const argv = [file('tiny.json'), '-o', file('run'), '--json', '--threads', '1'];
      expect((await run(['train', ...argv], backend)).code).toBe(0);
      await mkdir(file('run/report.html'));
      const first = await run(['compress', ...argv], backend);
      expect(first.code, first.stderr).toBe(74);
      expect(first.stderr).toMatch(/report\.html: expected to make the report, got/);
      const summary = JSON.parse(await readFile(file('run/summary.json'), 'utf8'));
      expect(JSON.parse(first.stdout)).toEqual(summary);
      await rm(file('run/report.html'), { recursive: true });
      const second = await run(['compress', ...argv], backend);
      expect(second.code, second.stderr).toBe(0);
      expect(JSON.parse(second.stdout)).toEqual(summary);
      expect(await readFile(file('run/report.html'), 'utf8')).toMatch(/^<!doctype html>/i);
    });
  });

  it('another run is not overwritten', async () => {
    await inTemporaryFolder(async (file, write) => {
      const fast = { ...TINY, pretrain: { epochs: 1 }, finetune: { epochs: 0 } };
      await write('tiny.json', JSON.stringify(fast));
      const argv = ['compress', file('tiny.json'), '-o', file('run')];
      expect((await cli.run(argv)).code).toBe(0);
      const before = await readFile(file('run/pruned.safetensors'));
      const done = await cli.run([...argv, '--seed', '2']);
      expect(done.code).toBe(2);
      expect(done.stderr).toMatch(/another run.*seed: 1, 2.*--out/);
      expect(await readFile(file('run/pruned.safetensors'))).toEqual(before);
    });
  });
});
