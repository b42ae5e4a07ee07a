/** Statistics of the whole training set: those of its values in float64, and no batch's order or size. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Network, sequential } from '../../src/nn/graph';
import { createModel } from '../../src/nn/model';
import { freeTraining, parameterise } from '../../src/nn/training-model';
import { type Engine, load } from '../../src/runtime/engine';
import { keepsStatistics, resetStatistics } from '../../src/train/statistics';
import { batchFrom, range, TOY_NETWORK, toySet } from './toy';

let engine: Engine;
const set = await toySet();
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const NORM = sequential('norm', [1, 4, 4], [['batch-norm'], ['flatten'], ['dense', { units: 4 }]]);

async function statisticsAfter(
  network: Network,
  groups: readonly number[][],
): Promise<Map<string, number[]>> {
  const model = parameterise(createModel(engine, network, { seed: 2 }));
  let pauses = 0;
  await resetStatistics(model, {
    batches: groups.length,
    batch: (at) => batchFrom(set, set.train, groups[at]!),
    seed: 1,
    pause: async () => {
      pauses++;
    },
  });
  expect(pauses).toBe(groups.length);
  const found = Array.from(model.parameters, ([name, { tensors }]): [string, number[]] => [
    name,
    [...tensors.values!.read()],
  ]);
  freeTraining(model);
  return new Map(found);
}

describe('statistics of the training set', () => {
  it('are the mean and the unbiased variance of one batch, exactly', async () => {
    const { images } = batchFrom(set, set.train, range(0, 30));
    const mean = images.reduce((a, b) => a + b, 0) / images.length;
    const variance = images.reduce((a, b) => a + (b - mean) ** 2, 0) / (images.length - 1);
    const found = await statisticsAfter(NORM, [range(0, 30)]);
    expect([...found].find(([name]) => name.endsWith('.mean'))![1][0]).toBeCloseTo(mean, 6);
    expect([...found].find(([name]) => name.endsWith('.variance'))![1][0]).toBeCloseTo(variance, 6);
  });

  it('weigh batches by their images and know no order', async () => {
    const groups = [range(0, 40), range(40, 90), range(90, 100)];
    const [one, other] = [
      await statisticsAfter(TOY_NETWORK, groups),
      await statisticsAfter(TOY_NETWORK, groups.toReversed()),
    ];
    const { images } = batchFrom(set, set.train, range(0, 100));
    for (const [name, values] of one)
      for (const [i, v] of values.entries()) expect(v).toBeCloseTo(other.get(name)![i]!, 6);
    const whole = await statisticsAfter(NORM, [range(0, 100)]);
    const parts = await statisticsAfter(NORM, groups);
    const meanOf = (found: Map<string, number[]>) =>
      [...found].find(([name]) => name.endsWith('.mean'))![1][0]!;
    expect(meanOf(parts)).toBeCloseTo(meanOf(whole), 6);
    expect(meanOf(parts)).toBeCloseTo(images.reduce((a, b) => a + b, 0) / images.length, 6);
  });

  it('change no other parameter, and nothing in networks that keep none', async () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    const found = await statisticsAfter(TOY_NETWORK, [range(0, 20)]);
    for (const [name, t] of model.params)
      if (/\.(mean|variance)$/.test(name)) expect(found.get(name)).not.toEqual([...t.read()]);
      else expect(found.get(name)).toEqual([...t.read()]);
    const keeps = (network: Network): boolean => {
      const training = parameterise(createModel(engine, network));
      const result = keepsStatistics(training);
      freeTraining(training);
      return result;
    };
    expect(keeps(TOY_NETWORK)).toBe(true);
    expect(keeps(sequential('none', [4], [['dropout'], ['dense', { units: 2 }]]))).toBe(false);
  });
});
