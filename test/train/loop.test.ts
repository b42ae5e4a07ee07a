/** One pass over the data: where it may stop, what it does with a loss that is no number, memory. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { type Batch, type EpochProgress, trainEpoch, trainStep } from '../../src/train/loop';
import { objectives } from '../../src/train/objectives/registry';
import { freeOptimizer } from '../../src/train/optimizers';
import { bits } from '../helpers/engine';
import { batchFrom, range, toyJob, toySet } from './toy';

let engine: Engine;
let set: DataSet;
let batches: Batch[];
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySet();
  batches = range(0, 8).map((b) => batchFrom(set, set.train, range(30 * b, 30 * b + 30)));
});
afterAll(() => engine.close());

const fresh = (): EpochProgress => ({ step: 0, images: 0, lossSum: 0, metrics: {} });
function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

describe.each(Object.entries(objectives))('%s', (_, objective) => {
  it('stops after any batch and goes on with the same result', async () => {
    const whole = toyJob(engine, batches, { objective });
    const once = fresh();
    expect(await trainEpoch(whole, once)).toBe(true);
    const parts = toyJob(engine, batches, { objective });
    const progress = fresh();
    for (const stop of [1, 4, 5, 8]) {
      const after = async (p: EpochProgress): Promise<boolean> => p.step === stop;
      expect(await trainEpoch({ ...parts, after }, progress)).toBe(stop === 8);
      expect(progress).toMatchObject({ step: stop, images: 30 * stop });
    }
    expect(progress).toEqual(once);
    for (const [name, t] of parts.weights.params)
      expect(bits(t.read())).toEqual(bits(whole.weights.params.get(name)!.read()));
  });

  it('needs no more memory at step 200 than at step 2, and no more heap', () => {
    const job = toyJob(engine, batches, { objective });
    const run = (from: number, to: number): void => {
      for (const at of range(from, to)) trainStep(job, job.batch(at), 0);
    };
    const state = () => {
      const { usedBytes, totalBytes, scratchHighWater } = engine.info().memory;
      return { usedBytes, totalBytes, scratchHighWater };
    };
    run(0, 2);
    const early = state();
    run(2, 200);
    expect(state()).toEqual(early);
    // A leak grows in every stretch; compiled code and caches only now and then.
    const grown = range(0, 12).map((stretch) => {
      const before = heapAfterCollection();
      run(200 + 100 * stretch, 300 + 100 * stretch);
      return heapAfterCollection() - before;
    });
    expect(Math.min(...grown)).toBeLessThan(100 * 200);
    expect(state()).toEqual(early);
    freeOptimizer(job.optimizer);
    freeModel(job.weights);
  });
});

describe('a loss that is not finite', () => {
  const benign = objectives.benign!;

  it('changes nothing and names step and tensor', () => {
    const job = toyJob(engine, batches, { objective: benign });
    trainStep(job, batches[0]!, 0);
    const state = () => [
      ...[...job.weights.params.values()].map((t) => bits(t.read())),
      ...[...job.optimizer.moments.values()].map((t) => bits(t.read())),
    ];
    const cases: [spoil: () => () => void, first: RegExp][] = [
      [() => spoiled('fc.weight', Number.NaN), /the parameter fc\.weight/],
      [() => spoiled('fc.bias', Number.POSITIVE_INFINITY), /the parameter fc\.bias/],
      [() => spoiled('conv2.weight', 3e38), /the input of (sum|act2|flat|fc)/],
    ];
    function spoiled(name: string, value: number): () => void {
      const t = job.weights.params.get(name)!;
      const values = t.read();
      t.write(values.map(() => value));
      return () => t.write(values);
    }
    for (const [spoil, first] of cases) {
      const restore = spoil();
      const before = state();
      expect(() => trainStep(job, batches[1]!, 2 + 3 / 8)).toThrow(
        new RegExp(
          `^training, epoch 3, step 4: expected a finite loss, got .*first not finite: ${first.source}`,
        ),
      );
      expect(state()).toEqual(before);
      expect(job.optimizer.steps).toBe(1);
      restore();
    }
    const images = batches[1]!.images.slice().fill(Number.NaN, 5, 6);
    expect(() => trainStep(job, { ...batches[1]!, images }, 0)).toThrow(
      /first not finite: the input/,
    );
  });

  it('is what a learning rate far too high ends in, not a silent model of NaN', () => {
    for (const rate of [1e10, 1e20, 1e37]) {
      const job = toyJob(engine, batches, { objective: benign, rate });
      const go = (): void => {
        for (const at of range(0, 20)) trainStep(job, job.batch(at), at / 20);
      };
      expect(go, `${rate}`).toThrow(/^training, epoch 1, step \d+: expected a finite .*Lower the/);
      for (const [name, t] of job.weights.params)
        expect(t.read().some(Number.isNaN), `NaN in ${name} at rate ${rate}`).toBe(false);
    }
  });
});
