/** `verify` and `evaluate --verify`: arguments, answers, processes, kills; the real command line too. */
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend, EvaluateJob } from '../../src/cli/backend';
import type { Evaluation } from '../../src/evaluate/records';
import type { FileVerdict, VerifyFileJob } from '../../src/evaluate/verify';
import { readJournal } from '../../src/io/journal';
import { inTemporaryFolder } from '../recipe/temporary';
import { buildCli, type Cli } from './child';
import { evaluation, run } from './fake';

const ANSWERS: readonly FileVerdict[] = [
  { answer: 'unsat', bound: 0.25, by: 'interval', seconds: 1, nodes: 3 },
  {
    answer: 'sat',
    bound: Number.NEGATIVE_INFINITY,
    by: 'counter-examples',
    seconds: 1,
    nodes: 0,
    counterexample: { x: [0.5, 1], y: [-2], yFloat64: [-2.000001] },
  },
  { answer: 'unknown', reason: 'too loose', bound: -3, by: 'interval', seconds: 1, nodes: 1 },
  { answer: 'timeout', reason: '2 seconds are used up', bound: -3, by: 'x', seconds: 2, nodes: 1 },
];

describe('verify', () => {
  it.each(ANSWERS)('prints the answer $answer as VNN-COMP wants it', async (verdict) => {
    const verify: Backend['verify'] = async () => verdict;
    const { code, stdout, stderr } = await run('verify m.onnx p.vnnlib', { verify });
    expect(code).toBe(verdict.answer === 'unsat' ? 0 : 1);
    const point = '\n((X_0 0.5)\n (X_1 1)\n (Y_0 -2))';
    expect(stdout).toBe(`${verdict.answer}${verdict.counterexample ? point : ''}\n`);
    expect(stderr).toContain(verdict.reason ?? verdict.by);
    const json = await run('verify m.onnx p.vnnlib --json', { verify });
    const bound = Number.isFinite(verdict.bound) ? verdict.bound : null;
    expect(JSON.parse(json.stdout)).toEqual({
      model: 'm.onnx',
      spec: 'p.vnnlib',
      ...verdict,
      bound,
    });
    expect(json.code).toBe(code);
  });

  it('hands on its limits; a timeout of 0 is none', async () => {
    const seen: VerifyFileJob[] = [];
    const verify: Backend['verify'] = async (_, job) => {
      seen.push(job);
      return ANSWERS[0]!;
    };
    await run('verify m p', { verify });
    await run('verify m p --timeout 2.5 --nodes 7 --seed 4 --mean 0 --std 1', { verify });
    await run('verify m p --timeout 0', { verify });
    expect(seen[0]).toMatchObject({ model: 'm', spec: 'p', seconds: 60 });
    const as = { normalise: { mean: [0], std: [1] } };
    expect(seen[1]).toMatchObject({ seconds: 2.5, nodes: 7, seed: 4, as });
    expect(seen[2]).not.toHaveProperty('seconds');
  });

  it('writes the answer to a file, which it does not replace unasked', () =>
    inTemporaryFolder(async (file) => {
      const line = ['verify', 'm', 'p', '--out', file('a.txt')];
      expect((await run(line)).code).toBe(0);
      expect(await readFile(file('a.txt'), 'utf8')).toBe('unsat\n');
      expect(await run(line)).toMatchObject({ code: 2, stderr: expect.stringMatching(/--force/) });
      expect((await run([...line, '--force'])).code).toBe(0);
    }));

  it('refuses an answer file that cannot be, before it searches', () =>
    inTemporaryFolder(async (file, write) => {
      await write('file', 'x');
      const verify: Backend['verify'] = async () => {
        throw new Error('searched');
      };
      for (const out of [file('none/a.txt'), file('file/a.txt'), file('.')]) {
        const { code, stderr } = await run(['verify', 'm', 'p', '--out', out, '--force'], {
          verify,
        });
        expect(stderr).toMatch(/: expected (a folder to write to|the name of a file), got/);
        expect(code).toBe(2);
      }
    }));

  it.each([
    ['verify', /MODEL: expected/],
    ['verify m', /SPEC: expected a property/],
    ['verify m p --timeout -1', /--timeout: expected a number in \[0, Infinity\], got -1/],
    ['verify m p --timeout soon', /--timeout/],
    ['verify m p --nodes 0', /--nodes: expected a whole number >= 1/],
    ['verify m p --tiemout 3', /Did you mean "--timeout"/],
  ])('refuses "%s"', async (line, message) => {
    const { code, stderr } = await run(line);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});

describe('evaluate --verify', () => {
  const evaluating = () => {
    const seen: EvaluateJob[] = [];
    const evaluate: Backend['evaluate'] = async (_, job) => {
      seen.push(job);
      return evaluation;
    };
    return { seen, evaluate };
  };

  it('hands on verifiers in their order, the shard and the folder', () =>
    inTemporaryFolder(async (file) => {
      const { seen, evaluate } = evaluating();
      const line = ['evaluate', 'm', '--verify', 'interval', '--radius', '--limit', '9'];
      const { code } = await run([...line, '--out', file('o'), '--shard', '1/3'], { evaluate });
      expect(code).toBe(0);
      expect(seen[0]).toMatchObject({
        verifiers: [{ name: 'interval', sound: true }],
        radius: true,
        folder: { dir: file('o'), writer: 1 },
        runner: { name: 'shard', index: 1, count: 3 },
        config: { evaluate: { verifyLimit: 9, attackLimit: 9 } },
      });
      await run(['evaluate', 'm', '--radius', '--set', 'evaluate.verifier.sound=false'], {
        evaluate,
      });
      expect(seen[1]).toMatchObject({
        verifiers: [{ name: 'interval', sound: false }],
        folder: { writer: 0 },
        runner: { name: 'processes', jobs: 1, command: [] },
      });
    }));

  it('sets the norm of attack and verifiers', async () => {
    const { seen, evaluate } = evaluating();
    await run('evaluate m --verify interval,crown,input-splitting --norm l2', { evaluate });
    expect(seen[0]).toMatchObject({
      verifiers: [
        { name: 'interval', norm: 'l2' },
        { name: 'crown', norm: 'l2' },
        { name: 'input-splitting', norm: 'l2' },
      ],
      config: { evaluate: { attack: { name: 'pgd', norm: 'l2' } } },
    });
    const { stdout } = await run('evaluate m --verifier crown --norm l1', { evaluate });
    expect(seen[1]!.config.evaluate).toMatchObject({
      verifier: { name: 'crown', norm: 'l1' },
      attack: { norm: 'l1' },
    });
    expect(stdout).toMatch(/eps 0\.\d+ \(l1\), attack pgd, verifier crown/);
    const json = await run('evaluate m --verifier crown --norm l1 --json', { evaluate });
    expect(JSON.parse(json.stdout)).toMatchObject({ norm: 'l1' });
  });

  it.each([
    [
      '--verify interval,crown --attack fgsm --norm l2',
      /--norm: expected an attack and verifiers for l2 balls, got attack fgsm\. There are: attack pgd, .*; verifier interval, crown-ibp, crown, fast-lin, alpha-crown, input-splitting, branch-and-bound\./,
    ],
    ['--verifier crown --norm l3', /--norm: expected one of linf, l2, l1, got "l3"\./],
    ['--verify intervall', /--verify: expected one of .*Did you mean "interval"/],
    ['--verify interval,interval', /--verify: expected each verifier once, got interval twice/],
    ['--verify interval --shard 3/3 --out x', /--shard: expected i\/n with i in \[0, n\)/],
    ['--verify interval --shard 1/3', /--shard: expected --out/],
    ['--shard 1/3', /--shard: expected --verify or --radius beside it/],
    ['--out x', /--out: expected --verify or --radius beside it/],
    ['--verify interval --jobs 0', /--jobs: expected a whole number/],
  ])('refuses %s', async (line, message) => {
    const { code, stderr } = await run(`evaluate m ${line}`, {}, { self: ['x'] });
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});

describe('in processes', () => {
  let cli: Cli;
  beforeAll(async () => {
    cli = await buildCli();
  });
  afterAll(() => cli.close());

  const TINY = {
    network: { name: 'mlp', hidden: [16] },
    objective: { name: 'ibp', eps: 0.03 },
    pretrain: { epochs: 2, batch: 64, learningRate: 0.005 },
    finetune: { epochs: 1, batch: 64 },
    evaluate: { attack: { name: 'pgd', steps: 3 } },
  };
  const evaluated = async (path: string) => {
    const { samples, accuracies, radii, contradictions, verifiers } = JSON.parse(
      await readFile(path, 'utf8'),
    );
    const named = verifiers.map(({ name, certified }: Evaluation['verifiers'][number]) => ({
      name,
      certified,
    }));
    return { samples, accuracies, radii, contradictions, verifiers: named };
  };

  it('gives the same with one process, with several, and after kills', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('tiny.json', JSON.stringify(TINY));
      const made = await cli.run(['compress', file('tiny.json'), '-o', file('run')]);
      expect(made.code, made.stderr).toBe(0);
      const model = file('run/dense.safetensors');
      const line = ['evaluate', model, '--verify', 'interval', '--radius'];
      const into = (dir: string, jobs: number) => [
        ...line,
        ...['--out', file(dir), '--jobs', `${jobs}`],
      ];
      const whole = await cli.run(into('whole', 1));
      expect(whole.code, whole.stderr).toBe(0);
      expect(whole.stdout).toMatch(/certified radius: median/);
      const want = await evaluated(file('whole/evaluation.json'));
      expect(want.contradictions).toBe(0);
      expect(want.verifiers[0]!.certified).toBeGreaterThan(20);
      expect(want.verifiers[0]!.certified).toBe(want.accuracies.vra.correct);
      expect(await readFile(file('whole/radii.html'), 'utf8')).toMatch(/<svg role="img"/);

      const shared = await cli.run(into('shared', 3));
      expect(shared.code, shared.stderr).toBe(0);
      const names = (await readdir(file('shared'))).filter((name) => name.startsWith('certify-'));
      expect(names).toHaveLength(3);
      expect(await evaluated(file('shared/evaluation.json'))).toEqual(want);

      // Killed after its first block, then torn, then resumed by another number of processes.
      const child = cli.start(into('killed', 1), (event) => {
        if (event.type === 'progress' && event.phase === 'verify') child.process.kill('SIGKILL');
      });
      await child.finished;
      const [journal] = (await readdir(file('killed'))).map((name) => file(`killed/${name}`));
      const records = await readJournal(journal!);
      expect(records.length).toBeGreaterThan(0);
      expect(records.length).toBeLessThan(Math.ceil(want.samples.length / 50));
      const text = await readFile(journal!, 'utf8');
      await write(journal!.slice(file('').length), `${text}{"event":"blo`);
      const again = await cli.run(into('killed', 2));
      expect(again.code, again.stderr).toBe(0);
      expect(await evaluated(file('killed/evaluation.json'))).toEqual(want);
      expect((await readFile(journal!, 'utf8')).startsWith(text)).toBe(true);

      // Shards as on several machines, then all together; the model's own run holds the journals.
      for (const shard of ['1/2', '0/2']) {
        const part = await cli.run([...line, '--shard', shard]);
        expect(part.code).toBe(0);
        expect(part.stdout).toContain(`share ${shard} is done: the command without --shard counts`);
      }
      const joined = await cli.run([...line, '--jobs', '1', '--json']);
      expect(joined.code, joined.stderr).toBe(0);
      expect(await evaluated(file('run/evaluation.json'))).toEqual(want);
      expect(JSON.parse(joined.stdout).samples).toEqual(want.samples);
      expect(joined.stderr).not.toMatch(/"phase":"verify","type":"progress"/);
    });
  });

  it('tells all that is wrong with model and property at once', () =>
    inTemporaryFolder(async (file, write) => {
      await write('p.vnnlib', '(declare-const X_0 Real)\n(assert (<= X_0 Q))\n(foo)\n');
      await write('m.onnx', 'no model');
      const { code, stderr } = await cli.run(['verify', file('m.onnx'), file('p.vnnlib')]);
      expect(code).toBe(2);
      expect(stderr).toMatch(/m\.onnx: expected a model/);
      expect(stderr).toMatch(/p\.vnnlib, line 2/);
      expect(stderr).toMatch(/p\.vnnlib, line 3/);
    }));
});
