/** Random tensors: keyed by (seed, stream, row), in agreement with the scalar Philox. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { normal, type RandomKey, uniform } from '../../src/tensor/ops/random';
import { block } from '../../src/tensor/philox';
import type { Shape } from '../../src/tensor/shape';
import { step } from '../../src/tensor/tensor';
import { expectClose } from '../helpers/close';
import { binaries } from '../helpers/engine';

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 2 });
  });
  afterAll(() => engine.close());

  const draw = (op: typeof uniform, shape: Shape, key: RandomKey, p?: number, q?: number) =>
    step(engine, () => op(engine, shape, key, p, q).read());

  it('uniform takes the high 24 bits of each word', () => {
    const [seed, stream] = [2 ** 40 + 17, 3];
    const found = draw(uniform, [3, 7], { seed, stream, index: [5, 0, 9] }, -1, 3);
    const words = [5, 0, 9].flatMap((row) =>
      [0, 1].flatMap((number) => block(seed, stream, row, number)).slice(0, 7),
    );
    expectClose(
      found,
      words.map((w) => -1 + 4 * ((w >>> 8) / 2 ** 24)),
      { rel: 1e-7, abs: 0 },
    );
  });

  it('normal is Box and Muller on pairs of words', () => {
    const [seed, stream] = [99, 4];
    const found = draw(normal, [2, 6], { seed, stream }, 1, 2);
    const expected = [0, 1].flatMap((row) => {
      const words = [0, 1].flatMap((number) => block(seed, stream, row, number));
      return Array.from({ length: 6 }, (_, j) => {
        const [u, v] = [words[j - (j % 2)]! >>> 8, words[j - (j % 2) + 1]! >>> 8];
        const radius = Math.sqrt(-2 * Math.log((u + 1) / 2 ** 24));
        const angle = 2 * Math.PI * (v / 2 ** 24);
        return 1 + 2 * radius * (j % 2 ? Math.sin(angle) : Math.cos(angle));
      });
    });
    expectClose(found, expected, { rel: 1e-6, abs: 1e-6 });
  });

  it('have the moments they should', () => {
    const key = { seed: 1, stream: 2 };
    const moments = (values: Float32Array): number[] => {
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      return [mean, values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length];
    };
    expectClose(moments(draw(uniform, [1000, 101], key, -2, 1)), [-0.5, 0.75], { rel: 0.01 });
    expectClose(moments(draw(normal, [1000, 101], key, 3, 0.5)), [3, 0.25], { rel: 0.01 });
    const u = draw(uniform, [1000, 101], key);
    expect(u.every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  it('depend on seed, stream and row, and on nothing else', () => {
    for (const op of [uniform, normal]) {
      const key = { seed: 7, stream: 8 };
      const rows = draw(op, [50, 33], key);
      const row = (i: number, cols = 33) => [...rows.subarray(33 * i, 33 * i + cols)];
      expect([...draw(op, [1, 33], { ...key, index: [17] })]).toEqual(row(17));
      expect([...draw(op, [1, 3, 5], { ...key, index: [4] })]).toEqual(row(4, 15));
      expect([...draw(op, [2, 33], key)]).toEqual([...row(0), ...row(1)]);
      for (const other of [
        { seed: 8, stream: 8 },
        { seed: 7, stream: 9 },
        { seed: 2 ** 32 + 7, stream: 8 },
      ])
        expect([...draw(op, [1, 33], other)]).not.toEqual(row(0));
    }
  });

  it('can be empty', () => {
    expect(draw(uniform, [0, 3], { seed: 1, stream: 1 })).toHaveLength(0);
    expect(draw(normal, [3, 0], { seed: 1, stream: 1 })).toHaveLength(0);
    expect(draw(uniform, [], { seed: 1, stream: 1 })).toHaveLength(1);
  });
});
