/** The loss oracle against central differences and against samples one by one; what it refuses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { holdout } from '../../src/data/holdout';
import { createModel, freeModel, type Model, trainableNames } from '../../src/nn/model';
import { oracleOf } from '../../src/prune/oracle';
import { parseConfig } from '../../src/recipe/config';
import { lossOracle } from '../../src/recipe/oracle';
import type { TrainingData } from '../../src/recipe/training-data';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { SMOOTH_NETWORK, toySet } from '../train/toy';

let engine: Engine;
let data: TrainingData;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  const set = await toySet();
  data = { set, ...holdout(set.train, set.shape, 40, 1) };
});
afterAll(() => engine.close());

const oracle = (name: string, batch = 20) => {
  const { objective } = parseConfig({ objective: { name } }, 'test');
  return lossOracle({ objective, data, seed: 3, batch });
};
const fresh = (): Model => createModel(engine, SMOOTH_NETWORK, { seed: 5 });

describe('the loss oracle', () => {
  it.each(Object.keys(objectives))(
    'of %s gives loss and gradients, the same when asked again',
    (name) => {
      const model = fresh();
      const ask = oracle(name);
      expect(ask.batches).toBe(10);
      const answer = ask.ask(model, 2);
      expect(ask.ask(model, 2)).toEqual(answer);
      expect(ask.ask(model, 3).loss).not.toBe(answer.loss);
      expect([...answer.gradients.keys()]).toEqual(trainableNames(model.graph));
      expect(answer.second).toBeUndefined();
      if (name !== 'benign') return;
      // Central differences of the loss along some weights.
      const t = model.params.get('dense1.weight')!;
      const values = t.read();
      for (const i of [0, 5, 77, 127]) {
        const at = (delta: number): number => {
          const moved = values.slice();
          moved[i]! += delta;
          t.write(moved);
          const { loss } = ask.ask(model, 2);
          t.write(values);
          return loss;
        };
        const difference = (at(0.05) - at(-0.05)) / 0.1;
        expect(answer.gradients.get('dense1.weight')![i]).toBeCloseTo(difference, 3);
      }
      freeModel(model);
    },
  );

  it('gives the mean square of the gradients of single samples as second derivatives', () => {
    const model = fresh();
    const { second, gradients } = oracle('benign', 8).ask(model, 1, { second: 'fisher' });
    const single = oracle('benign', 1);
    // Batches of one sample, in the same order.
    const answers = Array.from({ length: 8 }, (_, i) => single.ask(model, 8 + i).gradients);
    for (const [name, values] of second!)
      values.forEach((value, i) => {
        const own = answers.map((g) => g.get(name)![i]!);
        expect(value).toBeCloseTo(own.reduce((sum, g) => sum + g * g, 0) / 8, 6);
        expect(gradients.get(name)![i]).toBeCloseTo(own.reduce((sum, g) => sum + g, 0) / 8, 5);
      });
    freeModel(model);
  });

  it('refuses batches that are not there and derivatives that are not on offer', () => {
    const model = fresh();
    const ask = oracle('benign');
    for (const batch of [-1, 10, 0.5])
      expect(() => ask.ask(model, batch)).toThrow(/loss oracle: expected a batch in \[0, 10\)/);
    expect(() => ask.ask(model, 0, { second: 'hessian' as never })).toThrow(
      /loss oracle: expected second derivatives of kind fisher or gauss-newton, got hessian/,
    );
    freeModel(model);
  });

  it('is asked for in words by strategies that have none', () => {
    expect(() => oracleOf({}, 'obd')).toThrow(
      /prune\.strategy obd: expected data and an objective.*compress/,
    );
    const ask = oracle('benign');
    expect(oracleOf({ oracle: ask }, 'obd')).toBe(ask);
  });
});
