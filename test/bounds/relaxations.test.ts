/**
 * The lines of max(x, 0) over boxes that cross 0 are written out by hand: they hold with room for the
 * rounding of a product, and are those of the layer's own relaxation but for that room.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { relax, SLOPES, type Slopes } from '../../src/bounds/relaxations';
import type { NodeWith } from '../../src/domain/domain';
import { U } from '../../src/domain/rounding';
import { compile } from '../../src/nn/graph';
import type { PointwiseLayer } from '../../src/nn/layer';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';

const [node] = compile({ name: 'relu', input: [1], nodes: [{ name: 'it', layer: 'relu' }] })
  .nodes as [NodeWith<PointwiseLayer>];

/** Sizes over many magnitudes, the smallest denormal ones among them. */
const sizes = fc
  .tuple(fc.double({ min: 1, max: 2, noNaN: true }), fc.integer({ min: -149, max: 120 }))
  .map(([m, e]) => Math.fround(m * 2 ** e));

describe('max(x, 0) across 0', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  const linesOf = (lo: number, hi: number, sound: boolean, slopes: Slopes): number[] =>
    step(engine, () => {
      const box = { lo: input(engine, [lo], [1, 1]), hi: input(engine, [hi], [1, 1]) };
      const { low, lowOffset, up, upOffset } = relax(node, box, { sound, slopes });
      return [low, lowOffset, up, upOffset].map((t) => t.read()[0]!);
    });

  it('the sound lines have room for a product with any slope between 0 and 1', () => {
    fc.assert(
      fc.property(sizes, sizes, fc.constantFrom(...SLOPES), (below, above, slopes) => {
        const [lo, hi] = [-below, above];
        const [low, lowOffset, up, upOffset] = linesOf(lo, hi, true, slopes) as [
          ...[number, number, number, number],
        ];
        const room = 2 * U * Math.max(below, above);
        for (const x of [lo, 0, hi]) {
          expect(low * x + lowOffset).toBeLessThanOrEqual(Math.max(x, 0) - room);
          expect(up * x + upOffset).toBeGreaterThanOrEqual(Math.max(x, 0) + room);
        }
      }),
    );
  });

  it('they are near the plain ones, and those are the layer`s own', () => {
    fc.assert(
      fc.property(sizes, sizes, fc.constantFrom(...SLOPES), (below, above, slopes) => {
        const [lo, hi] = [-below, above];
        const [a, b, c, d] = node.layer.relax(lo, hi, node.options);
        const slope = { adaptive: a, parallel: c, zero: 0 }[slopes];
        const size = Math.max(below, above);
        for (const sound of [true, false])
          linesOf(lo, hi, sound, slopes).forEach((value, k) => {
            const wanted = [slope, b, c, d][k]!;
            const scale = k % 2 === 0 ? 1 : size;
            // The product's room, the chord's rounding, and two for UP of an offset of half the size.
            expect(Math.abs(value - wanted)).toBeLessThanOrEqual(6 * U * scale + 2 ** -78);
          });
      }),
    );
  });
});
