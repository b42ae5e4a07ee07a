/**
 * From the asserts of a property to its cases: one for every distinct input box, with the output
 * constraints of all disjuncts that share it.
 */
import type { Clause, Row } from './clauses';

/** `rows[k] . y <= rhs[k]` for every k. */
export interface Conjunction {
  readonly rows: readonly Float64Array[];
  readonly rhs: readonly number[];
}

export interface Case {
  /** Bounds of every input; finite, lo <= hi. */
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  /** Unsafe if any holds. */
  readonly unsafe: readonly Conjunction[];
}

/** Most numbers in the boxes, and in the rows, of all cases. */
const MAX_NUMBERS = 8_000_000;
const MAX_NAMED = 10;

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
  if (boxes.length * 2 * inputs > MAX_NUMBERS || rows * outputs > MAX_NUMBERS) {
    report(0, `expected boxes and rows of at most ${MAX_NUMBERS} numbers, got more.`);
    return [];
  }
  const unbounded = new Set<string>();
  const dense = (row: Row): Float64Array => {
    const out = new Float64Array(outputs);
    for (const [index, weight] of row.weights) out[index] = weight;
    return out;
  };
  const shared = base.rows.map(dense);
  const sharedRhs = base.rows.map(({ rhs }) => rhs);
  const cases = boxes.map(({ bounds, members }): Case => {
    const lo = new Float64Array(inputs).fill(Number.NEGATIVE_INFINITY);
    const hi = new Float64Array(inputs).fill(Infinity);
    for (const part of [base.bounds, bounds])
      for (const [input, [low, high]] of part) {
        lo[input] = low;
        hi[input] = high;
      }
    lo.forEach((low, i) => {
      if (!Number.isFinite(low)) unbounded.add(`X_${i} >= ?`);
      if (!Number.isFinite(hi[i])) unbounded.add(`X_${i} <= ?`);
    });
    const unsafe = members.map((clause) => ({
      rows: [...shared, ...clause.rows.map(dense)],
      rhs: [...sharedRhs, ...clause.rows.map(({ rhs }) => rhs)],
    }));
    return { lo, hi, unsafe };
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

interface Box {
  /** Where the box differs from the base: input index -> [lo, hi]. */
  readonly bounds: ReadonlyMap<number, readonly [number, number]>;
  readonly members: Clause[];
}

/** The clauses by box, in the order of their first; without those whose box is empty. */
function group(base: Clause, clauses: readonly Clause[]): Box[] {
  const boxes = new Map<string, Box>();
  const empty = [...base.bounds.values()].some(([lo, hi]) => lo > hi);
  for (const clause of empty ? [] : clauses) {
    const bounds = narrowed(base, clause);
    if (!bounds) continue;
    const key = [...bounds]
      .sort(([a], [b]) => a - b)
      .map(([input, [lo, hi]]) => `${input}:${lo}:${hi}`)
      .join(' ');
    const box = boxes.get(key) ?? { bounds, members: [] };
    boxes.set(key, box);
    box.members.push(clause);
  }
  return [...boxes.values()];
}

/** The bounds of `clause` that are tighter than the base's; undefined if they exclude each other. */
function narrowed(
  base: Clause,
  clause: Clause,
): Map<number, readonly [number, number]> | undefined {
  const bounds = new Map<number, readonly [number, number]>();
  for (const [input, [lo, hi]] of clause.bounds) {
    const [low, high] = base.bounds.get(input) ?? [Number.NEGATIVE_INFINITY, Infinity];
    const both = [Math.max(lo, low), Math.min(hi, high)] as const;
    if (both[0] > both[1]) return undefined;
    if (both[0] !== low || both[1] !== high) bounds.set(input, both);
  }
  return bounds;
}
