/** Clipping: no point whose outputs could be unsafe is ever cut away, in exact arithmetic; of networks, in f64. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile, sequential } from '../../src/nn/graph';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { whole } from '../../src/tensor/parts';
import { clip } from '../../src/verify/clip';
import { linearMethod } from '../../src/verify/methods';
import { type OutputRows, outputRows, type Problem } from '../../src/verify/problem';
import { replay } from '../../src/verify/replay';
import { type Fraction, fraction, isAtMost, plus, times } from '../helpers/fraction';
import { modelOf, randomWeights } from '../helpers/networks';
import { type Sampler, sampler } from '../helpers/random';

const minus = (a: Fraction, b: Fraction): Fraction => plus(a, times(fraction(-1), b));

/** Rows of conjunctions of the given sizes; only thresholds and their grouping matter here. */
const rowsOf = (sizes: readonly number[], rhs: readonly number[]): OutputRows => {
  const start = [0];
  for (const size of sizes) start.push(start.at(-1)! + size);
  const count = rhs.length;
  const matrix = new Float32Array(count);
  return {
    ...{ count, outputs: 1, matrix, rhs: Float64Array.from(rhs) },
    start,
    nnz: 1,
    ternary: true,
  };
};

/** The least that row r can be at x, given its lower bound and coefficients over the box: exactly. */
function leastAt(
  x: readonly number[],
  lower: number,
  a: Float32Array,
  { lo, hi }: { readonly lo: Float32Array; readonly hi: Float32Array },
): Fraction {
  return x.reduce((sum, v, j) => {
    const corner = a[j]! > 0 ? lo[j]! : hi[j]!;
    return plus(sum, times(fraction(a[j]!), minus(fraction(v), fraction(corner))));
  }, fraction(lower));
}

/** A number of any size, and often one that others share. */
const odd = (s: Sampler): number =>
  [0, 1, -1, 2 ** -140, 1e-30, 1e30][s.whole(12)] ?? s.real(-1, 1) * 2 ** s.real(-12, 12);

describe('clip', () => {
  it('keeps every point that all rows of a disjunct allow, and says how far the others are', () => {
    let [cut, kept, empty] = [0, 0, 0];
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e9 }), (seed) => {
        const s = sampler(seed);
        const inputs = 1 + s.whole(3);
        const sizes = Array.from({ length: 1 + s.whole(3) }, () => 1 + s.whole(3));
        const count = sizes.reduce((a, b) => a + b);
        const ends = Array.from({ length: inputs }, () => [odd(s), odd(s)].map(Math.fround));
        const lo = Float32Array.from(ends, ([p, q]) => Math.min(p!, q!));
        const hi = Float32Array.from(ends, ([p, q]) => Math.max(p!, q!));
        const coefficients = Float32Array.from({ length: count * inputs }, () => odd(s));
        const lower = Float64Array.from({ length: count }, () => Math.fround(odd(s)));
        const rhs = Array.from(lower, (bound) => bound + [0, 1e-9, 1e-3, 0.3, -1e-6][s.whole(5)]!);
        const rows = rowsOf(sizes, rhs);
        const found = clip(rows, { sample: 0, lo, hi, lower, coefficients });
        if (found.isEmpty) empty++;
        expect(found.floor).toBeGreaterThan(0);
        for (let p = 0; p < 20; p++) {
          const x = Array.from(lo, (low, j) => {
            const near = [low, hi[j]!, found.lo[j]!, found.hi[j]!][s.whole(6)];
            const v = near ?? low + s.real() * (hi[j]! - low);
            // Beside the new ends, where roundings decide.
            const beside = Number.isFinite(v)
              ? v + [0, 1, -1][s.whole(3)]! * Math.abs(v) * 2 ** -s.whole(53)
              : low;
            return Math.min(Math.max(beside, low), hi[j]!);
          });
          const rest = rows.start.slice(0, -1).map((from, d) =>
            Array.from({ length: rows.start[d + 1]! - from }, (_, k) => {
              const r = from + k;
              const a = coefficients.subarray(r * inputs, (r + 1) * inputs);
              return minus(leastAt(x, lower[r]!, a, { lo, hi }), fraction(rhs[r]!));
            }),
          );
          const allowed = rest.some((some) => some.every((v) => isAtMost(v, fraction(0))));
          const inside =
            !found.isEmpty && x.every((v, j) => v >= found.lo[j]! && v <= found.hi[j]!);
          if (allowed) expect(inside, `${x}`).toBe(true);
          if (inside) kept++;
          else {
            cut++;
            const proven = Math.min(
              ...rows.start.slice(0, -1).map((from, d) => {
                let best = -Infinity;
                for (let r = from; r < rows.start[d + 1]!; r++)
                  best = Math.max(best, lower[r]! - rhs[r]!);
                return best > 0 ? best : Infinity;
              }),
              found.floor,
            );
            // Some row of every disjunct is as far above its right side as the floor says, or was before.
            for (const some of rest)
              expect(
                some.some((v) => isAtMost(fraction(proven), v)),
                `${x}`,
              ).toBe(true);
          }
        }
      }),
      { numRuns: 500 },
    );
    expect(Math.min(cut, kept)).toBeGreaterThan(500);
    expect(empty).toBeGreaterThan(5);
  });

  it.each([
    ['no number', Number.NaN],
    ['-Infinity', -Infinity],
    ['Infinity', Infinity],
    ['its right side', 0],
  ])('cuts nothing by a bound that is %s', (_, bound) => {
    const [lo, hi] = [Float32Array.of(0, 0), Float32Array.of(1, 1)];
    const at = { sample: 0, lo, hi, lower: Float64Array.of(bound) };
    for (const a of [1, 1e30, Number.NaN, Infinity]) {
      const found = clip(rowsOf([1], [0]), { ...at, coefficients: Float32Array.of(a, -a) });
      expect(found).toEqual({ lo, hi, floor: Infinity, isEmpty: false });
    }
  });

  it('cuts a box to the hull of what its disjuncts leave', () => {
    const [lo, hi] = [Float32Array.of(0, 0), Float32Array.of(1, 1)];
    const lower = Float64Array.of(-0.25, -0.5, 1);
    const coefficients = Float32Array.of(1, 0, 0, -1, 5, 5);
    const { lo: l, hi: h } = clip(rowsOf([2, 1], [0, 0, 0]), {
      ...{ sample: 0, lo, hi, lower, coefficients },
    });
    expect([...l]).toEqual([0, expect.closeTo(0.5, 3)]);
    expect([...h]).toEqual([expect.closeTo(0.25, 3), 1]);
  });
});

describe('linear forms of bounds', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it.each([
    ['dense', [['dense', { units: 9 }], ['relu'], ['dense', { units: 9 }], ['tanh']]],
    [
      'leaky',
      [['dense', { units: 9 }], ['leaky-relu', { slope: 0.1 }], ['dense', { units: 5 }], ['gelu']],
    ],
  ] as const)('lie below the outputs all over the box: %s', (_, layers) => {
    for (let seed = 0; seed < 20; seed++) {
      const s = sampler(seed);
      const network = sequential('n', [3], [...layers, ['dense', { units: 2 }]] as never);
      const model = modelOf(engine, network, randomWeights(compile(network), s));
      const lo = Float32Array.from({ length: 6 }, () => s.real(-1, 1));
      const hi = lo.map((v) => v + s.real(0, 1));
      const rows = outputRows(
        [
          { rows: [Float64Array.of(1, -0.3)], rhs: [1e9] },
          { rows: [Float64Array.of(0, 1)], rhs: [1e9] },
        ],
        2,
      );
      const problem: Problem = { networks: [model], region: { count: 2, lo, hi }, rows };
      const { lower, inputs } = whole(linearMethod('crown').bound(problem, { inputs: true }));
      for (let p = 0; p < 200; p++) {
        const i = p % 2;
        const box = { lo: lo.subarray(3 * i, 3 * i + 3), hi: hi.subarray(3 * i, 3 * i + 3) };
        const x = Array.from(box.lo, (low, j) => low + s.real() * (box.hi[j]! - low));
        const y = replay(model, Float64Array.from(x));
        [y[0]! - Math.fround(0.3) * y[1]!, y[1]!].forEach((value, r) => {
          const at = 2 * i + r;
          const a = inputs!.coefficients.subarray(3 * at, 3 * at + 3);
          const form = x.reduce(
            (sum, v, j) => sum + a[j]! * (v - (a[j]! > 0 ? box.lo[j]! : box.hi[j]!)),
            lower[at]!,
          );
          expect(form).toBeLessThanOrEqual(value + 1e-12 * (1 + Math.abs(value)));
        });
      }
      freeModel(model);
    }
  });
});
