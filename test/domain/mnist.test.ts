/**
 * A million random and corner points in boxes around test images, in each binary, never leave their
 * interval bounds. test/slow/sampling.test.ts does the same with the convolutional network alone.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createModel, type Model } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { type Engine, load } from '../../src/runtime/engine';
import { binaries } from '../helpers/engine';
import { type Images, loadMnist, trainBriefly } from '../helpers/mnist';
import { sampleBoxes } from '../helpers/sampling';

let train: Images;
let test: Images;
beforeAll(async () => {
  ({ train, test } = await loadMnist(3000, 10));
});

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  let model: Model;
  let points = 0;
  beforeAll(async () => {
    engine = await load({ binary, threads: 2 });
    model = createModel(engine, buildNetwork('cnn-small', {}, [1, 28, 28], 10), {
      seed: 1,
      init: 'uniform',
    });
  });
  afterAll(() => engine.close());

  function check(of: Model, eps: number, count: number): void {
    const sampled = sampleBoxes(of, { ...test, eps, points: count });
    expect(sampled.violation).toBeUndefined();
    expect(sampled.coverage).toBeGreaterThan(1e-3);
    points += sampled.points;
  }

  it('cnn-small as initialised', () => check(model, 0.1, 20_000));

  it('cnn-small after a little training', () => {
    const losses = trainBriefly(model, train, 0);
    expect(losses.at(-1)).toBeLessThan(0.9 * losses[0]!);
    check(model, 0.1, 20_000);
    check(model, 1 / 255, 20_000);
  });

  it('a dense network, to the million', () => {
    const dense = createModel(engine, buildNetwork('mlp', { hidden: [32] }, [1, 28, 28], 10), {
      seed: 2,
    });
    check(dense, 0.05, 475_000);
    check(dense, 1e-6, 475_000);
    expect(points).toBeGreaterThanOrEqual(1e6);
  });
});
