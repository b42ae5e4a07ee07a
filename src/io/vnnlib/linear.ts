/**
 * Linear terms of VNN-LIB: exact weights of inputs and outputs, and a constant. What adds to one says
 * what is wrong, or nothing; its work is paid for through `charge`.
 */
import { quote } from '../../errors';
import {
  MAX_DIGITS,
  multiply,
  parseDecimal,
  add as plus,
  type Rational,
  wordsOf,
} from '../../rational';
import type { Charge } from './clauses';
import { type Declared, place } from './declarations';

/** A linear term: weights by index, and a constant. */
export interface Linear {
  readonly kind: 'linear';
  readonly inputs: Map<number, Rational>;
  readonly outputs: Map<number, Rational>;
  constant: Rational;
}

/** The variables that there are, and what work costs. */
interface Means extends Declared {
  readonly charge: Charge;
}

export const TOO_MUCH =
  'expected a property within the limits of this reader, got one that goes too far.';

/** A term without variables. */
export const constantTerm = (constant: Rational): Linear => ({
  ...{ kind: 'linear', inputs: new Map(), outputs: new Map(), constant },
});

/** Variables of a term. */
export const sizeOf = ({ inputs, outputs }: Linear): number => inputs.size + outputs.size;

/** Adds `factor` times a term. */
export function addTerm(
  into: Linear,
  term: Linear,
  factor: Rational,
  { charge }: Means,
): string | undefined {
  let size = 1 + sizeOf(term) + wordsOf(factor);
  for (const part of ['inputs', 'outputs'] as const)
    for (const [index, weight] of term[part])
      size += addWeight(into[part], index, multiply(factor, weight));
  into.constant = plus(into.constant, multiply(factor, term.constant));
  return charge(size + wordsOf(into.constant)) ? undefined : TOO_MUCH;
}

/** Adds a weight; the words of what that makes. */
function addWeight(weights: Map<number, Rational>, index: number, weight: Rational): number {
  const before = weights.get(index);
  const after = before ? plus(before, weight) : weight;
  weights.set(index, after);
  return wordsOf(after);
}

/** Adds `factor`, 1 or -1, times a variable or a number. */
export function addAtom(
  into: Linear,
  text: string,
  factor: Rational,
  means: Means,
): string | undefined {
  const isNumber = text === '' || text.charCodeAt(0) < 0x41;
  if (!isNumber) {
    const at = place(text, means);
    if (typeof at === 'string') return at;
    addWeight(into[at.part], at.index, factor);
    return undefined;
  }
  const value = parseDecimal(text);
  if (!value)
    return `expected a variable or a number of at most ${MAX_DIGITS} places, got ${quote(text)}.`;
  into.constant = plus(into.constant, multiply(factor, value));
  return means.charge(wordsOf(into.constant)) ? undefined : TOO_MUCH;
}
