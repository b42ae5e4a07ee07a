/**
 * Formulas over input bounds and linear output constraints, in disjunctive normal form.
 *
 * A formula is owned by whoever holds it: `conjoin` may reuse its operands. Every function that can
 * grow a formula is paid for through `charge`, which says whether the work is still affordable.
 */

/** weights . y <= rhs, by output index; no weight is 0. */
export interface Row {
  readonly weights: ReadonlyMap<number, number>;
  readonly rhs: number;
}

/** A conjunction: an interval for some inputs, and rows. */
export interface Clause {
  /** Input index -> [lo, hi]; either end may be infinite, and lo above hi. */
  readonly bounds: Map<number, readonly [number, number]>;
  readonly rows: Row[];
}

/** A disjunction; empty is false, an empty clause is true. */
export type Formula = Clause[];

/** Pays for that much work; false once the purse is empty. */
export type Charge = (work: number) => boolean;

export function emptyClause(): Clause {
  return { bounds: new Map(), rows: [] };
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
      const both: Clause = { bounds: new Map(left.bounds), rows: [...left.rows] };
      absorb(both, right);
      return both;
    }),
  );
}

/** Adds the constraints of `from` to `into`. */
export function absorb(into: Clause, from: Clause): void {
  for (const [input, [lo, hi]] of from.bounds) {
    const [low, high] = into.bounds.get(input) ?? [Number.NEGATIVE_INFINITY, Infinity];
    into.bounds.set(input, [Math.max(lo, low), Math.min(hi, high)]);
  }
  for (const row of from.rows) into.rows.push(row);
}

function sizeOf({ bounds, rows }: Clause): number {
  return bounds.size + rows.length;
}
