/** vnncomp: what it hands on and prints, and a folder of instances to its end, stopped and gone on with. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/cli/backend';
import { type VnncompOptions, vnncomp } from '../../src/evaluate/vnncomp';
import { Interrupted } from '../../src/events';
import { readJournal } from '../../src/io/journal';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from '../recipe/temporary';
import { run } from './fake';

const ROW = { line: 1, network: 'a.onnx', property: 'p', seconds: 1.5, nodes: 3 };
const counts = { sat: 0, unsat: 0, unknown: 0, timeout: 0, error: 0 };

describe('vnncomp', () => {
  it('hands on folder, limits and patterns', async () => {
    let seen: VnncompOptions | undefined;
    const backend: Backend['vnncomp'] = async (_, job) => {
      seen = job;
      const rows = [{ ...ROW, result: 'unsat' as const, expected: 'unsat' as const }];
      return { rows, counts: { ...counts, unsat: 1 }, wrong: 0, seconds: 1.5 };
    };
    const line = 'vnncomp b --only prop_1,net --timeout 7 --nodes 9 --seed 2 -o out';
    const { code, stdout } = await run(line, { vnncomp: backend });
    expect(code).toBe(0);
    expect(seen).toMatchObject({
      ...{ folder: 'b', out: 'out', only: ['prop_1', 'net'], seconds: 7, nodes: 9, seed: 2 },
    });
    expect(stdout).toMatch(/a\.onnx +│ p +│ unsat +│ +1\.50 │ +3/);
    expect(stdout).toContain('1 of 1 answered, 0 wrong of 1 known; 1.5 s in all');
  });

  it.each([
    ['wrong', { result: 'sat', expected: 'unsat' }],
    ['missing', { result: 'timeout' }],
    ['failed', { result: 'error', reason: 'x' }],
  ] as const)('ends with 1 where an answer is %s', async (_, more) => {
    const rows = [{ ...ROW, ...more }];
    const wrong = 'expected' in more ? 1 : 0;
    const backend: Backend['vnncomp'] = async () => ({
      ...{ rows, counts: { ...counts, [more.result]: 1 }, wrong, seconds: 1 },
    });
    expect((await run('vnncomp b', { vnncomp: backend })).code).toBe(1);
  });
});

/** Weights of y = x on two inputs come from a case's file; without it there is nothing to run. */
const CASES = '../shared/cases/vnnlib-2';

describe.skipIf(!existsSync(CASES))('a folder (skipped where ../shared/cases is absent)', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  const box = ['(>= X_0 0)', '(<= X_0 1)', '(>= X_1 0)', '(<= X_1 1)'];
  const property = (...asserts: string[]): string =>
    [
      ...['X_0', 'X_1', 'Y_0', 'Y_1'].map((name) => `(declare-const ${name} Real)`),
      ...[...box, ...asserts].map((one) => `(assert ${one})`),
    ].join('\n');
  /** A benchmark of an `unsat`, a `sat`, a broken and a misfit property. */
  const benchmark = async (folder: string): Promise<void> => {
    await mkdir(`${folder}/onnx`, { recursive: true });
    await writeFile(`${folder}/onnx/net.onnx.gz`, gzipSync(await readFile(`${CASES}/gemm2.onnx`)));
    await copyFile(`${CASES}/gemm2.onnx`, `${folder}/plain.onnx`);
    await writeFile(`${folder}/low.vnnlib.gz`, gzipSync(property('(>= Y_0 1000)')));
    await writeFile(`${folder}/high.vnnlib`, property('(<= Y_0 1000)'));
    await writeFile(`${folder}/bad.vnnlib`, '(assert (foo))\n(bar)');
    await writeFile(
      `${folder}/instances.csv`,
      [
        'onnx/net.onnx,low.vnnlib,9',
        'plain.onnx,high.vnnlib,9',
        'plain.onnx,bad.vnnlib,9',
        'none.onnx,high.vnnlib,9',
      ].join('\n'),
    );
  };

  it('gives every row a result, in the competition’s form', () =>
    inTemporaryFolder(async (file) => {
      await benchmark(file('b'));
      const warnings: string[] = [];
      const found = await vnncomp(engine, {
        ...{ folder: file('b'), out: file('r'), seconds: 5, as: {} },
        onEvent: (event) => {
          if (event.type === 'warning') warnings.push(event.text);
        },
      });
      expect(found.rows.map(({ result }) => result)).toEqual(['unsat', 'sat', 'error', 'error']);
      expect(found.counts).toEqual({ sat: 1, unsat: 1, unknown: 0, timeout: 0, error: 2 });
      expect(warnings).toHaveLength(2);
      expect(warnings[0]).toMatch(
        /plain\.onnx, bad\.vnnlib: .*line 1: expected .* \(and \d more\)$/,
      );
      expect(warnings.join('')).not.toContain('\n');
      const lines = (await readFile(file('r/results.csv'), 'utf8')).trimEnd().split('\n');
      expect(lines[0]).toMatch(/^onnx\/net\.onnx,low\.vnnlib,0,unsat,[\d.]+$/);
      expect(lines[3]).toMatch(/^none\.onnx,high\.vnnlib,0,error,[\d.]+$/);
      expect(await readdir(file('r'))).toEqual([
        ...['plain_high.counterexample', 'results.csv', 'vnncomp.jsonl'],
      ]);
      const point = await readFile(file('r/plain_high.counterexample'), 'utf8');
      expect(point).toMatch(/^sat\n\(\(X_0 [\d.e-]+\)\n \(X_1 [\d.e-]+\)\n \(Y_0 /);
    }));

  it('goes on where it was stopped, torn journal and all, and runs nothing twice', () =>
    inTemporaryFolder(async (file) => {
      await benchmark(file('b'));
      const options = { folder: file('b'), out: file('r'), seconds: 5, as: {} };
      let begun = 0;
      const signal = {
        get aborted() {
          return begun > 0;
        },
      };
      const onEvent: VnncompOptions['onEvent'] = (event) => {
        if (event.type === 'progress') begun++;
      };
      await expect(vnncomp(engine, { ...options, signal, onEvent })).rejects.toThrow(Interrupted);
      const kept = await readJournal(file('r/vnncomp.jsonl'));
      expect(kept).toHaveLength(2);
      const text = await readFile(file('r/vnncomp.jsonl'), 'utf8');
      await writeFile(file('r/vnncomp.jsonl'), `${text}{"event":"inst`);
      const seen: number[] = [];
      const found = await vnncomp(engine, {
        ...options,
        onEvent: (event) => {
          if (event.type === 'phase') seen.push(event.done, event.total);
        },
      });
      expect(seen).toEqual([1, 4]);
      expect(found.rows.map(({ result }) => result)).toEqual(['unsat', 'sat', 'error', 'error']);
      expect((await readFile(file('r/vnncomp.jsonl'), 'utf8')).startsWith(text)).toBe(true);
      const again = await vnncomp(engine, { ...options, only: ['high'] });
      expect(again.rows.map(({ line }) => line)).toEqual([2, 4]);
      expect(await readJournal(file('r/vnncomp.jsonl'))).toHaveLength(5);
    }));

  it('refuses other lists, patterns that fit nothing and folders without a list', () =>
    inTemporaryFolder(async (file) => {
      await benchmark(file('b'));
      const options = { folder: file('b'), out: file('r'), seconds: 5, as: {} };
      await vnncomp(engine, { ...options, only: ['low'] });
      await expect(vnncomp(engine, { ...options, only: ['x_y'] })).rejects.toThrow('got none');
      await expect(vnncomp(engine, { ...options, seed: 3 })).rejects.toThrow("got another's");
      await writeFile(file('b/instances.csv'), 'plain.onnx,high.vnnlib,9');
      await expect(vnncomp(engine, options)).rejects.toThrow("got another's");
      await expect(vnncomp(engine, { ...options, folder: file('none') })).rejects.toThrow(
        'instances.csv: expected a readable file',
      );
    }));
});
