/** Gradients at the sharpest nearby point, against the climb written down once more. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { type Engine, load } from '../../src/runtime/engine';
import { sum } from '../../src/tensor/ops/core';
import { square } from '../../src/tensor/ops/elementwise';
import { gradients } from '../../src/tensor/tape';
import { item, keep, step } from '../../src/tensor/tensor';
import { trainStep } from '../../src/train/loop';
import { benign } from '../../src/train/objectives/benign';
import { atSharpest } from '../../src/train/sharpness';
import { batchFrom, range, toyJob, toySet } from './toy';

let engine: Engine;
let set: DataSet;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySet();
});
afterAll(() => engine.close());

describe('the sharpest nearby point', () => {
  const look = (t: ReturnType<typeof keep>) => () =>
    gradients(engine, [t], () => ({ loss: sum(square(t)) })).gradients[0]!;

  it('lies uphill by a share of the norm, and leaves come back from it', () => {
    const t = keep(engine, [2], [3, 4]);
    const leaves = [{ name: 't', tensor: t, decays: true }];
    step(engine, () => {
      const g = look(t)();
      // The gradient of |t|^2 is 2 t: up by a tenth of the norm, 5, along (3, 4) / 5.
      const found = [...atSharpest(leaves, [g], 0.1, look(t)).read()];
      expect(found[0]).toBeCloseTo(2 * 3.3, 5);
      expect(found[1]).toBeCloseTo(2 * 4.4, 5);
      expect([...t.read()]).toEqual([3, 4]);
      expect(() =>
        atSharpest(leaves, [g], 0.1, () => {
          throw new Error('on the way');
        }),
      ).toThrow('on the way');
      expect([...t.read()]).toEqual([3, 4]);
      const resting = [{ name: 't', tensor: t, decays: false }];
      expect([...atSharpest(resting, [g], 0.1, look(t)).read()]).toEqual([6, 8]);
    });
    t.free();
  });

  it('stays where it is at a gradient of 0', () => {
    const t = keep(engine, [2], [0, 0]);
    const leaves = [{ name: 't', tensor: t, decays: true }];
    step(engine, () => {
      const g = look(t)();
      expect(item(sum(atSharpest(leaves, [g], 0.1, look(t))))).toBe(0);
    });
    t.free();
  });
});

describe('training', () => {
  it('goes another way with it, the same as without at radius 0, and learns', () => {
    const batch = batchFrom(set, set.train, range(0, 60));
    const trained = (sharpness: number | null) => {
      const job = toyJob(engine, [batch], { objective: benign, optimizer: { sharpness } });
      const losses = range(0, 30).map(() => trainStep(job, batch, 0).loss);
      return { losses, weights: job.weights.params.get('fc.weight')!.read() };
    };
    const [plain, still, sharp] = [null, 0, 0.05].map(trained);
    expect(still!.weights).toEqual(plain!.weights);
    expect(sharp!.weights).not.toEqual(plain!.weights);
    expect(sharp!.losses.at(-1)!).toBeLessThan(0.5 * sharp!.losses[0]!);
  });
});
