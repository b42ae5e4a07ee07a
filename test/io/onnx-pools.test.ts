/**
 * Pools with every ceil, pad and count option: each agrees with the standard's arithmetic in f64, and
 * with onnxruntime besides its listed faults. Every 31st of the table; all of it in test/slow.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { comparePools, poolTable } from '../helpers/pool-table';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

it('agree with the standard and with onnxruntime', async () => {
  const cases = poolTable().filter((_, i) => i % 31 === 0);
  expect(cases.length).toBeGreaterThan(500);
  const { wrong, unlisted } = await comparePools(engine, cases);
  expect(wrong.slice(0, 5)).toEqual([]);
  expect(unlisted.slice(0, 5)).toEqual([]);
});
