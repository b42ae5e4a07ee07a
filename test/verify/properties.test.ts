/** Properties by construction: some hundred of those that test/slow has by the thousand. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { answers } from './properties';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

it('300 that are satisfiable: none unsat, most sat', () => {
  const { sat } = answers(engine, true, [0, 300]);
  expect(sat).toBeGreaterThan(100);
});

it('300 that are not: none sat, most unsat', () => {
  const { unsat } = answers(engine, false, [0, 300]);
  expect(unsat).toBeGreaterThan(200);
});
