/** The quick VNN-LIB instances, answered as all tools of the competition did. All: test/slow. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isUnsafe } from '../../src/io/vnnlib';
import { type Engine, load } from '../../src/runtime/engine';
import { PRESENT } from './goldens';
import { answer, INSTANCES, propertyOf } from './vnnlib';

const QUICK = INSTANCES.filter(({ id }) =>
  /^test|run2a_4_|run2a_1_[79]|run2a_1_1.*prop_1|verivital|prop_12|marabou/.test(id),
);

describe.skipIf(!PRESENT)('VNN-LIB instances (skipped where ../shared/goldens is absent)', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(QUICK.map((one) => [one.id, one] as const))('%s', async (_, instance) => {
    const verdict = await answer(engine, instance, { nodes: 5000 });
    expect(verdict.answer, JSON.stringify(verdict.reason)).toBe(instance.expected_vnnlib);
    if (verdict.answer === 'unsat') expect(verdict.bound).toBeGreaterThan(0);
    else {
      const { x, y, yFloat64 } = verdict.counterexample!;
      const property = propertyOf(instance);
      expect(isUnsafe(property, x, y)).toBe(true);
      expect(isUnsafe(property, x, yFloat64)).toBe(true);
    }
  });

  it('ends as unknown, with the bound reached, where nodes or seconds are used up', async () => {
    const hard = INSTANCES.find(({ id }) => /run2a_1_1.*prop_3/.test(id))!;
    const few = await answer(engine, hard, { nodes: 200 });
    expect(few).toMatchObject({ answer: 'unknown', reason: '200 nodes are used up' });
    expect(Number.isFinite(few.bound) && few.bound < 0).toBe(true);
    const none = await answer(engine, hard, { seconds: 1e-6 });
    expect(none).toMatchObject({ answer: 'timeout', nodes: 0 });
  });
});
