/** Averages of weights in training against float64 ones; they are what is copied, and masks hold. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createModel } from '../../src/nn/model';
import { freeTraining, leavesOf, parameterise } from '../../src/nn/training-model';
import { type Engine, load } from '../../src/runtime/engine';
import {
  averageSnapshot,
  emaShare,
  moveAverages,
  startAverages,
  swaCount,
} from '../../src/train/averages';
import { createOptimizer, freeOptimizer } from '../../src/train/optimizers';
import { expectClose } from '../helpers/close';
import { sampler } from '../helpers/random';
import { TOY_NETWORK } from './toy';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

describe.each(['ema', 'swa'] as const)('%s', (name) => {
  it('follows float64, batch norm statistics too, and leaves no memory behind', () => {
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    const model = parameterise(createModel(engine, TOY_NETWORK, { seed: 1 }));
    const options = { optimizer: 'sgd', weightDecay: 0, momentum: 0, gradientClip: null } as const;
    const optimizer = createOptimizer(leavesOf(model), options);
    startAverages(model, optimizer);
    const tensors = Array.from(model.parameters, ([key, p]) => [key, p.tensors.values!] as const);
    const averages = new Map(tensors.map(([key, t]) => [key, [...t.read()]]));
    const random = sampler(3);
    for (let n = 1; n <= 6; n++) {
      const share = name === 'ema' ? emaShare(0.5, n) : 1 / n;
      for (const [key, t] of tensors) {
        t.write([...random.array([t.size]).data]);
        const now = t.read();
        averages.set(
          key,
          averages.get(key)!.map((a, i) => (1 - share) * a + share * now[i]!),
        );
      }
      moveAverages(model, optimizer, share);
    }
    const found = averageSnapshot(model, optimizer);
    expect([...found.keys()]).toContain('norm.mean');
    for (const [key, data] of found)
      expectClose(data.tensors.values!, averages.get(key)!, { rel: 1e-5, abs: 1e-6 }, key);
    freeOptimizer(optimizer);
    freeTraining(model);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });
});

it('moving averages are quick at first, and swa begins where it is told to', () => {
  expect(emaShare(0.999, 1)).toBeCloseTo(9 / 11, 12);
  expect(emaShare(0.999, 1e6)).toBeCloseTo(0.001, 12);
  expect([0, 1, 2, 3, 4].map((epoch) => swaCount(0.6, epoch, 5))).toEqual([-2, -1, 0, 1, 2]);
  expect(swaCount(1, 4, 5)).toBe(0);
});
