/** Verifiers by linear bounds: nesting, memory, and the bounds that `espalier bounds` shows. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { intervalMargins } from '../../src/domain/interval';
import { sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { objectives } from '../../src/train/objectives/registry';
import { batchSize, sampleBytes } from '../../src/verify/linear';
import type { Verdict, Verifier, VerifyJob } from '../../src/verify/verifier';
import { verifiers } from '../../src/verify/verifiers/registry';
import { sampler } from '../helpers/random';
import { batchFrom, range, toySet, trainedToy } from '../train/toy';

const COUNT = 40;
const NAMES = ['interval', 'crown-ibp', 'crown', 'alpha-crown', 'fast-lin'] as const;
const run = (name: string, job: VerifyJob, options = {}): Verdict[] => {
  const entry = verifiers[name] as Verifier;
  return entry.verify(job, parseOptions(entry.options, options, name) as never);
};

describe('verifiers by linear bounds', () => {
  let engine: Engine;
  let set: DataSet;
  let models: Model[];
  beforeAll(async () => {
    engine = await load({ threads: 1 });
    set = await toySet();
    models = ['benign', 'adversarial', 'ibp'].map((name) =>
      lower(trainedToy(engine, set, { objective: objectives[name]! })),
    );
  });
  afterAll(() => engine.close());
  const jobOf = (model: Model, eps: number): VerifyJob => ({
    model,
    ...batchFrom(set, set.test, range(0, COUNT)),
    eps,
  });

  it('nest: each certifies what a cheaper one does, with a margin no smaller while it is open', () => {
    const counts = NAMES.map(() => 0);
    for (const model of models)
      for (const eps of [0.01, 0.05, 0.1, 0.15]) {
        const all = NAMES.map((name) => run(name, jobOf(model, eps)));
        all.forEach((verdicts, k) => {
          counts[k]! += verdicts.filter(({ verdict }) => verdict === 'certified').length;
        });
        const [interval, crownIbp, crown, alpha, fastLin] = all as [Verdict[], ...Verdict[][]];
        for (const [loose, tight] of [
          [interval, crownIbp],
          [crownIbp, crown],
          [crown, alpha],
          [interval, fastLin],
        ])
          loose!.forEach(({ verdict, margin }, i) => {
            const other = tight![i]!;
            if (verdict === 'certified') expect(other.verdict).toBe('certified');
            else expect(other.margin).toBeGreaterThanOrEqual(margin);
          });
      }
    // In this order strictly, over all networks and radii: else nothing was gained.
    const [a, b, c, d] = counts as [number, number, number, number, number];
    expect(a < b && b < c && c < d, `${counts}`).toBe(true);
  });

  it('is the same with little memory, and whatever the chunks', () => {
    const job = jobOf(models[0]!, 0.05);
    for (const name of ['crown-ibp', 'crown', 'alpha-crown'])
      expect(run(name, job, { memory: 2 ** 20 })).toEqual(run(name, job));
  });

  it('answers unknown where the engine has no memory left, and leaves it usable', async () => {
    const small = await load({ threads: 1, maxMemory: 24 * 2 ** 20 });
    const network = sequential(
      'n',
      [1, 48, 48],
      [
        ['conv2d', { channels: 16, kernel: 3, padding: 1 }],
        ['relu'],
        ['conv2d', { channels: 8, kernel: 3, padding: 1 }],
        ['relu'],
        ['flatten'],
        ['dense', { units: 3 }],
      ],
    );
    const model = createModel(small, network, { seed: 1 });
    const images = Float32Array.from(sampler(5).array([4, 48 * 48], 0, 1).data);
    const job = { model, images, labels: Int32Array.from([0, 1, 2, 0]), eps: 0.1 };
    for (const name of ['crown', 'alpha-crown']) {
      const verdicts = run(name, job, { memory: 2 ** 30 });
      expect(verdicts.map(({ verdict }) => verdict)).toEqual(new Array(4).fill('unknown'));
      const reasons = verdicts.map((v) => (v.verdict === 'unknown' ? v.reason : ''));
      for (const reason of reasons) expect(reason).toMatch(/memory.*asked|memory.*request/);
    }
    expect(run('interval', { ...job, eps: 1e-9 })).toHaveLength(4);
    freeModel(model);
    small.close();
  });

  it('plans batches by what they take', () => {
    const { graph } = models[0]!;
    expect(sampleBytes(graph)).toBeGreaterThan(0);
    expect(batchSize(graph, 1)).toBe(1);
    expect(batchSize(graph, 2 ** 40)).toBe(32);
  });

  it('shows bounds whose margins are the verdicts', () => {
    const model = models[2]!;
    const job = jobOf(model, 0.05);
    for (const name of NAMES) {
      const entry = verifiers[name]!;
      const options = parseOptions(entry.options, {}, name) as never;
      const { lo, hi, margins, box } = step(engine, () => {
        const x = input(engine, job.images, [COUNT, ...model.graph.network.input]);
        const found = entry.bounds!({ ...job, x }, options);
        const set = { lo: x, hi: x };
        const at = intervalMargins(model.graph, model.params, set, job.labels, { sound: false });
        const [lo, hi, margins] = [found.lo, found.hi, found.margins].map((t) => t.read());
        return { lo: lo!, hi: hi!, margins: margins!, box: at.read() };
      });
      expect(lo.every((v, i) => v <= hi[i]!)).toBe(true);
      // At the image itself the margin is no smaller.
      margins.forEach((m, i) => void expect(m).toBeLessThanOrEqual(box[i]! + 1e-5));
    }
  });
});
