/** A million points with cnn-small alone, as initialised and trained, in each binary. */
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
  ({ train, test } = await loadMnist(10_000, 100));
});

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  let model: Model;
  beforeAll(async () => {
    engine = await load({ binary });
    model = createModel(engine, buildNetwork('cnn-small', {}, [1, 28, 28], 10), {
      seed: 1,
      init: 'uniform',
    });
  });
  afterAll(() => engine.close());
  const check = (eps: number, points: number): void => {
    const sampled = sampleBoxes(model, { ...test, eps, points });
    expect(sampled.violation).toBeUndefined();
    expect(sampled.points).toBeGreaterThanOrEqual(points);
  };

  it('as initialised', () => check(0.1, 250_000));

  it('after a little training', () => {
    trainBriefly(model, train, 0);
    check(0.1, 500_000);
    check(1 / 255, 250_000);
  });
});
