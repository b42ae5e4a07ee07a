/** Tied weights: their gradients against a plain sum, and that training keeps them tied. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createModel, freeModel } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { bitsByKind, shareWeights } from '../../src/prune/share';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { createOptimizer, freeOptimizer, update } from '../../src/train/optimizers';
import { retie, tieGradients, tiesOf } from '../../src/train/ties';
import { sampler } from '../helpers/random';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const shared = () => {
  const model = createModel(engine, buildNetwork('mlp', { hidden: [7] }, [5], 3), { seed: 2 });
  const weight = model.params.get('dense1.weight')!;
  weight.write(weight.read().map((w, i) => (i % 3 === 0 ? 0 : w)));
  const bits = bitsByKind(model, { dense: 2 });
  shareWeights(model, bits);
  return { model, ties: tiesOf(model, bits.keys()) };
};

describe('ties', () => {
  it('give each weight the mean gradient of the weights of its value, zeros none', () => {
    const { model, ties } = shared();
    const weight = model.params.get('dense1.weight')!.read();
    const gradient = Array.from(sampler(1).array([7, 5]).data);
    const [tied, free] = step(engine, () => {
      const given = [input(engine, gradient, [7, 5]), input(engine, [1, 2, 3], [3])];
      return tieGradients(['dense1.weight', 'dense2.bias'], given, { ties }).map((t) => t.read());
    });
    weight.forEach((w, i) => {
      const own = gradient.filter((_, j) => weight[j] === w);
      const mean = own.reduce((a, b) => a + b, 0) / own.length;
      expect(tied![i]).toBeCloseTo(w === 0 ? 0 : mean, 6);
    });
    expect(Array.from(free!)).toEqual([1, 2, 3]);
    freeModel(model);
  });

  it.each(['adam', 'sgd'] as const)('hold through updates by %s', (kind) => {
    const { model, ties } = shared();
    const options = { optimizer: kind, weightDecay: 1e-3, momentum: 0.9, gradientClip: 1 };
    const optimizer = createOptimizer(model, options);
    const before = model.params.get('dense1.weight')!.read();
    const random = sampler(3);
    for (let i = 0; i < 20; i++)
      step(engine, () => {
        const found = optimizer.names.map((name) => {
          const { shape } = model.params.get(name)!;
          return input(engine, random.array(shape, -1, 1).data, shape);
        });
        update(optimizer, model, tieGradients(optimizer.names, found, { ties }), 0.01);
      });
    retie(model, ties);
    const after = model.params.get('dense1.weight')!.read();
    const moved = new Map(Array.from(before, (w, i) => [w, after[i]!]));
    expect(moved.size).toBe(5);
    expect(new Set(moved.values()).size).toBe(5);
    before.forEach((w, i) => {
      expect(after[i]).toBe(moved.get(w));
      expect(after[i] === 0).toBe(w === 0);
      if (w !== 0) expect(after[i]).not.toBe(w);
    });
    freeOptimizer(optimizer);
    freeModel(model);
  });
});
