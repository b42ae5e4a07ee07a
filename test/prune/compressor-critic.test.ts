/** The compressor and its critic: what a mask does to the leaves, and what the policy learns of losses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sequential } from '../../src/nn/graph';
import { createModel, freeModel, prunableNames } from '../../src/nn/model';
import { denseModel, freeTraining, parameterise } from '../../src/nn/training-model';
import { channelsOf } from '../../src/prune/channels';
import { keepProbabilities, learn, policyOf } from '../../src/prune/keep-policy';
import type { LossOracle } from '../../src/prune/oracle';
import { compressorCritic } from '../../src/prune/strategies/compressor-critic';
import { type Engine, load } from '../../src/runtime/engine';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const network = sequential(
  'chain',
  [3],
  [['dense', { units: 4 }], ['relu'], ['dense', { units: 5 }], ['relu'], ['dense', { units: 2 }]],
);

describe('the policy', () => {
  it('keeps more often a unit without which the loss is larger, and seldom one that harms', () => {
    const model = createModel(engine, network, { seed: 1 });
    const channels = channelsOf(model.graph);
    const ids = channels.groups.flatMap((group) => group.channels);
    const [needed, harmful] = [ids[0]!, ids.at(-1)!];
    const state = new Map<string, Float32Array>();
    const policy = () => policyOf({ seed: 3, state }, channels, 8);
    const before = keepProbabilities(model, channels, policy());
    expect(before.size).toBe(9);
    for (const p of before.values()) expect(Math.abs(p - 0.9)).toBeLessThan(0.15);
    for (let i = 0; i < 60; i++) {
      const dropped = new Set(ids.filter((_, at) => (i >> (at % 5)) % 3 === 0));
      const loss = 1 + Number(dropped.has(needed)) - Number(dropped.has(harmful));
      const outcome = { loss, dropped, seldom: new Set<number>(), learningRate: 0.02, state };
      learn(model, channels, policy(), outcome);
    }
    const after = keepProbabilities(model, channels, policy());
    expect(after.get(needed)!).toBeGreaterThan(after.get(harmful)!);
    expect(after.get(harmful)!).toBeLessThan(before.get(harmful)!);
    freeModel(model);
  });
});

describe('between batches', () => {
  it('what reads dropped units is 0 while they are, then as it was; other weights stay as trained', async () => {
    const model = createModel(engine, network, { seed: 2 });
    const names = prunableNames(model.graph);
    const channels = channelsOf(model.graph);
    const training = parameterise(model);
    const read = () => {
      const dense = denseModel(training);
      const found = new Map(names.map((name) => [name, dense.params.get(name)!.read()]));
      freeModel(dense);
      return found;
    };
    const losses: number[] = [];
    const oracle: LossOracle = {
      ...{ batches: 2, samples: 1 },
      ask: (asked) => {
        losses.push(asked.params.size);
        return { loss: 1, gradients: new Map(), second: undefined };
      },
    };
    const state = new Map<string, Float32Array>();
    const whole = read();
    const called = async (step: number): Promise<void> => {
      const context = { model: training, sparsity: 0.6, seed: 4, steps: 6, learningRate: 0.1 };
      await compressorCritic.betweenBatches!({ ...context, step, oracle, state }, {});
    };
    let drops = 0;
    for (let step = 1; step < 6; step++) {
      await called(step);
      const dropped = new Set(state.get('dropped'));
      drops += dropped.size;
      const now = read();
      // Columns of the second and third layer are the units before them.
      for (const [name, at, width] of [
        ['dense2.weight', 0, 4],
        ['dense3.weight', 2, 5],
      ] as const)
        now.get(name)!.forEach((w, i) => {
          const gone = dropped.has(channels.outputs[at]![i % width]!);
          expect(w).toBe(gone ? 0 : whole.get(name)![i]);
        });
      expect(now.get('dense1.weight')).toEqual(whole.get('dense1.weight'));
    }
    expect(drops).toBeGreaterThan(0);
    await called(6);
    expect(read()).toEqual(whole);
    expect(state.has('dropped')).toBe(false);
    expect(losses).toHaveLength(5);
    freeTraining(training);
  });
});
