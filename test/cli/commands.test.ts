/** What each command asks of the backend, prints and returns. */
import { link, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/cli/backend';
import { Interrupted } from '../../src/events';
import { lineOf } from '../../src/io/journal';
import type { Fit } from '../../src/measure/fit';
import type { PlanView } from '../../src/measure/plan-view';
import type { Config } from '../../src/recipe/config';
import { inTemporaryFolder } from '../recipe/temporary';
import { evaluation, inspection, run, scan, summary } from './fake';

describe('compress', () => {
  it('runs the config with what was set, in the directory given', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('a.json', '{"name": "mine", "seed": 3, "pretrain": {"epochs": 2}}');
      let seen: Config | undefined;
      const compress: Backend['compress'] = async (config, { dir }) => {
        seen = config;
        expect(dir.dir).toBe(file('run'));
        return summary();
      };
      const sets = ['--set', 'prune.sparsity=0.5', '--set=finetune.epochs=1', '--seed', '9'];
      const argv = ['compress', file('a.json'), '-o', file('run'), ...sets];
      const { code, stdout, stderr } = await run(argv, { compress });
      expect(stderr).toBe('');
      expect(code).toBe(0);
      expect(seen).toMatchObject({
        name: 'mine',
        seed: 9,
        pretrain: { epochs: 2 },
        prune: { sparsity: 0.5 },
        finetune: { epochs: 1 },
      });
      expect(stdout).toContain('dense against pruned');
      expect(stdout).toContain('report.html');
    });
  });

  it('prints the summary alone with --json, and calls a contradiction bad news', async () => {
    await inTemporaryFolder(async (file) => {
      const { code, stdout } = await run(['compress', '--json', '--out', file('run')], {
        compress: async (_, { onEvent }) => {
          onEvent({ type: 'note', text: 'hello' });
          return summary(2);
        },
      });
      expect(code).toBe(1);
      expect(JSON.parse(stdout)).toEqual(summary(2));
    });
  });

  it('refuses a directory of another run before it loads anything', async () => {
    await inTemporaryFolder(async (file) => {
      const compress: Backend['compress'] = async (_, { dir }) => {
        await writeFile(dir.paths.journal, '{"event":"epoch"}\n');
        return summary();
      };
      await run(['compress', '-o', file('run')], { compress });
      const load = async () => expect.fail('loaded');
      const { code, stderr } = await run(['compress', '--seed=5', '-o', file('run')], { load });
      expect(code).toBe(2);
      expect(stderr).toMatch(/another run.*seed: 1, 5.*--out/);
    });
  });

  it('stops when it is asked to, and says how to go on', async () => {
    await inTemporaryFolder(async (file) => {
      let signal = 0;
      const argv = ['compress', '--out', file('run')];
      const compress: Backend['compress'] = async (_, job) => {
        expect(job.signal.aborted).toBe(false);
        signal = 15;
        expect(job.signal.aborted).toBe(true);
        throw new Interrupted('Saved epoch 3.');
      };
      const { code, stderr } = await run(argv, { compress }, { asked: () => signal });
      expect(code).toBe(143);
      expect(stderr).toContain('interrupted. Saved epoch 3.');
      expect(stderr).toContain(`To go on: espalier compress --out ${file('run')}`);
      // The lock is free again.
      expect((await run(argv)).code).toBe(0);
    });
  });

  it('has a code of its own where the work is done and a part of its output is not', async () => {
    await inTemporaryFolder(async (file) => {
      const compress: Backend['compress'] = async (_, { onEvent }) => {
        onEvent({ type: 'fault', text: 'report.html: expected charts, got none.' });
        return summary();
      };
      const { code, stdout, stderr } = await run(['compress', '--out', file('run')], { compress });
      expect(code).toBe(74);
      expect(stdout).toContain('dense against pruned');
      expect(stderr).toContain('report.html: expected charts');
    });
  });
});

describe('commands on a model', () => {
  it('prune names its output, and replaces nothing unasked', async () => {
    await inTemporaryFolder(async (file, write) => {
      let seen: unknown;
      const prune: Backend['prune'] = async (_, { onEvent, signal, ...job }) => {
        seen = job;
        return inspection;
      };
      const model = file('m.safetensors');
      const { code, stdout } = await run(
        ['prune', model, '--set', 'scope=global', '--sparsity=.5'],
        {
          prune,
        },
      );
      expect(code).toBe(0);
      expect(seen).toMatchObject({
        model,
        out: file('m-pruned.safetensors'),
        strategy: { name: 'magnitude', scope: 'global' },
        sparsity: 0.5,
        seed: 1,
      });
      expect(stdout).toContain('10.00 %');
      await write('m-pruned.safetensors', 'precious');
      const refused = await run(['prune', model], { prune });
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain('--force');
      expect((await run(['prune', model, '--force'], { prune })).code).toBe(0);
    });
  });

  it.each([
    ['prune', 'm.safetensors', ['--out']],
    ['finetune', 'm.safetensors', ['--out']],
    ['compact', 'm.compact', ['--out']],
    ['convert', 'm.safetensors', []],
    ['verify', 'm.onnx', ['p.vnnlib', '--out']],
  ])('%s writes over no input, by links neither, --force or not', (command, name, rest) =>
    inTemporaryFolder(async (file, write) => {
      const work = async (): Promise<never> => {
        throw new Error('worked');
      };
      const backend = { prune: work, finetune: work, compact: work, convert: work, verify: work };
      await write(name, 'precious');
      await write('p.vnnlib', 'precious too');
      await symlink(file(name), file(`soft-${name}`));
      await link(file(name), file(`hard-${name}`));
      const words = rest.map((word) => (word.includes('.') ? file(word) : word));
      const outs = [name, `soft-${name}`, `hard-${name}`];
      for (const out of command === 'verify' ? [...outs, 'p.vnnlib'] : outs) {
        const line = [command, file(name), ...words, file(out), '--force'];
        const { code, stderr } = await run(line, backend);
        expect(stderr).toMatch(/: expected another file than those it is made of, got .+\./);
        expect(code).toBe(2);
      }
      expect(await readFile(file(name), 'utf8')).toBe('precious');
    }),
  );

  it.each([
    ['prune', 'm.safetensors', '.safetensors', ['--out']],
    ['finetune', 'm.safetensors', '.onnx', ['--out']],
    ['compact', 'm.onnx', '.compact', ['--out']],
    ['convert', 'm.safetensors', '.npz', []],
    ['verify', 'm.onnx', '.txt', ['p.vnnlib', '--out']],
    ['bench', '', '.json', ['--fit', '--out']],
  ])(
    '%s replaces nothing unasked, and no folder, link to nothing or device at all',
    (command, name, extension, rest) =>
      inTemporaryFolder(async (file, write) => {
        const work = async (): Promise<never> => {
          throw new Error('worked');
        };
        const backend = { prune: work, finetune: work, compact: work, convert: work };
        await write(`file${extension}`, 'precious');
        await mkdir(file(`folder${extension}`));
        await symlink(file('nothing'), file(`dangling${extension}`));
        await symlink('/dev/null', file(`device${extension}`));
        const words = rest.map((word) => (word.includes('.') ? file(word) : word));
        const start = (out: string, ...more: string[]) =>
          run([command, ...(name ? [file(name)] : []), ...words, file(out), ...more], {
            ...backend,
            verify: work,
            fit: work,
          });
        const before = (await readdir(file('.'))).sort();
        const cases: readonly (readonly [string, RegExp])[] = [
          [`folder${extension}`, /the name of a file, got a folder/],
          [`dangling${extension}`, /the name of a file, got a link to nothing/],
          [`device${extension}`, /the name of a file, got a (device|link to nothing)/],
          [`no-such-folder/x${extension}`, /a folder to write to, got none/],
        ];
        for (const [out, said] of cases)
          for (const more of [[], ['--force']]) {
            const { code, stderr } = await start(out, ...more);
            expect(stderr).toMatch(said);
            expect(code).toBe(2);
          }
        const refused = await start(`file${extension}`);
        expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('--force')]);
        expect((await start(`file${extension}`, '--force')).stderr).toContain('worked');
        expect(await readFile(file(`file${extension}`), 'utf8')).toBe('precious');
        expect((await readdir(file('.'))).sort()).toEqual(before);
      }),
  );

  it('evaluate --verify promises no journal where it keeps none', async () => {
    const evaluate: Backend['evaluate'] = async () => {
      throw new Interrupted('Verdicts so far are in a journal.');
    };
    const { code, stderr } = await run(
      'evaluate m --verify interval',
      { evaluate },
      { asked: () => 2 },
    );
    expect(code).toBe(130);
    expect(stderr).toContain('interrupted. Nothing was kept; --out keeps it.');
  });

  it('evaluate --out replaces no evaluation of other settings unasked, nor a file of others', () =>
    inTemporaryFolder(async (file, write) => {
      await write('m', 'weights');
      await write('n', 'other weights');
      const start = (model: string, ...more: string[]) =>
        run(['evaluate', file(model), '--verify', 'interval', '--out', file('out'), ...more]);
      await mkdir(file('out'));
      await write('out/evaluation.json', 'my essay');
      expect((await start('m')).stderr).toMatch(/of the same evaluation, got another.*--force/);
      expect(await readFile(file('out/evaluation.json'), 'utf8')).toBe('my essay');
      expect((await start('m', '--force')).code).toBe(0);
      const first = await readFile(file('out/evaluation.json'), 'utf8');
      expect((await start('m')).code).toBe(0);
      for (const [model, ...more] of [['n'], ['m', '--eps', '0.01'], ['m', '--seed', '7']])
        expect((await start(model!, ...more)).code).toBe(2);
      // It is of 100 images.
      const fewer = await start('m', '--limit', '99');
      expect(fewer).toMatchObject({ code: 2, stdout: '' });
      expect(fewer.stderr).toMatch(/of the same evaluation, got one of more images \(100, 100\)/);
      for (const limit of ['100', '101']) expect((await start('m', '--limit', limit)).code).toBe(0);
      await rm(file('out/evaluation.json'));
      await write('out/radii.html', 'my chart');
      expect((await start('m', '--radius')).code).toBe(2);
      expect((await start('m')).code).toBe(0);
      expect(await readFile(file('out/radii.html'), 'utf8')).toBe('my chart');
      expect(await readFile(file('out/evaluation.json'), 'utf8')).toBe(first);
    }));

  it('evaluate takes what the model records, changed by the options', async () => {
    const seen: Config[] = [];
    const evaluate: Backend['evaluate'] = async (_, { config }) => {
      seen.push(config);
      const half = { value: 0.5, correct: 1, total: 2, lo: 0, hi: 1 };
      return {
        ...evaluation,
        accuracies: { benign: half, era: half, vra: half },
        contradictions: seen.length - 1,
      };
    };
    const plain = await run('evaluate m', { evaluate });
    expect(plain.code).toBe(0);
    expect(seen[0]?.evaluate.eps).toBe(0.05);
    const line = 'evaluate m --data mnist --path there --eps 8/255 --attack fgsm --limit 10 --json';
    const other = await run(line, { evaluate });
    expect(other.code).toBe(1);
    expect(JSON.parse(other.stdout)).toMatchObject({ data: 'mnist', contradictions: 1 });
    expect(seen[1]).toMatchObject({
      data: { name: 'mnist', path: 'there' },
      evaluate: { attack: { name: 'fgsm' }, attackLimit: 10, verifyLimit: 10 },
    });
    expect(seen[1]?.evaluate.eps).toBeCloseTo(8 / 255, 12);
    const unknown = await run('evaluate m', { evaluate, recordedConfig: async () => undefined });
    expect(unknown.stderr).toContain('--data: expected a data set');
  });

  it('finetune takes a config file or the recorded one', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('c.json', '{"objective": "benign"}');
      const seen: Config[] = [];
      const finetune: Backend['finetune'] = async (_, { config }) => {
        seen.push(config);
        return inspection;
      };
      const model = file('m.safetensors');
      await run(['finetune', model], { finetune });
      await run(['finetune', model, '--config', file('c.json'), '--set', 'finetune.epochs=7'], {
        finetune,
      });
      expect(seen.map((config) => config.objective.name)).toEqual(['ibp', 'benign']);
      expect(seen[1]?.finetune.epochs).toBe(7);
    });
  });

  it('bounds prints each image, or all as JSON', async () => {
    const { code, stdout } = await run('bounds m --index 3,5 --eps 0.1');
    expect(code).toBe(0);
    expect(stdout).toMatch(/image 3: label 1, predicted 1, eps 0\.1: certified(.*\n)*image 5:/);
    const json = JSON.parse((await run('bounds m --json')).stdout);
    expect(json).toMatchObject({ eps: 0.05, method: 'interval', images: [{ index: 0 }] });
  });

  it('inspect and bench print tables or JSON', async () => {
    expect((await run('inspect m')).stdout).toContain('650 parameters');
    expect(JSON.parse((await run('inspect m --json')).stdout)).toEqual({
      file: 'm',
      ...inspection,
    });
    expect((await run('bench')).stdout).toMatch(/GFLOP\/s(.*\n)*.*product.*12\.3.*\n.*step.*1,234/);
    expect(JSON.parse((await run('bench --json')).stdout).rows).toHaveLength(2);
  });

  it('inspect --sensitivity prints the scan, and refuses its options alone', async () => {
    const jobs: unknown[] = [];
    const line = 'inspect m --sensitivity geometric-median --data mnist --set data.heldOut=100';
    const { code, stdout } = await run(line, {
      sensitivity: async (_, job) => {
        jobs.push(job);
        return scan;
      },
    });
    expect(code).toBe(0);
    expect(jobs).toMatchObject([
      { model: 'm', score: 'geometric-median', config: { data: { name: 'mnist', heldOut: 100 } } },
    ]);
    expect(stdout).toMatch(/of 100 held-out images/);
    expect(stdout).toMatch(/conv2d1 │ +4 │ +70\.00 % \/ 50\.00 %/);
    const json = JSON.parse((await run('inspect m --sensitivity l1 --data mnist --json')).stdout);
    expect(json).toEqual({ model: 'm', ...scan });
    for (const [line, error] of [
      ['inspect m --page p.html', '--page: expected --sensitivity with it'],
      ['inspect m --data mnist', '--data: expected --sensitivity with it'],
      ['inspect m --sensitivity l3 --data mnist', '--sensitivity: expected'],
      ['inspect m --sensitivity l1 --plan --data mnist', '--sensitivity: expected no --plan'],
    ] as const) {
      const refused = await run(line);
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(error)]);
    }
  });

  it('inspect --plan shows both plans, and tells only what was measured', async () => {
    const jobs: unknown[] = [];
    const view = (faster: 'dense' | 'sparse'): PlanView => ({
      ...{ batch: 8, threads: 1, runs: 7, chosen: 'sparse', faster, difference: 1e-7 },
      layers: [
        {
          ...{ name: 'fc1', form: 'csr', macs: 640, macsNonzero: 64 },
          dense: { form: 'gemm', bytes: 2560, microseconds: 8 },
          sparse: { form: 'csr', bytes: 512, microseconds: 2 },
        },
      ],
      dense: { bytes: 3000, copies: 0, microseconds: faster === 'dense' ? 1 : 8 },
      sparse: { bytes: 900, copies: 2, microseconds: 4 },
    });
    const inspect =
      (faster: 'dense' | 'sparse'): Backend['inspect'] =>
      async (_engine, _model, _as, job) => {
        jobs.push(job);
        return { ...inspection, plan: view(faster) };
      };
    const line = 'inspect m --plan --batch 8 --costs c.json';
    const { stdout } = await run(line, { inspect: inspect('sparse') });
    expect(stdout).toMatch(/plan of 8 images: over non-zeros \(1 thread, the least of 7 runs/);
    expect(stdout).toMatch(/fc1 +│ csr +│ +512 B │ +640 │ +64 │ gemm +│ +8\.0 │ csr +│ +2\.0/);
    expect(stdout).toContain('over non-zeros takes 4.0 µs, dense 2.0x that');
    expect(stdout).not.toContain('bench --fit');
    const slower = await run(line, { inspect: inspect('dense') });
    expect(slower.stdout).toContain('dense takes 1.0 µs, over non-zeros 4.0x that');
    expect(slower.stdout).toMatch(/By its costs .* over non-zeros; espalier bench --fit/);
    expect(jobs[0]).toEqual({ batch: 8, seconds: 2, costs: 'c.json' });
    await run('inspect m', { inspect: inspect('dense') });
    expect(jobs.at(-1)).toBeUndefined();
    const alone = await run('inspect m --batch 3');
    expect(alone).toMatchObject({ code: 2 });
    expect(alone.stderr).toContain('--batch: expected --plan with it, got none');
  });

  it('bench --fit prints both tables, and writes where it is told', () =>
    inTemporaryFolder(async (file, write) => {
      const { stdout } = await run('bench --fit');
      expect(stdout).toMatch(/gemv +│ product │ +1\.5 │ +0\.75/);
      expect(stdout).toMatch(/gemv +│ +6 │ +50 % │ +90 % │ +4 % │ +13 %/);
      const asked: unknown[] = [];
      const fit: Backend['fit'] = async (_, options) => {
        asked.push(options);
        return (await run('bench --fit --json').then(({ stdout }) => JSON.parse(stdout))) as Fit;
      };
      const out = file('costs.json');
      const told = await run(['bench', '--fit', '--seconds', '3', '--out', out], { fit });
      expect(told.stdout).toContain(`--plan --costs ${out}`);
      expect(asked).toEqual([{ seconds: 3, out, replace: false }]);
      await write('costs.json', '{}');
      const taken = await run(['bench', '--fit', '--out', out]);
      expect(taken.stderr).toMatch(/expected no such file yet/);
      expect((await run('bench --out x.json')).stderr).toContain('--out: expected --fit with it');
    }));

  it('doctor names what it found and why', async () => {
    const { code, stdout } = await run('doctor');
    expect(code).toBe(0);
    expect(stdout).toMatch(/relaxed SIMD\s+no/);
    expect(stdout).toContain('a reason');
    expect(stdout).toMatch(/digits\s+\d+ \+ \d+ images/);
    expect(stdout).toMatch(/cifar10\s+.*path/);
    expect(JSON.parse((await run('doctor --json')).stdout)).toMatchObject({
      threads: 1,
      simd: true,
    });
  });

  it('load the engine as asked', async () => {
    const seen: unknown[] = [];
    const load: Backend['load'] = async (options) => {
      seen.push(options);
      throw new Error('enough');
    };
    await run('bench --threads 2 --binary simd', { load });
    await run('bench --threads auto', { load });
    expect(seen).toEqual([
      { threads: 2, binary: 'simd' },
      { threads: 'auto', binary: 'auto' },
    ]);
  });
});

describe('train', () => {
  it('reports the last epoch of pre-training', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('c.json', '{}');
      await mkdir(file('run'));
      const epoch = {
        event: 'epoch',
        phase: 'pretrain',
        epoch: 4,
        loss: 0.25,
        heldOut: { benign: 0.9, robust: 0.8 },
        seconds: 2,
        imagesPerSecond: 700,
      };
      const pretrain: Backend['pretrain'] = async (_, { dir }) => {
        await write('run/journal.jsonl', lineOf(epoch));
        expect(dir.paths.journal).toBe(file('run/journal.jsonl'));
      };
      const { code, stdout } = await run(['train', file('c.json'), '-o', file('run')], {
        pretrain,
      });
      expect(code).toBe(0);
      expect(stdout).toMatch(/epochs\s+│\s+4/);
      expect(stdout).toContain('dense.safetensors');
    });
  });
});
