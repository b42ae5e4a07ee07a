/** A training step leaves nothing behind, in linear memory or on the JS heap. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sequential } from '../../src/nn/graph';
import { createModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { trainingStep } from '../helpers/mnist';
import { sampler } from '../helpers/random';

const network = sequential(
  'tiny',
  [1, 8, 8],
  [
    ['conv2d', { channels: 4, kernel: 3, stride: 2, padding: 1 }],
    ['batch-norm'],
    ['relu'],
    ['flatten'],
    ['dropout'],
    ['dense', { units: 5 }],
  ],
);
const batch = {
  images: Float32Array.from(sampler(1).array([16, 1, 8, 8], 0, 1).data),
  labels: Int32Array.from({ length: 16 }, (_, i) => i % 5),
};

describe('an interval training step', () => {
  let engine: Engine;
  let model: Model;
  beforeAll(async () => {
    engine = await load({ threads: 2 });
    model = createModel(engine, network, { seed: 1 });
  });
  afterAll(() => engine.close());
  const run = (steps: number): void => {
    for (let i = 0; i < steps; i++) trainingStep(model, batch, 0.05, 0.01);
  };

  it('uses the same linear memory at step 2 and step 200', () => {
    run(2);
    const { memory } = engine.info();
    run(198);
    expect(engine.info().memory).toEqual(memory);
    expect(memory.scratchHighWater).toBeGreaterThan(0);
  });

  it('does not grow the JS heap over 500 steps', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const heap = (): number => {
      collect();
      collect();
      return process.memoryUsage().heapUsed;
    };
    // V8 keeps optimised code and feedback for a while; what leaks would show in every window.
    let least = Number.POSITIVE_INFINITY;
    for (let window = 0; window < 10 && least > 20_000; window++) {
      const before = heap();
      run(500);
      least = Math.min(least, heap() - before);
    }
    expect(least).toBeLessThan(20_000);
  });
});
