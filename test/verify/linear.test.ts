/** Verifiers by linear bounds: nesting, memory, and the bounds that `espalier bounds` shows. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { intervalMargins } from '../../src/domain/rows';
import { sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { sizeOf } from '../../src/tensor/shape';
import { input, step } from '../../src/tensor/tensor';
import { objectives } from '../../src/train/objectives/registry';
import { batchSize } from '../../src/verify/memory';
import { provenBounds } from '../../src/verify/prove';
import type { Verdict, Verifier, VerifyJob } from '../../src/verify/verifier';
import { verifiers } from '../../src/verify/verifiers/registry';
import { sampler } from '../helpers/random';
import { fewNodes } from '../helpers/verifiers';
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

  const NETWORK = sequential(
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
  const within = async (
    maxMemory: number,
    work: (job: VerifyJob) => void,
    network = NETWORK,
  ): Promise<void> => {
    const own = await load({ threads: 1, maxMemory });
    const model = createModel(own, network, { seed: 1 });
    const images = Float32Array.from(sampler(5).array([9, sizeOf(network.input)], 0, 1).data);
    work({ model, images, labels: Int32Array.from({ length: 9 }, (_, i) => i % 3), eps: 1e-4 });
    // The engine is of use afterwards.
    expect(run('interval', { ...jobOf(model, 0), images, labels: new Int32Array(9) })).toHaveLength(
      9,
    );
    freeModel(model);
    own.close();
  };
  const MiB = 2 ** 20;
  const SMALL = sequential(
    'n',
    [1, 10, 10],
    [
      ['conv2d', { channels: 6, kernel: 3, padding: 1 }],
      ['relu'],
      ['conv2d', { channels: 4, kernel: 3, stride: 2 }],
      ['relu'],
      ['flatten'],
      ['dense', { units: 12 }],
    ],
  );

  /** Of which the weights are most. */
  const WIDE = sequential(
    'n',
    [1500],
    [['dense', { units: 1500 }], ['relu'], ['dense', { units: 3 }]],
  );

  it('answers unknown, with the reason, where memory does not do for one image', () =>
    within(3 * MiB, (job) => {
      for (const name of Object.keys(verifiers)) {
        const options = 'memory' in verifiers[name]!.options.entries ? { memory: 2 ** 30 } : {};
        const verdicts = run(name, { ...job, eps: 0.1 }, options);
        expect(verdicts.map(({ verdict }) => verdict)).toEqual(new Array(9).fill('unknown'));
        for (const one of verdicts)
          expect(one).toMatchObject({
            reason: expect.stringMatching(/memory.*asked|memory.*request/),
          });
      }
    }));

  it('takes fewer images at a time where memory does not do for all, with the same answers', async () => {
    const answers: Verdict[][][] = [];
    for (const limit of [1024, 18])
      await within(limit * MiB, (job) => {
        answers.push(
          ['interval', 'crown-ibp', 'crown', 'fast-lin'].map((name) => {
            const options = name === 'interval' ? {} : { memory: 2 ** 30 };
            const verdicts = run(name, job, options);
            expect(job.model.engine.arena.highWater > 10 * MiB).toBe(true);
            return verdicts;
          }),
        );
      });
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[0]!.flat().some(({ verdict }) => verdict === 'certified')).toBe(true);
  });

  it('plans batches by what they take, which is no more', async () => {
    const { graph } = models[0]!;
    expect(batchSize(graph, 1)).toBe(1);
    expect(batchSize(graph, 2 ** 40)).toBe(32);
    for (const [name, options, network = SMALL] of [
      ['crown-ibp', {}],
      ['crown-ibp', { memory: 2 * MiB }, WIDE],
      ['alpha-crown', { steps: 2, memory: 2 * MiB }, WIDE],
      ['crown', {}],
      ['crown', { memory: 4 * MiB }],
      ['fast-lin', { hidden: 'all' }],
      ['alpha-crown', { steps: 2 }],
      ['alpha-crown', { steps: 2, memory: 2 * MiB }],
      ['alpha-crown', { steps: 2, joint: true }],
    ] as const)
      await within(
        1024 * MiB,
        (job) => {
          const entry = verifiers[name]!;
          const settings = parseOptions(entry.options, options, name);
          const { samples, bytes } = entry.memoryFor!(job.model, 9, settings);
          const before = job.model.engine.arena.highWater;
          run(name, { ...job, eps: 0.01 }, options);
          const { highWater } = job.model.engine.arena;
          expect(before).toBeLessThan(highWater);
          expect(highWater, `${name} ${JSON.stringify(options)}`).toBeLessThanOrEqual(bytes);
          expect(highWater).toBeGreaterThan(bytes / 32);
          expect(samples).toBeGreaterThan(0);
        },
        network,
      );
  });

  it('shows bounds whose margins are the verdicts', () => {
    const model = models[2]!;
    const job = jobOf(model, 0.05);
    for (const name of NAMES) {
      const entry = verifiers[name]!;
      const options = parseOptions(entry.options, fewNodes(entry), name) as never;
      const { lo, hi, margins } = provenBounds(entry.method!(options), job);
      const box = step(engine, () => {
        const x = input(engine, job.images, [COUNT, ...model.graph.network.input]);
        const set = { lo: x, hi: x };
        return intervalMargins(model.graph, model.params, set, job.labels, { sound: false }).read();
      });
      expect(lo.every((v, i) => v <= hi[i]!)).toBe(true);
      // At the image itself the margin is no smaller.
      margins.forEach((m, i) => void expect(m).toBeLessThanOrEqual(box[i]! + 1e-5));
    }
  });
});
