/** Branch and bound over neurons' phases on random small networks, against exact minima (complete.ts). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compare, rationalOf } from '../../src/rational';
import { type Engine, load } from '../../src/runtime/engine';
import { exactMinimum } from '../helpers/enumeration';
import { sampler } from '../helpers/random';
import { answersOf, GAPS, layersOf } from './complete';

const NETWORKS = 25;

describe('exact minima by enumeration', () => {
  it('are those of a network worked out by hand', () => {
    // |x| - |y| as four neurons; least at the corner (0, 2) of [-1, 1] x [0, 2].
    const layers = [
      {
        weight: [
          [1, 0],
          [-1, 0],
          [0, 1],
          [0, -1],
        ],
        bias: [0, 0, 0, 0],
      },
      { weight: [[1, 1, -1, -1]], bias: [0] },
    ];
    const { value, patterns } = exactMinimum(
      layers,
      [
        [-1, 0],
        [1, 2],
      ],
      [1],
    );
    expect(compare(value, rationalOf(-2))).toBe(0);
    expect(patterns).toBe(2);
  });

  it('are attained to a grid, and never undercut by points', () => {
    for (let seed = 0; seed < 20; seed++) {
      const layers = layersOf(sampler(seed));
      const row = layers.at(-1)!.bias.map((_, j) => 1 - 2 * j);
      const { value } = exactMinimum(
        layers,
        [
          [-1, -1],
          [1, 1],
        ],
        row,
      );
      let least = Number.POSITIVE_INFINITY;
      for (let i = 0; i <= 40; i++)
        for (let j = 0; j <= 40; j++) {
          let at = [i / 20 - 1, j / 20 - 1];
          layers.forEach(({ weight, bias }, k) => {
            const z = k > 0 ? at.map((v) => Math.max(v, 0)) : at;
            at = weight.map((w, r) => w.reduce((sum, v, c) => sum + v * z[c]!, bias[r]!));
          });
          least = Math.min(
            least,
            row.reduce((sum, w, r) => sum + w * at[r]!, 0),
          );
        }
      const exact = Number(value.num) / Number(value.den);
      expect(least).toBeGreaterThanOrEqual(exact - 1e-9 * (1 + Math.abs(exact)));
      const steepest = layers.reduce(
        (p, { weight }) =>
          p * Math.max(...weight.map((w) => w.reduce((s, v) => s + Math.abs(v), 0))),
        1,
      );
      expect(least - exact).toBeLessThanOrEqual((1 + steepest) * 0.1);
    }
  });
});

describe('branch and bound', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it(`gives the right answer of ${NETWORKS} networks, 1e-3 from their minima and more`, () => {
    const all = Array.from({ length: NETWORKS }, (_, seed) => answersOf(engine, seed));
    expect(all.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(all.flatMap(({ open }) => open)).toEqual([]);
    const count = (of: 'certified' | 'falsified'): number =>
      all.reduce((sum, one) => sum + one[of], 0);
    expect(count('certified')).toBe(GAPS.filter((gap) => gap < 0).length * NETWORKS);
    expect(count('falsified')).toBeGreaterThanOrEqual(2 * NETWORKS);
  });
});
