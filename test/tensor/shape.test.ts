/** Shape arithmetic against its definitions, on random shapes. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  broadcastShape,
  broadcastStrides,
  mergeAxes,
  padWalk,
  sameShape,
  sizeOf,
  stridesOf,
  type Walk,
} from '../../src/tensor/shape';
import { ravel, unravel } from '../helpers/nd';

const shapes = fc.array(fc.constantFrom(0, 1, 1, 2, 3, 5), { maxLength: 5 });
/** Two shapes that broadcast: axes of a common one set to 1, or left out in front. */
const pairs = fc
  .tuple(shapes, fc.array(fc.boolean()), fc.array(fc.boolean()), fc.nat(5), fc.nat(5))
  .map(([shape, p, q, cutP, cutQ]) => {
    const ones = (mask: boolean[]) => shape.map((s, i) => (mask[i] ? 1 : s));
    return [
      ones(p).slice(Math.min(cutP, shape.length)),
      ones(q).slice(Math.min(cutQ, shape.length)),
    ];
  })
  .map(([a, b]) => [a!, b!] as const);

/** Every offset a walk visits, in order. */
function offsets({ dims, strides }: Walk, operand: number): number[] {
  return Array.from({ length: sizeOf(dims) }, (_, flat) =>
    unravel(flat, dims).reduce((sum, i, axis) => sum + i * strides[operand]![axis]!, 0),
  );
}

describe('sizeOf, sameShape, stridesOf', () => {
  it('are those of row-major arrays', () => {
    expect(sizeOf([])).toBe(1);
    expect(sizeOf([2, 0, 3])).toBe(0);
    expect(sameShape([2, 3], [2, 3])).toBe(true);
    expect([sameShape([2, 3], [3, 2]), sameShape([2], [2, 1]), sameShape([], [1])]).toEqual([
      false,
      false,
      false,
    ]);
    expect(stridesOf([2, 3, 4])).toEqual([12, 4, 1]);
    fc.assert(
      fc.property(shapes, (shape) => {
        const strides = stridesOf(shape);
        for (let flat = 0; flat < sizeOf(shape); flat++) {
          const index = unravel(flat, shape);
          expect(index.reduce((sum, i, axis) => sum + i * strides[axis]!, 0)).toBe(flat);
        }
      }),
    );
  });
});

describe('broadcastShape', () => {
  it('follows numpy, both ways round', () => {
    fc.assert(
      fc.property(pairs, ([a, b]) => {
        const rank = Math.max(a.length, b.length);
        const full = (s: readonly number[]) => [
          ...new Array<number>(rank - s.length).fill(1),
          ...s,
        ];
        const [p, q] = [full(a), full(b)];
        const naive = p.map((size, i) => (size === 1 ? q[i]! : size));
        expect(broadcastShape(a, b, 'test')).toEqual(naive);
        expect(broadcastShape(b, a, 'test')).toEqual(naive);
      }),
    );
  });

  it.each([
    [[2], [3]],
    [
      [2, 3],
      [2, 1, 2],
    ],
    [[0], [2]],
  ])('refuses %j and %j', (a, b) => {
    expect(() => broadcastShape(a, b, 'add')).toThrow(
      `add: expected shapes that broadcast, got [${a.join(', ')}] and [${b.join(', ')}].`,
    );
  });
});

describe('broadcastStrides and mergeAxes', () => {
  it('visit the same elements as the definition, merged or not', () => {
    fc.assert(
      fc.property(pairs, ([a, b]) => {
        const shape = broadcastShape(a, b, 'test');
        const both = [a, b].map((s) => broadcastStrides(s, shape));
        const naive = [a, b].map((s) =>
          Array.from({ length: sizeOf(shape) }, (_, flat) => {
            const index = unravel(flat, shape).slice(shape.length - s.length);
            return ravel(
              index.map((i, axis) => (s[axis] === 1 ? 0 : i)),
              s,
            );
          }),
        );
        const merged = mergeAxes(shape, both);
        expect(merged.dims).not.toContain(1);
        expect(merged.dims.length).toBeLessThanOrEqual(shape.length);
        for (const walk of [merged, padWalk(merged, 6, 'test')])
          expect([offsets(walk, 0), offsets(walk, 1)]).toEqual(naive);
      }),
      { numRuns: 300 },
    );
  });

  it('merge whatever is contiguous for all operands', () => {
    const of = (shape: number[], ...others: number[][]) =>
      mergeAxes(
        shape,
        [shape, ...others].map((s) => broadcastStrides(s, shape)),
      );
    expect(of([2, 3, 4]).dims).toEqual([24]);
    expect(of([2, 3, 4], [2, 3, 4]).dims).toEqual([24]);
    expect(of([2, 3, 4, 5], [3, 1, 1])).toEqual({
      dims: [2, 3, 20],
      strides: [
        [60, 20, 1],
        [0, 1, 0],
      ],
    });
    expect(of([2, 3, 4], [])).toEqual({ dims: [24], strides: [[1], [0]] });
    expect(of([1, 1], [1]).dims).toEqual([]);
  });
});

describe('padWalk', () => {
  it('pads in front, and refuses more axes than there are loops', () => {
    const walk = { dims: [4, 5], strides: [[5, 1]] };
    expect(padWalk(walk, 3, 'add')).toEqual({ dims: [1, 4, 5], strides: [[0, 5, 1]] });
    expect(() => padWalk(walk, 1, 'add')).toThrow('add: expected at most 1 separate axes, got 2.');
  });
});
