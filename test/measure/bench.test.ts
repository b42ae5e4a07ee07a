/** The benchmark of this machine: every row a number, and all memory given back. */
import { expect, it } from 'vitest';
import { benchmark } from '../../src/measure/bench';
import { load } from '../../src/runtime/engine';

it('measures every row and frees what it took', async () => {
  const engine = await load({ threads: 1 });
  const used = engine.memory.usedBytes;
  const rows = await benchmark(engine, { seconds: 0.01 });
  engine.arena.trim();
  expect(engine.memory.usedBytes).toBe(used);
  engine.close();
  expect(rows.length).toBeGreaterThanOrEqual(8);
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  for (const { name, median, spread, gflops, images_per_second: rate } of rows) {
    expect(median, name).toBeGreaterThan(0);
    expect(spread, name).toBeGreaterThanOrEqual(0);
    expect(gflops, name).toBeGreaterThan(0.01);
    expect(gflops, name).toBeLessThan(10_000);
    if (/train|forward/.test(name)) expect(rate, name).toBeGreaterThan(1);
  }
});
