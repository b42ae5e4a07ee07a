/** Branch and bound over neurons' phases on 2000 random small networks, against exact minima by enumeration. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { answersOf } from '../verify/complete';

const NETWORKS = 2000;

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

it(`answers nothing wrongly of ${NETWORKS} networks`, () => {
  const all = Array.from({ length: NETWORKS }, (_, seed) => answersOf(engine, 1000 + seed));
  expect(all.flatMap(({ wrong }) => wrong)).toEqual([]);
  expect(all.flatMap(({ open }) => open).length).toBeLessThanOrEqual(NETWORKS / 5);
});
