/** Regions and output properties: balls, rounding to float32 boxes, margins, what rows prove. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { outputRows, provenSlack } from '../../src/verify/problem';
import {
  ballRegion,
  checkSpecification,
  clampTo,
  distance,
  inside,
  intoBox,
  marginProperty,
  missesBall,
  outerBox,
  type Region,
  slackOf,
} from '../../src/verify/specification';

const f64 = (...values: number[]): Float64Array => Float64Array.from(values);
const NASTY = [0, -0, 2 ** -149, 1e-46, -1e-46, 0.1, -0.1, 1 / 3, 1, 2 ** 24 + 1, 3e38, -3e38];

describe('regions', () => {
  it('are inside of their float32 box, which is the smallest', () => {
    const value = fc.oneof(
      fc.constantFrom(...NASTY),
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    );
    fc.assert(
      fc.property(value, value, (a, b) => {
        const region = { lo: f64(Math.min(a, b)), hi: f64(Math.max(a, b)) };
        const { lo, hi } = outerBox(region);
        expect(lo[0]! <= region.lo[0]! && hi[0]! >= region.hi[0]!).toBe(true);
        const word = (v: Float32Array): number => new Int32Array(v.buffer)[0]!;
        for (const [end, want] of [
          [lo, region.lo[0]!],
          [hi, region.hi[0]!],
        ] as const) {
          const up = Float32Array.from(end);
          // The next number towards the other end must be past the f64 end, unless it is the end.
          if (end[0] === want || end[0] === 0) continue;
          const step = end === lo ? 1 : -1;
          new Int32Array(up.buffer)[0] = word(up) + (end[0]! > 0 ? step : -step);
          expect(end === lo ? up[0]! > want : up[0]! < want).toBe(true);
        }
      }),
    );
  });

  it('take points into float32 numbers of the box, where it has some', () => {
    const region = { lo: f64(0.1, 0.1, -1), hi: f64(0.3, 0.1, -1) };
    const moved = intoBox(region, Float32Array.of(9, 9, 9));
    expect(moved[0]).toBeLessThanOrEqual(0.3);
    expect(moved[0]).toBeGreaterThan(0.3 - 1e-7);
    expect(moved[1]).toBe(Math.fround(0.1));
    expect(moved[2]).toBe(-1);
    expect(intoBox(region, Float32Array.of(-9, 0, 0))[0]).toBeGreaterThanOrEqual(0.1);
    expect([...clampTo(region, moved)].slice(1)).toEqual([0.1, -1]);
    expect(inside(region, clampTo(region, moved))).toBe(true);
    expect(inside(region, f64(0.2, 0.1000001, -1))).toBe(false);
  });

  it('of balls cover the ball, cut to the range or not', () => {
    const x = Float32Array.of(0.02, 0.5, 0.97);
    const cut = ballRegion(x, 0.1);
    expect([cut.lo[0], cut.hi[2]]).toEqual([0, 1]);
    const free = ballRegion(x, 0.1, { range: null });
    x.forEach((c, i) => {
      expect(free.lo[i]! <= c - 0.1 && free.hi[i]! >= c + 0.1).toBe(true);
      expect(free.hi[i]! - free.lo[i]!).toBeCloseTo(0.2, 12);
    });
    expect(ballRegion(x, 0.1, { range: [-1, 2] }).ball).toBeUndefined();
    const round = ballRegion(x, 0.1, { norm: 'l2', range: null });
    expect(inside(round, f64(...x))).toBe(true);
    expect(inside(round, f64(x[0]! + 0.09, x[1]!, x[2]! + 0.09))).toBe(false);
    expect(
      inside(
        { ...round, ball: { ...round.ball!, norm: 'l1' } },
        f64(x[0]! + 0.06, x[1]! + 0.06, x[2]!),
      ),
    ).toBe(false);
    expect(distance({ norm: 'l1', centre: f64(1, 1), eps: 0 }, [3, 0])).toBe(3);
    expect(distance({ norm: 'l2', centre: f64(1, 1), eps: 0 }, [4, 5])).toBe(5);
  });

  it('know which boxes miss the ball', () => {
    const ball = { norm: 'l2', centre: f64(0, 0), eps: 1 } as const;
    expect(missesBall(ball, [0.8, 0.8], [1, 1])).toBe(true);
    expect(missesBall(ball, [0.7, 0.7], [1, 1])).toBe(false);
    expect(missesBall({ ...ball, norm: 'l1' }, [0.6, 0.6], [1, 1])).toBe(true);
    expect(missesBall(undefined, [5], [6])).toBe(false);
    expect(missesBall(ball, [-3, -3], [3, 3])).toBe(false);
  });
});

describe('output properties', () => {
  it('of margins are unsafe where another class reaches the label', () => {
    const all = marginProperty(3, 1);
    expect(all).toHaveLength(2);
    expect(slackOf(all, [0, 2, 1])).toBe(1);
    expect(slackOf(all, [0, 1, 1])).toBe(0);
    expect(slackOf(all, [3, 1, 0])).toBe(-2);
    const one = marginProperty(3, 1, [0]);
    expect(slackOf(one, [0, 1, 5])).toBe(1);
    expect(slackOf(all, [0, Number.NaN, 5])).toBeNaN();
    expect(slackOf(all, [0, Infinity, 5])).toBeNaN();
    expect(slackOf([], [0, 1, 5])).toBe(Infinity);
    expect(slackOf([{ rows: [], rhs: [] }], [0])).toBe(-Infinity);
  });

  it('are proven by one row of every disjunct', () => {
    const rows = outputRows(
      [
        { rows: [f64(1, 0), f64(0, 1)], rhs: [1, 2] },
        { rows: [f64(1, 1)], rhs: [0] },
      ],
      2,
    );
    expect(rows.start).toEqual([0, 2, 3]);
    expect(rows.residual).toBeUndefined();
    const proven = (...lower: number[]) => provenSlack(rows, f64(...lower));
    expect(proven(5, 0, 3)).toEqual({ slack: 3, disjunct: 1 });
    expect(proven(0, 2.5, 9)).toEqual({ slack: 0.5, disjunct: 0 });
    expect(proven(Number.NaN, 3, 1)).toEqual({ slack: 1, disjunct: 0 });
    expect(proven(Number.NaN, Number.NaN, 1)).toEqual({ slack: -Infinity, disjunct: 0 });
    expect(provenSlack(rows, f64(0, 0, 0, 5, 5, 5), 1).slack).toBe(4);
    expect(provenSlack(outputRows([], 2), f64()).slack).toBe(Infinity);
    expect(provenSlack(outputRows([{ rows: [], rhs: [] }], 2), f64()).slack).toBe(-Infinity);
  });

  it('keep what rounding their rows to float32 takes off', () => {
    const { matrix, residual } = outputRows([{ rows: [f64(0.1, 1)], rhs: [0] }], 2);
    expect(matrix[0]! + residual![0]!).toBe(0.1);
    expect(residual![1]).toBe(0);
  });
});

describe('checkSpecification', () => {
  const net = { input: [2], output: [2], who: 'net' };
  const region: Region = { lo: f64(0, 0), hi: f64(1, 1) };
  const unsafe = [{ rows: [f64(1, 0)], rhs: [0] }];
  it.each([
    [{ region: { lo: f64(0), hi: f64(1) }, unsafe }, /net: expected 2 inputs, got 1/],
    [{ region: { lo: f64(0, 0), hi: f64(1) }, unsafe }, /net: expected 2 inputs/],
    [
      { region: { lo: f64(0, 2), hi: f64(1, 1) }, unsafe },
      /net, input 1: expected lo <= hi, got \[2, 1\]/,
    ],
    [{ region: { lo: f64(0, Number.NaN), hi: f64(1, 1) }, unsafe }, /input 1/],
    [{ region, unsafe: [{ rows: [f64(1)], rhs: [0] }] }, /net: expected 2 outputs, got 1/],
    [{ region, unsafe: [{ rows: [f64(1, 1)], rhs: [] }] }, /net: expected 1 right sides, got 0/],
  ])('refuses what is not of the network: %#', (specification, message) => {
    expect(() => checkSpecification(specification, net)).toThrow(message);
  });
  it('accepts what is', () => {
    checkSpecification({ region, unsafe }, net);
  });
});
