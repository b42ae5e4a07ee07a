/** Accuracy, monotonicity and limits of the transcendental kernels over their whole range. */

import { describe, expect, it } from 'vitest';
import { normalCdf } from '../../src/statistics';
import { BINARIES, type KernelName, type Machine, Random } from './harness';

const POINTS = 100_000;

function evaluate(m: Machine, name: KernelName, values: ArrayLike<number>): Float32Array {
  m.reset();
  const x = m.floats(values);
  const y = m.room(values.length);
  m.run(name, [values.length, x, y]);
  return m.f32.slice(y >> 2, (y >> 2) + values.length);
}

/** Distance between neighbouring f32 around v (normal range). */
function ulp(v: number): number {
  return 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(v)))) - 23);
}

function worst(m: Machine, name: KernelName, exact: (x: number) => number, values: Float32Array) {
  const got = evaluate(m, name, values);
  let error = 0;
  values.forEach((x, i) => {
    const want = exact(x);
    if (Math.abs(want) > 3.4e38) return;
    error = Math.max(error, Math.abs(got[i]! - want) / ulp(want));
  });
  return error;
}

/** Sorted f32 values whose magnitudes are spread over all exponents from 2^lo to 2^hi. */
function spread(rng: Random, lo: number, hi: number, signed: boolean): Float32Array {
  return Float32Array.from({ length: POINTS }, () => {
    const v = 2 ** (lo + (hi - lo) * rng.next());
    return signed && rng.next() < 0.5 ? -v : v;
  }).sort();
}

/** `count` consecutive f32 from `start` up. */
function neighbours(start: number, count: number): Float32Array {
  const bits = new Int32Array(new Float32Array([start]).buffer)[0]!;
  // Bits of a negative number grow away from zero.
  const list = Int32Array.from({ length: count }, (_, i) => (start < 0 ? bits - i : bits + i));
  return new Float32Array(list.buffer);
}

const FUNCTIONS: readonly [KernelName, (x: number) => number, number, number, boolean][] = [
  ['exp', Math.exp, -30, 6.4, true],
  ['log', Math.log, -126, 127, false],
  ['sigmoid', (x) => 1 / (1 + Math.exp(-x)), -30, 6.4, true],
  ['tanh', Math.tanh, -100, 6, true],
  ['normal_cdf', normalCdf, -30, 3.7, true],
];

for (const { title, available, create } of BINARIES) {
  describe.skipIf(!available)(`transcendental kernels, ${title}`, () => {
    it.each(FUNCTIONS)('%s is within 0.51 ulp', (name, exact, lo, hi, signed) => {
      const values = spread(new Random(5), lo, hi, signed);
      expect(worst(create(), name, exact, values)).toBeLessThan(0.51);
    });

    it.each(['sigmoid', 'tanh', 'exp'] as const)('%s never decreases', (name) => {
      const m = create();
      const runs = [-104, -88, -17, -9.01, -0.6932, -0.34658, -0.03, -1e-3, -1e-30];
      const starts = [...runs, ...runs.map((v) => -v)];
      const lists = [
        spread(new Random(6), -100, 7, true),
        ...starts.map((v) => neighbours(v, 4000)),
      ];
      for (const values of lists) {
        const got = evaluate(m, name, values);
        const drop = got.findIndex((v, i) => i > 0 && v < got[i - 1]!);
        expect(drop, `${name} drops at ${values[drop]}`).toBe(-1);
      }
    });

    it('has the right limits', () => {
      const m = create();
      const ends = [-Infinity, -200, 200, Infinity, Number.NaN];
      expect([...evaluate(m, 'exp', ends)]).toEqual([0, 0, Infinity, Infinity, Number.NaN]);
      expect([...evaluate(m, 'tanh', ends)]).toEqual([-1, -1, 1, 1, Number.NaN]);
      expect([...evaluate(m, 'sigmoid', ends)]).toEqual([0, 0, 1, 1, Number.NaN]);
      expect([...evaluate(m, 'normal_cdf', ends)]).toEqual([0, 0, 1, 1, Number.NaN]);
      const logs = evaluate(m, 'log', [0, -0, 1, Infinity, -1, Number.NaN]);
      expect([...logs]).toEqual([-Infinity, -Infinity, 0, Infinity, Number.NaN, Number.NaN]);
    });
  });
}
