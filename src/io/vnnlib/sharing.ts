/**
 * Inputs that several networks of a property share: each input of a later network is asserted to be equal to the
 * same element of the first one's. Constraints on any of them become constraints on the first's.
 */
import { type Clause, type Formula, intersect } from './clauses';
import { elementsOf, type NetworkDeclaration, sizeOf } from './declarations';

export interface Asserted {
  readonly networks: readonly NetworkDeclaration[];
  /** What holds in any case, and disjunctions. */
  readonly base: Clause;
  readonly disjunctions: readonly Formula[];
  report(line: number, problem: string): void;
}

/** The number of shared inputs; undefined for a property of fewer than two networks. */
export function shareInputs(asserted: Asserted): number | undefined {
  const { networks, base, disjunctions, report } = asserted;
  const [first, ...others] = networks;
  if (!first || others.length === 0) return undefined;
  if (disjunctions.some((formula) => formula.some(({ equal }) => equal.length > 0)))
    report(0, 'expected equal inputs of networks outside of any or, got some inside of one.');
  const classes = classesOf(base.equal);
  const inputs = sizeOf(first.input.shape);
  for (const { name, input } of others) {
    const fits = sizeOf(input.shape) === inputs;
    if (!fits)
      report(
        0,
        `expected ${name} to share the ${inputs} inputs of ${first.name}, got another size.`,
      );
    for (let i = 0; fits && i < inputs; i++) {
      if (classes(input.offset + i) === classes(i)) continue;
      const [a, b] = [elementsOf(first.input)[i], elementsOf(input)[i]];
      report(0, `expected networks that share their input, (assert (== ${a} ${b})), got none.`);
      break;
    }
  }
  if (new Set(Array.from({ length: inputs }, (_, i) => classes(i))).size < inputs)
    report(0, `expected each input of ${first.name} to be equal to one of another, got more.`);
  for (const clause of [base, ...disjunctions.flat()]) moveBounds(clause, inputs);
  return inputs;
}

/** Bounds on any network's input become bounds on the first's. */
function moveBounds({ bounds }: Clause, inputs: number): void {
  const all = [...bounds];
  bounds.clear();
  for (const [at, interval] of all)
    bounds.set(at % inputs, intersect(bounds.get(at % inputs), interval));
}

/** The classes that pairs of equal inputs make, as a function to one input of each. */
function classesOf(pairs: Clause['equal']): (input: number) => number {
  const parents = new Map<number, number>();
  const rootOf = (input: number): number => {
    let root = input;
    for (let next = parents.get(root); next !== undefined; next = parents.get(root)) root = next;
    for (let at = input; at !== root; ) {
      const next = parents.get(at)!;
      parents.set(at, root);
      at = next;
    }
    return root;
  };
  for (const [a, b] of pairs) {
    const [one, other] = [rootOf(a), rootOf(b)];
    if (one !== other) parents.set(Math.max(one, other), Math.min(one, other));
  }
  return rootOf;
}
