/** VNN-LIB by construction: of 10 000 satisfiable properties none is unsat, of 10 000 others none sat. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { answers } from '../verify/properties';

const COUNT = 10_000;
let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

it.each([true, false])('10 000 properties, satisfiable: %s', (satisfiable) => {
  const seen = answers(engine, satisfiable, [0, COUNT]);
  console.info(satisfiable ? 'satisfiable' : 'unsatisfiable', seen);
  expect(seen.sat! + seen.unsat! + seen.unknown!).toBe(COUNT);
  expect(seen[satisfiable ? 'sat' : 'unsat']).toBeGreaterThan(COUNT / 3);
});
