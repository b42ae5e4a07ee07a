/** `verify` on files: the cases kept in ../shared, each with the answer that is right. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FileVerdict, verifyFile } from '../../src/evaluate/verify';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from '../recipe/temporary';

const CASES = '../shared/cases';

describe.skipIf(!existsSync(CASES))('cases (skipped where ../shared/cases is absent)', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());
  const verify = (model: string, spec: string): Promise<FileVerdict> =>
    verifyFile(engine, { model: `${CASES}/${model}`, as: {}, spec, nodes: 2000 });

  it.each([
    ['unsound/zero.onnx', 'unsound/eq.vnnlib', 'sat'],
    ['unsound/ident.onnx', 'unsound/big.vnnlib', 'sat'],
    ['softmax-thresholds/sm_small.onnx', 'softmax-thresholds/sm_ge05.vnnlib', 'sat'],
    ['softmax-thresholds/sm_large.onnx', 'softmax-thresholds/sm_ge15.vnnlib', 'unsat'],
    ['softmax-thresholds/sm_large.onnx', 'softmax-thresholds/sm_sum.vnnlib', 'unsat'],
    ['softmax-thresholds/lsm.onnx', 'softmax-thresholds/lsm_ge.vnnlib', 'unsat'],
    ['softmax-thresholds/sm_small.onnx', 'softmax-thresholds/sm_order.vnnlib', 'sat'],
    ['gzipped-vnnlib/gemm2.onnx', 'gzipped-vnnlib/andor.vnnlib', 'unsat'],
    ['gzipped-vnnlib/gemm2.onnx', 'gzipped-vnnlib/andor.vnnlib.gz', 'unsat'],
  ])('%s, %s: %s', async (model, spec, answer) => {
    const verdict = await verify(model, `${CASES}/${spec}`);
    expect(verdict.answer, verdict.reason).toBe(answer);
  });

  it('prints probabilities of the file behind a softmax', async () => {
    const spec = `${CASES}/softmax-thresholds/sm_order.vnnlib`;
    const { counterexample } = await verify('softmax-thresholds/sm_small.onnx', spec);
    const { y, yFloat64 } = counterexample!;
    expect(y[0]! + y[1]!).toBeCloseTo(1, 6);
    expect(yFloat64[0]! + yFloat64[1]!).toBeCloseTo(1, 14);
  });

  it('never calls a network safe that rounds away what it is folded to', async () => {
    const { answer } = await verify('unsound/round.onnx', `${CASES}/unsound/fold.vnnlib`);
    expect(answer).not.toBe('unsat');
  });

  it('reads VNN-LIB 2.0 as its twin of 1.0, gzipped or not', () =>
    inTemporaryFolder(async (file) => {
      const ask = async (lines: string[], name: string): Promise<FileVerdict> => {
        const text = lines.join('\n');
        await writeFile(file(name), name.endsWith('.gz') ? gzipSync(text) : text);
        return verify('vnnlib-2/gemm2.onnx', file(name));
      };
      const one = [
        ...['X_0', 'X_1', 'Y_0', 'Y_1'].map((name) => `(declare-const ${name} Real)`),
        ...['(>= X_0 0)', '(<= X_0 1)', '(>= X_1 0)', '(<= X_1 1)'].map((a) => `(assert ${a})`),
      ];
      const two = [
        '(vnnlib-version <2.0>)',
        '(declare-network net (declare-input X Real [1, 2]) (declare-output Y float32 [2]))',
        ...['(>= X[0,0] 0)', '(<= X[0,0] 1)', '(>= X[0, 1] 0)', '(<= X[0,1] 1)'].map(
          (a) => `(assert ${a})`,
        ),
      ];
      const answers = new Set<string>();
      for (const [old, now] of [
        ['(<= Y_0 100)', '(< Y[0] 100.0)'],
        ['(>= Y_1 100)', '(> Y[1] 100.0)'],
        ['(and (<= Y_0 Y_1) (>= Y_1 100))', '(and (<= Y[0] Y[1]) (>= Y[1] 100))'],
      ] as const) {
        const first = await ask([...one, `(assert ${old})`], 'a.vnnlib');
        const again = await ask([...two, `(assert ${now})`], 'b.vnnlib.gz');
        expect(again.answer).toBe(first.answer);
        answers.add(again.answer);
      }
      expect([...answers]).toEqual(['sat', 'unsat']);
    }));
});
