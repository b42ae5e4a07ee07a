/**
 * What is to be verified: a region of inputs, and which outputs are unsafe there.
 *
 * A region is a box (an interval a feature), maybe cut by an L2 or L1 ball. Unsafe is a disjunction of
 * conjunctions of linear inequalities `rows[k] . y <= rhs[k]` (the normal form of VNN-LIB, whose cases
 * are regions and disjunctions of just these types); margins of a classifier are a case of it.
 *
 * Ends are f64 numbers. Bounds look at the smallest float32 box around them, so a certificate covers
 * the real region; witnesses lie inside of the f64 ends.
 */
import { expect } from '../errors';
import { type Shape, sizeOf } from '../tensor/shape';

/** `rows[k] . y <= rhs[k]` for every k; without rows it always holds. */
export interface Conjunction {
  readonly rows: readonly Float64Array[];
  readonly rhs: readonly number[];
}

export interface CutBall {
  readonly norm: 'l2' | 'l1';
  readonly centre: Float64Array;
  readonly eps: number;
}

export interface Region {
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  readonly ball?: CutBall;
}

export interface Specification {
  readonly region: Region;
  /** Unsafe if any holds. */
  readonly unsafe: readonly Conjunction[];
}

export interface BallRegionOptions {
  readonly norm?: 'linf' | 'l2' | 'l1';
  /** Where inputs live: the ball is cut to it, or not at all. Default [0, 1]. */
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
  const lo = centre.map((c) => Math.max(least, c - eps - Math.abs(c - eps) * 2 ** -52));
  const hi = centre.map((c) => Math.min(most, c + eps + Math.abs(c + eps) * 2 ** -52));
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
  for (const { rows, rhs } of unsafe) {
    expect(rows.length === rhs.length, who, `${rows.length} right sides`, rhs.length);
    const odd = rows.find((row) => row.length !== outputs);
    expect(!odd, who, `${outputs} outputs`, odd?.length);
  }
}

/** The smallest float32 box around the region. */
export function outerBox({ lo, hi }: Region): { lo: Float32Array; hi: Float32Array } {
  return { lo: Float32Array.from(lo, down), hi: Float32Array.from(hi, (v) => -down(-v)) };
}

/** The float32 numbers nearest to x that lie in the box, or nearest to it where it holds none. */
export function intoBox({ lo, hi }: Region, x: Float32Array): Float32Array {
  return x.map((v, i) => {
    const [low, high] = [-down(-lo[i]!), down(hi[i]!)];
    return low > high ? Math.fround(lo[i]!) : Math.min(Math.max(v, low), high);
  });
}

/** x limited to the box in f64: where that moves it, it is by less than a float32 rounding. */
export function clampTo({ lo, hi }: Region, x: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (v, i) => Math.min(Math.max(v, lo[i]!), hi[i]!));
}

/** Whether an f64 point is in the region. */
export function inside({ lo, hi, ball }: Region, x: Float64Array): boolean {
  if (!x.every((v, i) => v >= lo[i]! && v <= hi[i]!)) return false;
  return !ball || distance(ball, x) <= ball.eps;
}

/** Whether a box has no point of the ball; a relative 1e-9 covers the f64 roundings. */
export function missesBall(
  ball: CutBall | undefined,
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
): boolean {
  if (!ball) return false;
  const nearest = ball.centre.map((c, i) => Math.min(Math.max(c, lo[i]!), hi[i]!));
  return distance(ball, nearest) > ball.eps * (1 + 1e-9);
}

export function distance({ norm, centre }: CutBall, x: ArrayLike<number>): number {
  let total = 0;
  centre.forEach((c, i) => {
    const d = Math.abs(x[i]! - c);
    total += norm === 'l2' ? d * d : d;
  });
  return norm === 'l2' ? Math.sqrt(total) : total;
}

/** How far outputs are from unsafe: at most 0 where a disjunct holds, NaN where they are no numbers. */
export function slackOf(unsafe: readonly Conjunction[], y: ArrayLike<number>): number {
  let least = Number.POSITIVE_INFINITY;
  for (let j = 0; j < y.length; j++) if (!Number.isFinite(y[j])) return Number.NaN;
  for (const { rows, rhs } of unsafe) {
    let most = Number.NEGATIVE_INFINITY;
    rows.forEach((row, k) => {
      most = Math.max(most, dot(row, y) - rhs[k]!);
    });
    least = Math.min(least, most);
  }
  return least;
}

function dot(row: Float64Array, y: ArrayLike<number>): number {
  let sum = 0;
  for (let j = 0; j < row.length; j++) if (row[j] !== 0) sum += row[j]! * y[j]!;
  return sum;
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

/** The rows of all disjuncts in one table, as bounds take them. */
export interface OutputRows {
  readonly count: number;
  readonly outputs: number;
  /** [count, outputs], rounded to float32. */
  readonly matrix: Float32Array;
  /** What that rounding took off, [count, outputs], or undefined where all are float32 numbers. */
  readonly rest?: Float64Array;
  readonly rhs: Float64Array;
  /** Rows [start[d], start[d + 1]) are those of disjunct d. */
  readonly start: readonly number[];
}

export function outputRows(unsafe: readonly Conjunction[], outputs: number): OutputRows {
  const rows = unsafe.flatMap((one) => one.rows);
  const start = [0];
  for (const one of unsafe) start.push(start.at(-1)! + one.rows.length);
  const matrix = new Float32Array(rows.length * outputs);
  const rest = new Float64Array(matrix.length);
  rows.forEach((row, r) => {
    matrix.set(row, r * outputs);
    row.forEach((w, j) => {
      rest[r * outputs + j] = w - matrix[r * outputs + j]!;
    });
  });
  return {
    count: rows.length,
    outputs,
    matrix,
    ...(rest.some((w) => w !== 0) && { rest }),
    rhs: Float64Array.from(unsafe.flatMap((one) => one.rhs)),
    start,
  };
}

/**
 * What lower bounds of the rows (`at` on in `lower`) prove of a box: above 0, it is safe. It is the
 * least over disjuncts of the best row's distance, and which disjunct that is; what is no number
 * proves nothing.
 */
export function provenSlack(
  { count, rhs, start }: OutputRows,
  lower: Float64Array,
  at = 0,
): { readonly slack: number; readonly disjunct: number } {
  let [least, disjunct] = [Number.POSITIVE_INFINITY, 0];
  for (let d = 0; d + 1 < start.length; d++) {
    let best = Number.NEGATIVE_INFINITY;
    for (let r = start[d]!; r < start[d + 1]!; r++) {
      const slack = lower[at * count + r]! - rhs[r]!;
      if (slack > best) best = slack;
    }
    if (best < least) [least, disjunct] = [best, d];
  }
  return { slack: least, disjunct };
}
