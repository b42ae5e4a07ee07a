/**
 * Formulas over input bounds and linear output constraints, in disjunctive normal form. Numbers are
 * exact: nothing is rounded before the cases are made.
 *
 * A formula is owned by whoever holds it: `conjoin` may reuse its operands. Every function that can
 * grow a formula is paid for through `charge`, which says whether the work is still affordable.
 */
import { compare, type ExactRow, type Rational } from '../../rational';

/** weights . y <= rhs, or < where strict. */
export interface Row extends ExactRow {
  readonly strict: boolean;
}

/** An end of an interval; it belongs to the interval unless open. */
export interface End {
  readonly at: Rational;
  readonly open: boolean;
}

/** An interval; without an end on a side it has none there. */
export interface Interval {
  readonly lo?: End;
  readonly hi?: End;
}

/** A conjunction: an interval for some inputs (which may be empty), rows, and pairs of inputs that are equal. */
export interface Clause {
  readonly bounds: Map<number, Interval>;
  readonly rows: Row[];
  readonly equal: (readonly [number, number])[];
}

/** A disjunction; empty is false, an empty clause is true. */
export type Formula = Clause[];

/** Pays for that much work; false once the purse is empty. */
export type Charge = (work: number) => boolean;

export function emptyClause(): Clause {
  return { bounds: new Map(), rows: [], equal: [] };
}

/** Both formulas hold: the product of their clauses. Undefined if it cannot be paid for. */
export function conjoin(a: Formula, b: Formula, charge: Charge): Formula | undefined {
  const [one] = a;
  const [other] = b;
  if (a.length === 1 && b.length === 1) {
    const [small, large] = sizeOf(one!) < sizeOf(other!) ? [one!, other!] : [other!, one!];
    if (!charge(1 + sizeOf(small))) return undefined;
    absorb(large, small);
    return [large];
  }
  const total = (formula: Formula): number =>
    formula.reduce((sum, clause) => sum + 1 + sizeOf(clause), 0);
  if (!charge(a.length * total(b) + b.length * total(a))) return undefined;
  return a.flatMap((left) =>
    b.map((right) => {
      const both: Clause = {
        ...{ bounds: new Map(left.bounds), rows: [...left.rows], equal: [...left.equal] },
      };
      absorb(both, right);
      return both;
    }),
  );
}

/** Adds the constraints of `from` to `into`. */
export function absorb(into: Clause, from: Clause): void {
  for (const [input, interval] of from.bounds)
    into.bounds.set(input, intersect(into.bounds.get(input), interval));
  for (const row of from.rows) into.rows.push(row);
  for (const pair of from.equal) into.equal.push(pair);
}

/** What lies in both; a missing interval is everything. */
export function intersect(a: Interval = {}, b: Interval): Interval {
  const lo = tighter(a.lo, b.lo, 1);
  const hi = tighter(a.hi, b.hi, -1);
  return { ...(lo && { lo }), ...(hi && { hi }) };
}

/** Whether no number lies in it. */
export function isEmpty({ lo, hi }: Interval): boolean {
  if (!lo || !hi) return false;
  const order = compare(lo.at, hi.at);
  return order > 0 || (order === 0 && (lo.open || hi.open));
}

/** The larger end for side 1, the smaller for -1; of equal ones the open one, or the first. */
function tighter(a: End | undefined, b: End | undefined, side: 1 | -1): End | undefined {
  if (!a || !b) return a ?? b;
  const order = side * compare(a.at, b.at);
  if (order === 0) return b.open && !a.open ? b : a;
  return order > 0 ? a : b;
}

function sizeOf({ bounds, rows, equal }: Clause): number {
  return bounds.size + rows.length + equal.length;
}
