/** The loss oracle against central differences and against samples one by one; what it refuses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { epochBatches } from '../../src/data/batches';
import { holdout } from '../../src/data/holdout';
import { sequential } from '../../src/nn/graph';
import { createModel, freeModel, type Model, trainableNames } from '../../src/nn/model';
import { oracleOf } from '../../src/prune/oracle';
import { parseConfig } from '../../src/recipe/config';
import { lossOracle } from '../../src/recipe/oracle';
import { batchAt, type TrainingData } from '../../src/recipe/training-data';
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

/** Mean cross entropy of that network in float64, written down once more. */
function lossOfPiecewise(
  weights: ReadonlyMap<string, readonly number[]>,
  images: Float32Array,
  labels: Int32Array,
): number {
  const of = (name: string): readonly number[] => weights.get(name)!;
  const dense = (x: readonly number[], name: string): number[] =>
    of(`${name}.bias`).map((bias, r) =>
      x.reduce((sum, xi, i) => sum + xi * of(`${name}.weight`)[r * x.length + i]!, bias),
    );
  const losses = Array.from(labels, (label, n) => {
    const pixel = (y: number, x: number): number =>
      y < 0 || y > 3 || x < 0 || x > 3 ? 0 : images[n * 16 + y * 4 + x]!;
    const maps = [0, 1].flatMap((c) =>
      Array.from({ length: 16 }, (_, at) => {
        let sum = of('conv2d1.bias')[c]!;
        for (let k = 0; k < 9; k++)
          sum +=
            of('conv2d1.weight')[c * 9 + k]! *
            pixel(Math.floor(at / 4) + Math.floor(k / 3) - 1, (at % 4) + (k % 3) - 1);
        return Math.max(0, sum);
      }),
    );
    const hidden = dense(maps, 'dense1').map((x) => (x > 0 ? x : Math.fround(0.1) * x));
    const z = dense(hidden, 'dense2');
    return Math.log(z.reduce((sum, one) => sum + Math.exp(one), 0)) - z[label]!;
  });
  return losses.reduce((sum, one) => sum + one, 0) / losses.length;
}

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

  it('gives the exact diagonal of the Hessian for cross entropy and ReLU, by differences in float64', () => {
    const network = sequential(
      'piecewise',
      [1, 4, 4],
      [
        ['conv2d', { channels: 2, kernel: 3, padding: 1 }],
        ['relu'],
        ['flatten'],
        ['dense', { units: 6 }],
        ['leaky-relu', { slope: 0.1 }],
        ['dense', { units: 4 }],
      ],
    );
    const model = createModel(engine, network, { seed: 8 });
    const ask = oracle('benign', 5);
    const { second } = ask.ask(model, 1, { second: 'exact' });
    const { gradients } = ask.ask(model, 1);
    const shuffle = { seed: 3, epoch: 0, shuffle: true, dropLast: true };
    const { images, labels } = batchAt(data, epochBatches(data.train.count, 5, shuffle)[1]!);
    const weights = new Map(Array.from(model.params, ([name, t]) => [name, Array.from(t.read())]));
    const h = 1e-4;
    let curved = 0;
    for (const name of ['conv2d1.weight', 'dense1.weight', 'dense2.weight']) {
      const own = weights.get(name)!;
      for (let i = 0; i < own.length; i += 5) {
        const w = own[i]!;
        const [up, at, down] = [h, 0, -h].map((by) => {
          own[i] = w + by;
          return lossOfPiecewise(weights, images, labels);
        }) as [number, number, number];
        own[i] = w;
        // A breakpoint within h would show in the slope as well.
        expect(gradients.get(name)![i]).toBeCloseTo((up - down) / (2 * h), 4);
        const wanted = (up - 2 * at + down) / (h * h);
        expect(Math.abs(second!.get(name)![i]! - wanted)).toBeLessThan(1e-5 + 1e-3 * wanted);
        if (wanted > 1e-3) curved++;
      }
    }
    expect(curved).toBeGreaterThan(10);
    freeModel(model);
  });

  it('refuses to call exact what is not', () => {
    const model = fresh();
    expect(() => oracle('benign').ask(model, 0, { second: 'exact' })).toThrow(
      /exact second derivatives: expected activations with one breakpoint, .*got (sigmoid|tanh)/,
    );
    expect(() => oracle('ibp').ask(model, 0, { second: 'exact' })).toThrow(
      /exact second derivatives: expected the cross entropy of clean images.*got ibp/,
    );
    freeModel(model);
  });

  it('refuses batches that are not there and derivatives that are not on offer', () => {
    const model = fresh();
    const ask = oracle('benign');
    for (const batch of [-1, 10, 0.5])
      expect(() => ask.ask(model, batch)).toThrow(/loss oracle: expected a batch in \[0, 10\)/);
    expect(() => ask.ask(model, 0, { second: 'hessian' as never })).toThrow(
      /loss oracle: expected second derivatives of kind gauss-newton, exact, fisher, got hessian/,
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
