/**
 * Specifications of what is to be verified: a region of inputs, and which outputs are unsafe there.
 *
 * A region is a box (an interval a feature), maybe cut by an L2 or L1 ball. Unsafe is a disjunction of
 * conjunctions of linear inequalities `rows[k] . y <= rhs[k]` (the normal form of VNN-LIB, whose cases
 * are regions and disjunctions of just these types); margins of a classifier are a case of it.
 *
 * Ends are f64 numbers. Bounds look at the smallest float32 box around them, so a certificate covers
 * the real region; witnesses lie inside of the f64 ends.
 */
import { F64_MANY, F64_U, F64_UNDERFLOW, f64Share } from '../domain/rounding';
import { expect } from '../errors';
import { type ExactRow, excess, type Rational, rationalOf, signOf } from '../rational';
import { type Shape, sizeOf } from '../tensor/shape';
import type { Head } from './head';

/** `rows[k] . y <= rhs[k]` for every k; without rows it always holds. */
export interface Conjunction {
  readonly rows: readonly Float64Array[];
  readonly rhs: readonly number[];
  /** Whether row k is strict, < in the place of <=. Bounds prove the same; points are evaluated by it. */
  readonly strict?: readonly boolean[];
  /**
   * The inequalities that are meant, where float64 numbers do not hold them: rows are then the nearest ones,
   * and right sides not below. Points are evaluated by these, exactly.
   */
  readonly exact?: readonly ExactRow[];
}

export interface CutBall {
  readonly norm: 'l2' | 'l1';
  readonly centre: Float64Array;
  readonly eps: number;
}

export interface Region {
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  /** Ends of what witnesses may be, where those above were rounded outwards. */
  readonly inner?: { readonly lo: Float64Array; readonly hi: Float64Array };
  readonly ball?: CutBall;
}

export interface Specification {
  readonly region: Region;
  /** Function between the network's outputs and those that `unsafe` is of. */
  readonly head?: Head;
  /** Unsafe if any holds. */
  readonly unsafe: readonly Conjunction[];
}

export interface BallRegionOptions {
  readonly norm?: 'linf' | 'l2' | 'l1';
  /** Range of inputs that the ball is cut to, or null for none. Default [0, 1]. */
  readonly range?: readonly [lo: number, hi: number] | null;
}

/** The ball of radius eps around x, cut to the range of inputs. */
export function ballRegion(
  x: ArrayLike<number>,
  eps: number,
  { norm = 'linf', range = [0, 1] }: BallRegionOptions = {},
): Region {
  const centre = Float64Array.from(x);
  const [least, most] = range ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  // One more rounding of f64 outwards, as the difference itself was rounded.
  const lo = centre.map((c) => Math.max(least, c - eps - Math.abs(c - eps) * F64_U));
  const hi = centre.map((c) => Math.min(most, c + eps + Math.abs(c + eps) * F64_U));
  return norm === 'linf' ? { lo, hi } : { lo, hi, ball: { norm, centre, eps } };
}

/** Unsafe where another class (or just `targets`) reaches the label's output. */
export function marginProperty(
  classes: number,
  label: number,
  targets: readonly number[] = Array.from({ length: classes }, (_, j) => j),
): Conjunction[] {
  return targets
    .filter((target) => target !== label)
    .map((target) => {
      const row = new Float64Array(classes);
      row[label] = 1;
      row[target] = -1;
      return { rows: [row], rhs: [0] };
    });
}

/** Raises EspalierError unless the specification speaks of such a network; `who` begins the error. */
export function checkSpecification(
  { region, unsafe }: Specification,
  { input, output, who }: { readonly input: Shape; readonly output: Shape; readonly who: string },
): void {
  const [inputs, outputs] = [sizeOf(input), sizeOf(output)];
  const { lo, hi, ball } = region;
  const sizes = [lo, hi, ...(ball ? [ball.centre] : [])].map((part) => part.length);
  const wrong = sizes.find((size) => size !== inputs);
  expect(wrong === undefined, who, `${inputs} inputs`, wrong);
  const bad = lo.findIndex((low, i) => !(low <= hi[i]!));
  expect(bad < 0, `${who}, input ${bad}`, 'lo <= hi', `[${lo[bad]}, ${hi[bad]}]`);
  for (const { rows, rhs, strict = rhs, exact = rhs } of unsafe) {
    expect(rows.length === rhs.length, who, `${rows.length} right sides`, rhs.length);
    const all = strict.length === rhs.length && exact.length === rhs.length;
    expect(all, who, `${rows.length} of strict and exact`, [strict.length, exact.length]);
    const known = rhs.every((value) => !Number.isNaN(value));
    expect(known && rows.every((row) => row.every(Number.isFinite)), who, 'numbers', 'others');
    const odd = rows.find((row) => row.length !== outputs);
    expect(!odd, who, `${outputs} outputs`, odd?.length);
  }
}

/** The smallest float32 box around the region. */
export function outerBox({ lo, hi }: Region): { lo: Float32Array; hi: Float32Array } {
  return { lo: Float32Array.from(lo, down), hi: Float32Array.from(hi, (v) => -down(-v)) };
}

/** Ends between which witnesses lie. */
const innerOf = ({ lo, hi, inner = { lo, hi } }: Region) => inner;

/** The float32 numbers nearest to x that lie in the box, or nearest to it where it holds none. */
export function intoBox(region: Region, x: Float32Array): Float32Array {
  const { low, high } = floatEnds(region);
  return x.map((v, i) => Math.min(Math.max(v, low[i]!), high[i]!));
}

interface FloatEnds {
  readonly low: Float32Array;
  readonly high: Float32Array;
}
const known = new WeakMap<Region, FloatEnds>();

/** The least and the greatest float32 number of each feature's interval; where it holds none, the one nearest to it twice. */
function floatEnds(region: Region): FloatEnds {
  const found = known.get(region);
  if (found) return found;
  const { lo, hi } = innerOf(region);
  const low = Float32Array.from(lo, (v) => -down(-v));
  const high = Float32Array.from(hi, down);
  low.forEach((v, i) => {
    if (v > high[i]!) low[i] = high[i] = Math.fround(lo[i]!);
  });
  const ends = { low, high };
  known.set(region, ends);
  return ends;
}

/** x limited to the box in f64: where that moves it, it is by less than a float32 rounding. */
export function clampTo(region: Region, x: ArrayLike<number>): Float64Array {
  const { lo, hi } = innerOf(region);
  return Float64Array.from(x, (v, i) => Math.min(Math.max(v, lo[i]!), hi[i]!));
}

/** True if an f64 point is in the region. */
export function inside(region: Region, x: Float64Array): boolean {
  const { lo, hi } = innerOf(region);
  if (!x.every((v, i) => v >= lo[i]! && v <= hi[i]!)) return false;
  return !region.ball || distance(region.ball, x) <= region.ball.eps;
}

/** True if a box has no point of the ball, f64 roundings covered. */
export function missesBall(
  ball: CutBall | undefined,
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
): boolean {
  if (!ball) return false;
  const nearest = ball.centre.map((c, i) => Math.min(Math.max(c, lo[i]!), hi[i]!));
  return distance(ball, nearest) > ball.eps * (1 + F64_MANY);
}

export function distance({ norm, centre }: CutBall, x: ArrayLike<number>): number {
  let total = 0;
  centre.forEach((c, i) => {
    const d = Math.abs(x[i]! - c);
    total += norm === 'l2' ? d * d : d;
  });
  return norm === 'l2' ? Math.sqrt(total) : total;
}

/** Distance of outputs from unsafe, NaN where they are no numbers. The size is rounded, the sign is not. */
export function slackOf(unsafe: readonly Conjunction[], y: ArrayLike<number>): number {
  let least = Number.POSITIVE_INFINITY;
  if (!areFinite(y)) return Number.NaN;
  for (const one of unsafe) {
    let most = Number.NEGATIVE_INFINITY;
    for (let k = 0; k < one.rows.length; k++) most = Math.max(most, rowSlack(one, k, y));
    least = Math.min(least, most);
  }
  return least;
}

/** True if outputs are unsafe, exactly; what is no finite number is not (nor is it safe). */
export function isUnsafe(unsafe: readonly Conjunction[], y: ArrayLike<number>): boolean {
  const holds = (one: Conjunction): boolean =>
    one.rows.every((_, k) => {
      const slack = rowSlack(one, k, y);
      return slack < 0 || (slack === 0 && !one.strict?.[k]);
    });
  return areFinite(y) && unsafe.some(holds);
}

function areFinite(y: ArrayLike<number>): boolean {
  for (let j = 0; j < y.length; j++) if (!Number.isFinite(y[j])) return false;
  return true;
}

/** Row k . y less its right side: in float64, and exactly where that leaves the sign open. */
function rowSlack({ rows, rhs, exact }: Conjunction, k: number, y: ArrayLike<number>): number {
  const row = rows[k]!;
  let [sum, size] = [-rhs[k]!, Math.abs(rhs[k]!)];
  for (let j = 0; j < row.length; j++) {
    if (row[j] === 0) continue;
    const term = row[j]! * y[j]!;
    sum += term;
    size += Math.abs(term);
  }
  if (Math.abs(sum) > f64Share(row.length) * size + F64_UNDERFLOW) return sum;
  const sign = signOf(excess(exact?.[k] ?? exactRow(row, rhs[k]!), y));
  const magnitude = Math.max(Math.abs(sum) || 0, Number.MIN_VALUE);
  return sign && sign * Math.min(magnitude, Number.MAX_VALUE);
}

function exactRow(row: Float64Array, rhs: number): ExactRow {
  const weights = new Map<number, Rational>();
  row.forEach((weight, j) => {
    if (weight !== 0) weights.set(j, rationalOf(weight));
  });
  const most = Number.MAX_VALUE;
  // Outputs are float32 or float64 numbers: beyond their sums, infinite sides are not met or missed.
  return { weights, rhs: rationalOf(Math.min(Math.max(rhs, -most), most)) };
}

/** The largest float32 number that is not above v. */
function down(v: number): number {
  const nearest = Math.fround(v);
  if (nearest <= v) return nearest;
  if (nearest === Number.POSITIVE_INFINITY) return MAX;
  const word = new Int32Array(Float32Array.of(nearest).buffer);
  if (nearest === 0) return -(2 ** -149);
  word[0]! += nearest > 0 ? -1 : 1;
  return new Float32Array(word.buffer)[0]!;
}

const MAX = (2 - 2 ** -23) * 2 ** 127;
