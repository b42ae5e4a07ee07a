/**
 * From the asserts of a property to its cases: one for every distinct input box, with the output
 * constraints of all disjuncts that share it. Here numbers are rounded, once and outwards.
 */
import {
  compare,
  type ExactRow,
  exponentOf,
  parseDecimal,
  type Rational,
  rationalOf,
  scaled,
  toFloat64,
} from '../../rational';
import { type Clause, type End, type Interval, intersect, isEmpty, type Row } from './clauses';

/**
 * `rows[k] . y <= rhs[k]` for every k, or < where `strict[k]`: of what `exact` says the nearest
 * numbers, and right sides that are not below it.
 */
export interface Conjunction {
  readonly rows: readonly Float64Array[];
  readonly rhs: readonly number[];
  readonly strict: readonly boolean[];
  readonly exact: readonly ExactRow[];
}

export interface Case {
  /** The smallest float64 bounds around those of every input; finite, lo <= hi. */
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  /**
   * The float64 numbers that lie in the box itself, or as they are printed: from the first to the last
   * of every input. Where there is none, the one nearest to it, twice.
   */
  readonly inner: { readonly lo: Float64Array; readonly hi: Float64Array };
  /** Unsafe if any holds. */
  readonly unsafe: readonly Conjunction[];
}

/** Most numbers in the boxes, and in the rows, of all cases. */
const MAX_NUMBERS = 8_000_000;
const MAX_NAMED = 10;
/** Rows whose largest weight is beyond 2^-60 to 2^60 are scaled by a power of two. */
const MAX_EXPONENT = 60;

type Report = (line: number, problem: string) => void;

/** The cases of `base` and one of `clauses`; empty after a report. */
export function casesOf(
  base: Clause,
  clauses: readonly Clause[],
  { inputs, outputs }: { readonly inputs: number; readonly outputs: number },
  report: Report,
): Case[] {
  const boxes = group(base, clauses);
  const rows = clauses.reduce((sum, clause) => sum + base.rows.length + clause.rows.length, 0);
  if (boxes.length * 4 * inputs > MAX_NUMBERS || rows * outputs > MAX_NUMBERS) {
    report(0, `expected boxes and rows of at most ${MAX_NUMBERS} numbers, got more.`);
    return [];
  }
  const unbounded = new Set<string>();
  const shared = conjunctionOf(base.rows, outputs);
  const whole = endsOf(base.bounds, inputs);
  const cases = boxes.map(({ bounds, members }): Case => {
    const { lo, hi, inner } = bounds.size > 0 ? endsOf(bounds, inputs, whole) : whole;
    lo.forEach((low, i) => {
      if (!Number.isFinite(low)) unbounded.add(`X_${i} >= ?`);
      if (!Number.isFinite(hi[i])) unbounded.add(`X_${i} <= ?`);
    });
    const unsafe = members.map((clause) => joined(shared, conjunctionOf(clause.rows, outputs)));
    return { lo, hi, inner, unsafe };
  });
  if (unbounded.size > 0) {
    const named = [...unbounded].slice(0, MAX_NAMED).join(', ');
    const more = unbounded.size > MAX_NAMED ? ` and ${unbounded.size - MAX_NAMED} more` : '';
    report(0, `expected a lower and an upper bound of every input, got none for ${named}${more}.`);
  } else if (boxes.length === 0) {
    report(0, 'expected bounds that some input satisfies, got a contradiction.');
  }
  return cases;
}

function conjunctionOf(rows: readonly Row[], outputs: number): Conjunction {
  const exact = rows.map(inRange);
  return {
    rows: exact.map(({ weights }) => {
      const row = new Float64Array(outputs);
      for (const [index, weight] of weights) row[index] = toFloat64(weight);
      return row;
    }),
    rhs: exact.map(({ rhs }) => toFloat64(rhs, 'up')),
    strict: rows.map(({ strict }) => strict),
    exact,
  };
}

const joined = (a: Conjunction, b: Conjunction): Conjunction => ({
  rows: [...a.rows, ...b.rows],
  rhs: [...a.rhs, ...b.rhs],
  strict: [...a.strict, ...b.strict],
  exact: [...a.exact, ...b.exact],
});

/** The row, or a multiple of it that floating point holds. */
function inRange(row: Row): ExactRow {
  let most = Number.NEGATIVE_INFINITY;
  for (const weight of row.weights.values()) most = Math.max(most, exponentOf(weight));
  if (Math.abs(most) <= MAX_EXPONENT) return row;
  const weights = new Map([...row.weights].map(([j, weight]) => [j, scaled(weight, -most)]));
  return { weights, rhs: scaled(row.rhs, -most) };
}

interface Ends {
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  readonly inner: { readonly lo: Float64Array; readonly hi: Float64Array };
}

/** The bounds as float64 numbers, over those of `before`. */
function endsOf(bounds: ReadonlyMap<number, Interval>, inputs: number, before?: Ends): Ends {
  const open = (value: number): Float64Array => new Float64Array(inputs).fill(value);
  const lo = before?.lo.slice() ?? open(Number.NEGATIVE_INFINITY);
  const hi = before?.hi.slice() ?? open(Number.POSITIVE_INFINITY);
  const inner = {
    lo: before?.inner.lo.slice() ?? lo.slice(),
    hi: before?.inner.hi.slice() ?? hi.slice(),
  };
  for (const [input, interval] of bounds) {
    if (interval.lo) lo[input] = toFloat64(interval.lo.at, 'down');
    if (interval.hi) hi[input] = toFloat64(interval.hi.at, 'up');
    const [first, last] = [innerEnd(interval.lo, 'up'), innerEnd(interval.hi, 'down')];
    const some = interval.lo ?? interval.hi;
    const nearest = some ? toFloat64(some.at) : 0;
    inner.lo[input] = first <= last ? first : nearest;
    inner.hi[input] = first <= last ? last : nearest;
  }
  return { lo, hi, inner };
}

/** The first float64 number that is inside an end, or whose shortest decimal is, upwards or downwards. */
function innerEnd(end: End | undefined, way: 'up' | 'down'): number {
  if (!end) return way === 'up' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const nearest = toFloat64(end.at);
  if (!Number.isFinite(nearest)) return nearest;
  const isInside = (value: Rational): boolean => {
    const order = compare(value, end.at) * (way === 'up' ? 1 : -1);
    return order > 0 || (order === 0 && !end.open);
  };
  const some = isInside(rationalOf(nearest)) || isInside(parseDecimal(`${nearest}`)!);
  return some ? nearest : next(nearest, way);
}

/** The float64 number after v, upwards or downwards. */
function next(v: number, way: 'up' | 'down'): number {
  if (v === 0) return way === 'up' ? Number.MIN_VALUE : -Number.MIN_VALUE;
  const word = new BigInt64Array(Float64Array.of(v).buffer);
  word[0]! += v > 0 === (way === 'up') ? 1n : -1n;
  return new Float64Array(word.buffer)[0]!;
}

interface Box {
  /** Where the box differs from the base. */
  readonly bounds: ReadonlyMap<number, Interval>;
  readonly members: Clause[];
}

/** The clauses by box, in the order of their first; without those whose box is empty. */
function group(base: Clause, clauses: readonly Clause[]): Box[] {
  const boxes = new Map<string, Box>();
  const empty = [...base.bounds.values()].some(isEmpty);
  for (const clause of empty ? [] : clauses) {
    const bounds = narrowed(base, clause);
    if (!bounds) continue;
    const key = [...bounds]
      .sort(([a], [b]) => a - b)
      .map(([input, { lo, hi }]) => `${input}:${keyOf(lo)}:${keyOf(hi)}`)
      .join(' ');
    const box = boxes.get(key) ?? { bounds, members: [] };
    boxes.set(key, box);
    box.members.push(clause);
  }
  return [...boxes.values()];
}

/** Ends that round to the same numbers are one. */
const keyOf = (end: End | undefined): string =>
  end ? `${toFloat64(end.at, 'down')},${toFloat64(end.at, 'up')},${end.open}` : '';

/** The bounds of `clause` that are tighter than the base's; undefined if they exclude each other. */
function narrowed(base: Clause, clause: Clause): Map<number, Interval> | undefined {
  const bounds = new Map<number, Interval>();
  for (const [input, interval] of clause.bounds) {
    const before = base.bounds.get(input);
    const both = intersect(before, interval);
    if (isEmpty(both)) return undefined;
    if (both.lo !== before?.lo || both.hi !== before?.hi) bounds.set(input, both);
  }
  return bounds;
}
