/** All VNN-LIB instances at 60 seconds each on two threads: none wrong, at least 12 answered. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { PRESENT } from '../goldens/goldens';
import { answer, INSTANCES } from '../goldens/vnnlib';

describe.skipIf(!PRESENT)('VNN-LIB (skipped where ../shared/goldens is absent)', () => {
  let engine: Engine;
  const answered: string[] = [];
  beforeAll(async () => {
    engine = await load({ threads: 2 });
  });
  afterAll(() => engine.close());

  it.each(INSTANCES.map((one) => [one.id, one] as const))('%s: not wrong', async (id, instance) => {
    const verdict = await answer(engine, instance, { seconds: 60 });
    if (verdict.answer === 'sat' || verdict.answer === 'unsat') {
      expect(verdict.answer).toBe(instance.expected_vnnlib);
      answered.push(id);
    } else expect(Number.isFinite(verdict.bound)).toBe(true);
  });

  it('answers at least 12 of 17', () => {
    expect(INSTANCES).toHaveLength(17);
    console.info(`${answered.length} of 17 answered`);
    expect(answered.length).toBeGreaterThanOrEqual(12);
  });
});
