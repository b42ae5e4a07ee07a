/** ACAS Xu: some instances of each kind of property; all of them in test/slow/acasxu.test.ts. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FileVerdict, verifyFile } from '../../src/evaluate/verify';
import { saveModel } from '../../src/io/model';
import { readModelFile } from '../../src/io/read';
import { freeModel, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from '../recipe/temporary';

const FOLDER = '../shared/goldens/acasxu';

describe.skipIf(!existsSync(FOLDER))('ACAS Xu (skipped where ../shared/goldens is absent)', () => {
  const engines: Engine[] = [];
  beforeAll(async () => {
    engines.push(await load({ threads: 1 }), await load({ threads: 2 }));
  });
  afterAll(() => {
    for (const engine of engines) engine.close();
  });
  const ask = (network: string, property: number, nodes: number, engine = engines[0]!) =>
    verifyFile(engine, {
      ...{ model: `${FOLDER}/ACASXU_run2a_${network}_batch_2000.onnx.gz`, as: {}, nodes },
      spec: `${FOLDER}/prop_${property}.vnnlib.gz`,
    });

  it.each([
    ['1_2', 1, 'unsat'],
    ['1_8', 2, 'unsat'],
    ['1_6', 2, 'sat'],
    ['4_2', 3, 'unsat'],
    ['2_9', 4, 'unsat'],
    ['1_8', 4, 'sat'],
    ['1_9', 7, 'sat'],
  ] as const)(
    'network %s, property %i: %s within 1000 boxes',
    async (network, property, answer) => {
      const verdict = await ask(network, property, 1000);
      expect(verdict.answer, verdict.reason).toBe(answer);
    },
  );

  it('network 1_1 and itself, the smallest 5 % of its weights 0, agree within 0.05 where property 1 holds', () =>
    inTemporaryFolder(async (file, write) => {
      const path = `${FOLDER}/ACASXU_run2a_1_1_batch_2000.onnx.gz`;
      const { model } = await readModelFile(engines[0]!, path);
      const pruned = modelFrom(engines[0]!, model.graph.network, (name) => {
        const values = model.params.get(name)!.read();
        if (!name.endsWith('.weight')) return values;
        const sizes = values.map(Math.abs).sort();
        const least = sizes[Math.floor(0.05 * sizes.length)]!;
        return values.map((v) => (Math.abs(v) < least ? 0 : v));
      });
      await saveModel(file('g.safetensors'), pruned);
      const ends = [
        ...[
          [0.6, 0.679857769],
          [-0.5, 0.5],
          [-0.5, 0.5],
          [0.45, 0.5],
          [-0.5, -0.45],
        ],
      ].map(([lo, hi], i) => `(== X_f[${i}] X_g[${i}]) (>= X_f[${i}] ${lo}) (<= X_g[${i}] ${hi})`);
      const apart = [0, 1, 2, 3, 4].map(
        (j) => `(> (- Y_f[${j}] Y_g[${j}]) 0.05) (< (- Y_f[${j}] Y_g[${j}]) -0.05)`,
      );
      await write(
        'p.vnnlib',
        ['f', 'g']
          .map(
            (n) =>
              `(declare-network ${n} (declare-input X_${n} real [5])(declare-output Y_${n} real [5]))`,
          )
          .concat(`(assert (and ${ends.join(' ')})) (assert (or ${apart.join(' ')}))`)
          .join('\n'),
      );
      const job = { model: path, others: { g: file('g.safetensors') }, as: {}, nodes: 1000 };
      const { answer, reason } = await verifyFile(engines[0]!, { ...job, spec: file('p.vnnlib') });
      expect(answer, reason).toBe('unsat');
      for (const one of [model, pruned]) freeModel(one);
    }));

  it('ends a budget of nodes at the same point with one thread and with two', async () => {
    const rest = ({ seconds: _, ...verdict }: FileVerdict) => verdict;
    const [one, two] = [await ask('3_3', 9, 300), await ask('3_3', 9, 300, engines[1])];
    expect(one!.answer).toBe('unknown');
    expect(rest(one!)).toEqual(rest(two!));
  });
});
