/** Classes by a plan over non-zeros: those of the value domain, whatever stands beside a sample. */
import { describe, expect, it } from 'vitest';
import { predict } from '../../src/domain/classifier';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { predictorOf } from '../../src/plan/predictor';
import { load } from '../../src/runtime/engine';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { smooth } from '../../src/verify/smoothing';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });

function modelOf(sparsity: number): Model {
  const model = createModel(engine, buildNetwork('mlp', {}, [1, 8, 8], 10), { seed: 3 });
  const random = sampler(4);
  for (const [name, t] of model.params) {
    if (!name.endsWith('.weight')) continue;
    const chosen = random.array([t.size], 0, 1).data;
    t.write(t.read().map((v, i) => (chosen[i]! < sparsity ? 0 : v)));
  }
  return model;
}

const images = Float32Array.from(sampler(5).array([37 * 64], 0, 1).data);
const of = <T>(from: number, to: number, f: (x: Tensor) => T): T =>
  step(engine, () => f(input(engine, images.subarray(64 * from, 64 * to), [to - from, 1, 8, 8])));

describe.each([0, 0.9])('classes with a share of %d zeros', (sparsity) => {
  it('are those of the value domain, alone or among others', () => {
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    const model = modelOf(sparsity);
    const before = engine.memory.usedBytes;
    const predictor = predictorOf(model);
    expect(engine.memory.usedBytes > before).toBe(sparsity > 0);
    const all = of(0, 37, (x) => predictor.classes(x));
    expect(all).toEqual(of(0, 37, (x) => predict(model, x)));
    for (const [from, to] of [
      [0, 1],
      [36, 37],
      [5, 21],
      [7, 24],
    ] as const)
      expect(of(from, to, (x) => predictor.classes(x))).toEqual(all.slice(from, to));
    expect(of(3, 3, (x) => predictor.classes(x))).toHaveLength(0);
    predictor.free();
    freeModel(model);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });

  it('make the same smoothed classifier at any batch size', () => {
    const model = modelOf(sparsity);
    const { classes, free } = predictorOf(model);
    const options = { sigma: 0.5, n0: 20, n: 300, alpha: 0.01, seed: 1 };
    const point = images.slice(0, 64);
    const want = smooth(model, point, 2, options);
    for (const batch of [1, 7, 16, 400])
      expect(smooth(model, point, 2, { ...options, batch, classes })).toEqual(want);
    free();
    freeModel(model);
  });
});
