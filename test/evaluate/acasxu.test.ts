/** ACAS Xu: some instances of each kind of property; all of them in test/slow/acasxu.test.ts. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FileVerdict, verifyFile } from '../../src/evaluate/verify';
import { type Engine, load } from '../../src/runtime/engine';

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

  it('ends a budget of nodes at the same point with one thread and with two', async () => {
    const rest = ({ seconds: _, ...verdict }: FileVerdict) => verdict;
    const [one, two] = [await ask('3_3', 9, 300), await ask('3_3', 9, 300, engines[1])];
    expect(one!.answer).toBe('unknown');
    expect(rest(one!)).toEqual(rest(two!));
  });
});
