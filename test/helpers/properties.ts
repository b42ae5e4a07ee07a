/**
 * VNN-LIB properties that are satisfiable, or are not, by construction: written as text around a point
 * and its true outputs, with exact fractions of an own (test/helpers/fraction.ts).
 *
 * Right sides are sums that are written apart, weights tiny, huge and cancelling, input bounds sums; a
 * satisfiable one holds at the point for the outputs given, an unsatisfiable one at no outputs in the
 * ranges given.
 */
import { type Fraction, fraction, plus, times, ZERO } from './fraction';
import type { Sampler } from './random';

export interface Point {
  readonly x: readonly number[];
  /** The least and the largest that each output is, by any run: what is written holds for all of it. */
  readonly y: readonly (readonly [lo: number, hi: number])[];
}

/** A whole number in [lo, hi]. */
const int = (draw: Sampler, lo: number, hi: number): number => lo + draw.whole(hi - lo + 1);
const choice = <T>(draw: Sampler, of: readonly T[]): T => of[draw.whole(of.length)]!;

/** A fraction whose lower part is a product of powers of two and of ten. */
const decimal = ({ over, under }: Fraction): string => {
  let places = 0n;
  while ((over * 10n ** places) % under !== 0n) places++;
  return `${(over * 10n ** places) / under}e-${places}`;
};

const minus = (a: Fraction): Fraction => ({ over: -a.over, under: a.under });

/** `value` as text: itself, or a sum with parts that cancel. */
function spread(draw: Sampler, value: Fraction): string {
  const part = (): Fraction =>
    times(fraction(int(draw, -9, 9)), choice(draw, [fraction(1), tenth(1), tenth(17), ten(16)]));
  const parts = Array.from({ length: int(draw, 0, 3) }, part);
  const rest = parts.reduce((sum, one) => plus(sum, minus(one)), value);
  const all = [...parts, rest].map(decimal);
  return all.length === 1 ? all[0]! : `(+ ${all.join(' ')})`;
}

const ten = (e: number): Fraction => ({ over: 10n ** BigInt(e), under: 1n });
const tenth = (e: number): Fraction => ({ over: 1n, under: 10n ** BigInt(e) });

/** Weights of a row, most of them 0, and what multiplies them all. */
function weightsOf(draw: Sampler, outputs: number): Fraction[] {
  const scale = choice(draw, [
    fraction(1),
    fraction(1),
    tenth(1),
    tenth(30),
    tenth(320),
    ten(25),
    ten(320),
  ]);
  const weight = (): Fraction =>
    draw.real(0, 1) < 0.4
      ? ZERO
      : times(
          scale,
          times(fraction(int(draw, -30, 30)), choice(draw, [fraction(1), tenth(1), tenth(12)])),
        );
  return Array.from({ length: outputs }, weight);
}

/** `+` of weights times outputs; a weight may be written as a difference that cancels. */
function linear(draw: Sampler, weights: readonly Fraction[]): string {
  const terms = weights.flatMap((weight, j) => {
    if (weight.over === 0n) return draw.real(0, 1) < 0.2 ? [`(- Y_${j} Y_${j})`] : [];
    if (draw.real(0, 1) < 0.3) {
      const large = plus(weight, ten(16));
      return [`(* ${decimal(large)} Y_${j})`, `(* -1e16 Y_${j})`];
    }
    return [`(* ${decimal(weight)} Y_${j})`];
  });
  return terms.length === 0 ? '0' : `(+ ${terms.join(' ')} 0.0)`;
}

/** The least (for side -1) or largest value of weights . y over the ranges. */
const extreme = (weights: readonly Fraction[], y: Point['y'], side: 1 | -1): Fraction =>
  weights.reduce((sum, weight, j) => {
    const high = weight.over > 0n === (side === 1);
    return plus(sum, times(weight, fraction(y[j]![high ? 1 : 0])));
  }, ZERO);

/** One comparison that holds for all outputs in the ranges, or for none of them. */
export function constraint(draw: Sampler, y: Point['y'], holds: boolean): string {
  const weights = weightsOf(draw, y.length);
  const isAtMost = draw.real(0, 1) < 0.5;
  const towards = holds === isAtMost ? 1 : -1;
  const end = extreme(weights, y, towards);
  const size = plus(end.over < 0n ? minus(end) : end, tenth(30));
  const gap = times(size, choice(draw, [tenth(25), tenth(12), tenth(3), fraction(1)]));
  // At the end itself where it holds there, beyond it where it must not.
  const off = holds && draw.real(0, 1) < 0.4 ? ZERO : gap;
  const rhs = plus(end, towards === 1 ? off : minus(off));
  const exactEnd = off === ZERO && y.every(([lo, hi]) => lo === hi);
  const op =
    exactEnd && holds ? choice(draw, ['=', isAtMost ? '<=' : '>=']) : isAtMost ? '<=' : '>=';
  const name = op === '=' ? '==' : op;
  return `(${name} ${linear(draw, weights)} ${spread(draw, rhs)})`;
}

/** Bounds of the inputs around the point, as sums; some of them at the point itself. */
function bounds(draw: Sampler, x: readonly number[]): string[] {
  return x.flatMap((value, i) => {
    const room = (): Fraction => choice(draw, [ZERO, tenth(20), tenth(3), fraction(0.25)]);
    const lo = spread(draw, plus(fraction(value), minus(room())));
    const hi = spread(draw, plus(fraction(value), room()));
    return draw.real(0, 1) < 0.5
      ? [`(>= X_${i} ${lo})`, `(<= X_${i} ${hi})`]
      : [`(<= (* -2 X_${i}) (* -2 ${lo}))`, `(>= (+ ${hi} 0.1) (+ X_${i} 0.1))`];
  });
}

/** A property: satisfiable at the point, or by no outputs in its ranges. */
export function propertyText(draw: Sampler, point: Point, satisfiable: boolean): string {
  const some = (holds: boolean): string => constraint(draw, point.y, holds);
  const many = (least: number): undefined[] => new Array(int(draw, least, 3)).fill(undefined);
  const conjunction = (holds: boolean): string =>
    `(and ${[some(holds), ...many(0).map(() => some(holds || draw.real(0, 1) < 0.5))].join(' ')})`;
  const disjuncts = many(1).map(() => conjunction(false));
  if (satisfiable) disjuncts.splice(int(draw, 0, disjuncts.length), 0, conjunction(true));
  const asserts = [...bounds(draw, point.x), `(or ${disjuncts.join(' ')})`];
  if (satisfiable) asserts.push(...many(0).map(() => some(true)));
  return [
    ...point.x.map((_, i) => `(declare-const X_${i} Real)`),
    ...point.y.map((_, j) => `(declare-const Y_${j} Real)`),
    ...asserts.map((formula) => `(assert ${formula})`),
  ].join('\n');
}
