/** Exact numbers against fractions of an own reference, and their roundings against what lies between. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  add,
  compare,
  divide,
  exponentOf,
  MAX_DIGITS,
  multiply,
  negate,
  parseDecimal,
  type Rational,
  rationalOf,
  scaled,
  toFloat64,
  wordsOf,
} from '../src/rational';
import { fraction, isAtMost, over, plus, times } from './helpers/fraction';

const asFraction = ({ num, den }: Rational) => over(fractionOf(num), fractionOf(den));
const fractionOf = (n: bigint) => ({ over: n, under: 1n });
const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const NASTY = ['0', '-0.0', '.5', '5.', '+1e3', '1e-400', '1e400', '-1E-1000', '0.1', '3e-324'];

describe('decimals', () => {
  it('are exact', () => {
    for (const text of NASTY) {
      const [digits, power = '0'] = text.toLowerCase().split('e');
      const [whole, behind = ''] = digits!.replace(/^[+-]/, '').split('.');
      const shift = Number(power) - behind.length;
      const ten = (e: number) => fractionOf(10n ** BigInt(e));
      const size = fractionOf(BigInt(whole! + behind));
      const want = shift < 0 ? over(size, ten(-shift)) : times(size, ten(shift));
      const found = asFraction(parseDecimal(text)!);
      expect(found).toEqual(text.startsWith('-') ? { ...want, over: -want.over } : want);
    }
  });

  it('of every float64 come back', () => {
    fc.assert(
      fc.property(finite, (x) => {
        expect(toFloat64(parseDecimal(`${x}`)!)).toBe(x === 0 ? 0 : x);
        expect(toFloat64(rationalOf(x))).toBe(x === 0 ? 0 : x);
        expect(asFraction(rationalOf(x))).toEqual(fraction(x));
      }),
    );
  });

  it.each([Number.NaN, Infinity, -Infinity])('are none of %s, which is said', (x) => {
    expect(() => rationalOf(x)).toThrow(`rationalOf: expected a finite number, got ${x}.`);
  });

  it.each(['', '.', '1e', 'x', '1.2.3', '--1', '1e1.5', 'NaN', 'Infinity', '1e999999999', ' 1'])(
    'are not %j',
    (text) => expect(parseDecimal(text)).toBeUndefined(),
  );

  it('are read in linear time, and of many digits not at all', () => {
    expect(parseDecimal('9'.repeat(MAX_DIGITS))).toBeDefined();
    expect(parseDecimal(`${'9'.repeat(10_000_000)}x`)).toBeUndefined();
    expect(parseDecimal(`0.${'0'.repeat(MAX_DIGITS)}1`)).toBeUndefined();
  });
});

describe('arithmetic', () => {
  it('agrees with fractions', () => {
    fc.assert(
      fc.property(finite, finite, (x, y) => {
        const [a, b] = [rationalOf(x), rationalOf(y)];
        expect(asFraction(add(a, b))).toEqual(plus(fraction(x), fraction(y)));
        expect(asFraction(multiply(a, b))).toEqual(times(fraction(x), fraction(y)));
        if (y !== 0) expect(asFraction(divide(a, b))).toEqual(over(fraction(x), fraction(y)));
        expect(compare(a, b) <= 0).toBe(isAtMost(fraction(x), fraction(y)));
        expect(compare(a, b)).toBe(-compare(negate(a), negate(b)) + 0);
      }),
    );
  });

  it('keeps sums of decimals as short as the longest of them', () => {
    let sum = parseDecimal('0')!;
    for (let i = 1; i < 2000; i++) sum = add(sum, parseDecimal(`1e-${i % 7}`)!);
    expect(sum.den).toBe(10n ** 6n);
    expect(wordsOf(sum)).toBe(0);
  });
});

describe('rounding to float64', () => {
  it('is next to the number in its direction, subnormal, huge and halfway ones included', () => {
    const value = fc.oneof(
      fc.tuple(finite, finite).map(([x, y]) => divide(rationalOf(x), rationalOf(y || 1))),
      fc
        .tuple(fc.bigInt(), fc.integer({ min: -1200, max: 1200 }))
        .map(([n, e]) => scaled({ num: n, den: 3n }, e)),
      finite.map((x) => add(rationalOf(x), scaled({ num: 1n, den: 1n }, -1100))),
      // Halfway between two numbers.
      fc
        .double({ min: 1, max: 2, noNaN: true })
        .map((x) => add(rationalOf(x), rationalOf(2 ** -53))),
    );
    fc.assert(
      fc.property(value, (x) => {
        const [low, near, high] = [toFloat64(x, 'down'), toFloat64(x), toFloat64(x, 'up')];
        const most = Number.MAX_VALUE;
        if (Number.isFinite(low)) expect(compare(rationalOf(low), x)).toBeLessThanOrEqual(0);
        else expect(compare(rationalOf(-most), x)).toBe(1);
        if (Number.isFinite(high)) expect(compare(rationalOf(high), x)).toBeGreaterThanOrEqual(0);
        else expect(compare(rationalOf(most), x)).toBe(-1);
        expect(near === low || near === high).toBe(true);
        if (!Number.isFinite(low) || !Number.isFinite(high)) return;
        // Nothing lies between, and nearest is that.
        const between = low / 2 + high / 2;
        if (low !== high)
          expect(between === low || between === high || high - low < 2e-323).toBe(true);
        const off = (v: number) => {
          const d = add(x, negate(rationalOf(v)));
          return d.num < 0n ? negate(d) : d;
        };
        expect(compare(off(near), off(near === low ? high : low))).toBeLessThanOrEqual(0);
      }),
      { numRuns: 2000 },
    );
    expect(toFloat64(parseDecimal('1e400')!, 'down')).toBe(Number.MAX_VALUE);
    expect(toFloat64(parseDecimal('-1e400')!, 'up')).toBe(-Number.MAX_VALUE);
    expect(toFloat64(parseDecimal('1e-400')!, 'up')).toBe(Number.MIN_VALUE);
    expect(toFloat64(add(rationalOf(1), rationalOf(2 ** -53)))).toBe(1);
  });

  it('knows exponents', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1000, max: 1000 }),
        fc.integer({ min: 1, max: 99 }),
        (e, n) => {
          expect(exponentOf(scaled({ num: BigInt(n), den: 1n }, e))).toBe(
            e + Math.floor(Math.log2(n)),
          );
        },
      ),
    );
  });
});
