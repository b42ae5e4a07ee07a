/**
 * Largest radii at which samples are certified, by bisection.
 *
 * Radii are multiples eps 2^k (1 + i / 64), so samples share them and are verified in batches; below
 * eps / 64 a radius counts as 0. A verifier need not be monotone: what is reported is the largest
 * radius that was proven on the way. Cost: up to 7 more verifications a sample, and one for each
 * doubling.
 */
import type { Parts } from '../tensor/parts';

/** Halvings of the interval between a certified radius and one that is not. */
const STEPS = 6;

/**
 * Largest radius in (0, 1] found certified, by row; rows without one are absent. `first` says which rows are
 * certified at eps, `ask` which of some rows are at another radius.
 */
export function* largestRadii(
  rows: readonly number[],
  eps: number,
  first: readonly boolean[],
  ask: (rows: readonly number[], eps: number) => Parts<boolean[]>,
): Parts<Map<number, number>> {
  const good = new Map<number, number>();
  const bad = new Map<number, number>();
  const note = (asked: readonly number[], found: readonly boolean[], radius: number): void => {
    asked.forEach((row, r) => {
      (found[r] ? good : bad).set(row, radius);
    });
  };
  note(rows, first, eps);
  for (let radius = 2 * eps; radius <= 1; radius *= 2) {
    const rising = rows.filter((row) => good.has(row) && !bad.has(row));
    if (rising.length === 0) break;
    note(rising, yield* ask(rising, radius), radius);
  }
  for (let step = 0; step < STEPS; step++) {
    const groups = new Map<number, number[]>();
    for (const row of rows) {
      const high = bad.get(row) ?? 1;
      const middle = ((good.get(row) ?? 0) + high) / 2;
      if (middle < high) groups.set(middle, [...(groups.get(middle) ?? []), row]);
    }
    for (const [radius, some] of groups) note(some, yield* ask(some, radius), radius);
  }
  return good;
}
