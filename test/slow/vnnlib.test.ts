/** All VNN-LIB instances at 60 seconds each on two threads: none wrong, at least 12 answered. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { PRESENT } from '../goldens/goldens';
import { answer, INSTANCES } from '../goldens/vnnlib';

describe.skipIf(!PRESENT)('VNN-LIB (skipped where ../shared/goldens is absent)', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 2 });
  });
  afterAll(() => engine.close());

  it('answers at least 12 of 17 and none wrongly', async () => {
    let answered = 0;
    for (const instance of INSTANCES) {
      const verdict = await answer(engine, instance, { seconds: 60 });
      if (verdict.answer === 'sat' || verdict.answer === 'unsat') {
        expect(verdict.answer, instance.id).toBe(instance.expected_vnnlib);
        answered++;
      } else expect(Number.isFinite(verdict.bound), instance.id).toBe(true);
    }
    expect(INSTANCES).toHaveLength(17);
    expect(answered).toBeGreaterThanOrEqual(12);
  });
});
