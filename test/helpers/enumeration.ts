/**
 * Exact minima of small ReLU networks of two inputs, by exhaustive enumeration of their activation patterns: a box of
 * inputs is cut, neuron by neuron, into the convex polygons on which the network is linear, all in rational numbers. A
 * linear function is least at a corner.
 */
import {
  add,
  compare,
  divide,
  multiply,
  negate,
  type Rational,
  rationalOf,
  signOf,
  ZERO,
} from '../../src/rational';
import type { DenseWeights } from './exact';

/** A corner, with the values of one layer there. */
interface Corner {
  readonly x: readonly Rational[];
  readonly values: readonly Rational[];
}
type Polygon = readonly Corner[];

export interface Minimum {
  readonly value: Rational;
  /** Number of activation patterns, of neurons that are above or below 0 somewhere in the box. */
  readonly patterns: number;
}

/** The least value of row . outputs over the box [lo, hi]^2, ReLU between the layers. */
export function exactMinimum(
  layers: readonly DenseWeights[],
  [lo, hi]: readonly [readonly number[], readonly number[]],
  row: readonly number[],
): Minimum {
  const [[a, b], [c, d]] = [lo.map(rationalOf), hi.map(rationalOf)] as [Rational[], Rational[]];
  const corners = [
    [a!, b!],
    [c!, b!],
    [c!, d!],
    [a!, d!],
  ];
  let parts: Polygon[] = [corners.map((x) => ({ x, values: x }))];
  layers.forEach((layer, k) => {
    if (k > 0) parts = parts.flatMap(rectified);
    parts = parts.map((part) =>
      part.map(({ x, values }) => ({ x, values: affine(layer, values) })),
    );
  });
  const weights = row.map(rationalOf);
  const all = parts.flatMap((part) => part.map(({ values }) => dot(weights, values)));
  return { value: all.reduce((p, q) => (compare(p, q) <= 0 ? p : q)), patterns: parts.length };
}

const dot = (weights: readonly Rational[], values: readonly Rational[]): Rational =>
  reduced(weights.reduce((sum, w, i) => add(sum, multiply(w, values[i]!)), ZERO));

const affine = ({ weight, bias }: DenseWeights, values: readonly Rational[]): Rational[] =>
  weight.map((row, i) => add(dot(row.map(rationalOf), values), rationalOf(bias[i]!)));

/** A polygon cut where a neuron is 0, and the neurons below 0 set to it. */
function rectified(part: Polygon): Polygon[] {
  const width = part[0]!.values.length;
  let pieces: Polygon[] = [part];
  for (let i = 0; i < width; i++)
    pieces = pieces.flatMap((piece) => {
      const signs = piece.map(({ values }) => signOf(values[i]!));
      if (!(signs.includes(1) && signs.includes(-1))) return [piece];
      return [1, -1].map((side) => cut(piece, i, side));
    });
  return pieces.map((piece) =>
    piece.map(({ x, values }) => ({
      x,
      values: values.map((v, i) => (isOff(piece, i) ? ZERO : v)),
    })),
  );
}

const isOff = (piece: Polygon, i: number): boolean =>
  piece.every(({ values }) => signOf(values[i]!) <= 0);

/** The part of a polygon on which value i has the sign `side` or is 0. */
function cut(piece: Polygon, i: number, side: number): Polygon {
  return piece.flatMap((from, k) => {
    const to = piece[(k + 1) % piece.length]!;
    const [p, q] = [from.values[i]!, to.values[i]!];
    const own = signOf(p) * side >= 0 ? [from] : [];
    if (signOf(p) * signOf(q) >= 0) return own;
    const share = divide(p, add(p, negate(q)));
    const between = (u: Rational, v: Rational): Rational =>
      reduced(add(u, multiply(share, add(v, negate(u)))));
    const mix = (u: readonly Rational[], v: readonly Rational[]): Rational[] =>
      u.map((value, j) => between(value, v[j]!));
    return [...own, { x: mix(from.x, to.x), values: mix(from.values, to.values) }];
  });
}

/** The same number in lowest terms, so that numbers do not grow from layer to layer. */
function reduced({ num, den }: Rational): Rational {
  let [a, b] = [num < 0n ? -num : num, den];
  while (b > 0n) [a, b] = [b, a % b];
  return a > 1n ? { num: num / a, den: den / a } : { num, den };
}
