/**
 * The forms of VNN-LIB, one function each: commands, linear terms, comparisons, connectives. A form
 * is reduced when it closes, from the values of its arguments; a bad one is reported with its line
 * and stands as `bad` in the forms around it, which then keep quiet. Numbers are exact.
 */
import { quote } from '../../errors';
import {
  compare,
  divide,
  MINUS_ONE,
  multiply,
  negate,
  ONE,
  type Rational,
  signOf,
  wordsOf,
  ZERO,
} from '../../rational';
import {
  absorb,
  type Charge,
  type Clause,
  conjoin,
  emptyClause,
  type Formula,
  type Interval,
} from './clauses';
import {
  type Declared,
  declarations,
  type Relation,
  relationOf,
  type Tensor,
  tensorOf,
} from './declarations';
import { addAtom, addTerm, constantTerm, type Linear, sizeOf, TOO_MUCH } from './linear';

export type Term =
  | { readonly kind: 'atom'; readonly text: string }
  | { readonly kind: 'unit' }
  | { readonly kind: 'bad' }
  | { readonly kind: 'formula'; readonly clauses: Formula }
  | Relation
  | Tensor
  | Linear;

/** What the commands of a file add up to. */
export interface Scope extends Declared {
  /** The asserts without `or`, as one conjunction, and those with. */
  readonly base: Clause;
  readonly disjunctions: Formula[];
  readonly charge: Charge;
  report(line: number, problem: string): void;
}

export interface Form {
  readonly line: number;
  /** The operator, once its token was seen. */
  op: string | undefined;
  readonly args: Term[];
}

const BAD: Term = { kind: 'bad' };

type Command = (form: Form, scope: Scope) => void;
type Operator = (form: Form, scope: Scope) => Term;

const ignored: Command = () => undefined;

const COMMANDS: Readonly<Record<string, Command>> = {
  'vnnlib-version': version,
  'declare-const': declare,
  'declare-fun': declare,
  'declare-network': declare,
  assert: assertion,
  'set-logic': ignored,
  'set-info': ignored,
  'check-sat': ignored,
  'get-model': ignored,
  exit: ignored,
};

const OPERATORS: Readonly<Record<string, Operator>> = {
  '<=': (form, scope) => comparison(form, scope, atMost),
  '>=': (form, scope) => comparison(form, scope, atLeast),
  '<': (form, scope) => comparison(form, scope, below),
  '>': (form, scope) => comparison(form, scope, above),
  '==': (form, scope) => comparison(form, scope, equal),
  '=': (form, scope) => comparison(form, scope, equal),
  '!=': (form, scope) => comparison(form, scope, (a) => [...below(a), ...above(a)]),
  and: connect(
    (all, next, scope) => conjoin(all, next, scope.charge),
    () => [emptyClause()],
  ),
  or: connect(
    (all, next, scope) => {
      if (!scope.charge(1 + next.length)) return undefined;
      for (const clause of next) all.push(clause);
      return all;
    },
    () => [],
  ),
  '+': (form, scope) => sum(form, scope, 1),
  '-': (form, scope) => sum(form, scope, -1),
  '*': product,
  'declare-input': tensor,
  'declare-output': tensor,
  'declare-hidden': tensor,
  'equal-to': relation,
  'isomorphic-to': relation,
};

/** Operators of declarations, which no assert holds. */
const DECLARING = /^[a-z]+-[a-z]+$/;

/** The value of a closed form. `nested` is whether another form is open around it. */
export function reduceForm(form: Form, nested: boolean, scope: Scope): Term {
  const { op, args, line } = form;
  if (op === undefined && args.length === 0) return { kind: 'unit' };
  const name = op ?? 'a form';
  if (!nested) {
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command) command(form, scope);
    else scope.report(line, `expected ${Object.keys(COMMANDS).join(', ')}, got ${quote(name)}.`);
    return BAD;
  }
  const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
  if (operator) return args.some(({ kind }) => kind === 'bad') ? BAD : operator(form, scope);
  const known = Object.keys(OPERATORS)
    .filter((key) => !DECLARING.test(key))
    .join(' ');
  return bad(scope, line, `expected an operator of ${known}, got ${quote(name)}.`);
}

function bad(scope: Scope, line: number, problem: string): Term {
  scope.report(line, problem);
  return BAD;
}

/** `<2.0>`, or without the brackets: of later versions nobody here knows what they mean. */
const VERSION = /^<?[12](\.\d{1,3}){0,2}>?$/;

function version({ args: [told], line }: Form, scope: Scope): void {
  if (told?.kind === 'atom' && VERSION.test(told.text)) return;
  const got = told?.kind === 'atom' ? quote(told.text) : 'none';
  scope.report(line, `expected version 1 or 2 of VNN-LIB, got ${got}.`);
}

/** The commands that declare variables, of both versions. */
function declare(form: Form, scope: Scope): void {
  if (form.args.some(({ kind }) => kind === 'bad')) return;
  const problem = declarations[form.op!]!(form.args, scope);
  if (problem !== undefined) scope.report(form.line, problem);
}

/** A tensor of `declare-network`. */
function tensor({ op, args, line }: Form, scope: Scope): Term {
  const made = tensorOf(op!, args);
  return typeof made === 'string' ? bad(scope, line, made) : made;
}

/** What a network is to another. */
function relation({ op, args, line }: Form, scope: Scope): Term {
  const made = relationOf(op as Relation['how'], args);
  return typeof made === 'string' ? bad(scope, line, made) : made;
}

function assertion({ args, line }: Form, scope: Scope): void {
  const [formula] = args;
  if (formula?.kind === 'bad') return;
  if (args.length !== 1 || formula?.kind !== 'formula') {
    scope.report(line, 'expected one comparison, and, or or, got something else.');
    return;
  }
  const [only] = formula.clauses;
  if (formula.clauses.length === 1) absorb(scope.base, only!);
  else scope.disjunctions.push(formula.clauses);
}

/** A fold of formulas, from the formula that changes nothing. */
function connect(
  join: (all: Formula, next: Formula, scope: Scope) => Formula | undefined,
  neutral: () => Formula,
): Operator {
  return ({ op, args, line }, scope) => {
    if (args.length === 0) return bad(scope, line, `expected arguments of ${op}, got none.`);
    let all: Formula | undefined = neutral();
    for (const term of args) {
      if (term.kind !== 'formula')
        return bad(scope, line, `expected comparisons in ${op}, got ${shown(term)}.`);
      all = join(all, term.clauses, scope);
      if (!all) return bad(scope, line, TOO_MUCH);
    }
    return { kind: 'formula', clauses: all };
  };
}

type Make = (difference: Difference) => Formula;

/** One constraint: weights on one input or on outputs, against a right side. */
interface Difference {
  readonly input: readonly [index: number, weight: Rational] | undefined;
  readonly weights: ReadonlyMap<number, Rational>;
  readonly rhs: Rational;
  readonly strict: boolean;
}

const opposite = ({ input, weights, rhs, strict }: Difference): Difference => ({
  input: input && [input[0], negate(input[1])],
  weights: new Map([...weights].map(([index, weight]) => [index, negate(weight)])),
  rhs: negate(rhs),
  strict,
});
const atLeast: Make = (a) => atMost(opposite(a));
const below: Make = (a) => atMost({ ...a, strict: true });
const above: Make = (a) => below(opposite(a));
const equal: Make = (a) => {
  const [one, other] = [atMost(a), atLeast(a)];
  if (one.length === 0 || other.length === 0) return [];
  absorb(one[0]!, other[0]!);
  return one;
};

/** weights <= rhs, or < where strict. */
function atMost({ input, weights, rhs, strict }: Difference): Formula {
  const clause = emptyClause();
  if (input) clause.bounds.set(input[0], bound(input[1], rhs, strict));
  else if (weights.size > 0) clause.rows.push({ weights, rhs, strict });
  else return (strict ? signOf(rhs) > 0 : signOf(rhs) >= 0) ? [clause] : [];
  return [clause];
}

/** The formula of `a ? b`, from what their difference is told to be. */
function comparison(form: Form, scope: Scope, make: Make): Term {
  const { op, line, args } = form;
  if (args.length !== 2)
    return bad(scope, line, `expected 2 arguments of ${op}, got ${args.length}.`);
  const difference = sum(form, scope, -1);
  if (difference.kind !== 'linear') return difference;
  const left = (weights: Map<number, Rational>) =>
    [...weights].filter(([, weight]) => weight.num !== 0n);
  const [inputs, outputs] = [left(difference.inputs), left(difference.outputs)];
  const rhs = negate(difference.constant);
  if (make === equal && outputs.length === 0 && isSameInput(inputs, rhs, scope))
    return {
      kind: 'formula',
      clauses: [{ ...emptyClause(), equal: [[inputs[0]![0], inputs[1]![0]]] }],
    };
  const words = [...inputs, ...outputs].reduce((n, [, weight]) => n + wordsOf(weight), 0);
  const size = 4 + difference.inputs.size + difference.outputs.size + words + wordsOf(rhs);
  if (!scope.charge(size)) return bad(scope, line, TOO_MUCH);
  if (inputs.length > 1 || (inputs.length > 0 && outputs.length > 0))
    return bad(scope, line, 'expected a constraint on one input or on outputs, got a relation.');
  const weights = new Map(outputs);
  return { kind: 'formula', clauses: make({ input: inputs[0], weights, rhs, strict: false }) };
}

/** Whether a difference of inputs is that of two, each of another network. */
function isSameInput(
  inputs: readonly (readonly [number, Rational])[],
  rhs: Rational,
  { networks }: Scope,
): boolean {
  const [a, b] = inputs;
  if (inputs.length !== 2 || signOf(rhs) !== 0) return false;
  const opposite = compare(a![1], negate(b![1])) === 0;
  const ownerOf = (index: number) => networks.findLastIndex(({ input }) => input.offset <= index);
  return opposite && ownerOf(a![0]) !== ownerOf(b![0]);
}

/** The x with `weight x <= rhs`. */
function bound(weight: Rational, rhs: Rational, open: boolean): Interval {
  const end = { at: divide(rhs, weight), open };
  return signOf(weight) > 0 ? { hi: end } : { lo: end };
}

/** The first argument plus `sign` times the others; of one argument, `sign` times it. */
function sum(form: Form, scope: Scope, sign: 1 | -1): Term {
  const { args, line } = form;
  if (!checkFactors(form, scope)) return BAD;
  const leading = args.length === 1 ? sign : 1;
  const into = sumStart(args, leading, sign);
  let sound = true;
  for (const [i, term] of args.entries()) {
    const factor = (i === 0 ? leading : sign) === 1 ? ONE : MINUS_ONE;
    const problem = term === into ? undefined : addTo(into, term, factor, scope);
    if (problem !== undefined) scope.report(line, problem);
    sound &&= problem === undefined;
  }
  return sound ? into : BAD;
}

/** Adds `factor`, 1 or -1, times an argument of a sum; what is wrong with it. */
function addTo(into: Linear, term: Term, factor: Rational, scope: Scope): string | undefined {
  if (term.kind === 'linear') return addTerm(into, term, factor, scope);
  return term.kind === 'atom' ? addAtom(into, term.text, factor, scope) : undefined;
}

/** A term of the sum to add the others to: the largest, if it may be, as that keeps nests cheap. */
function sumStart(args: readonly Term[], leading: number, sign: number): Linear {
  const usable = args.filter(
    (term, i): term is Linear => term.kind === 'linear' && (i === 0 ? leading : sign) === 1,
  );
  return usable.reduce<Linear>((a, b) => (sizeOf(b) >= sizeOf(a) ? b : a), constantTerm(ZERO));
}

/** A product of numbers and at most one term with variables. */
function product(form: Form, scope: Scope): Term {
  const { args, line } = form;
  if (!checkFactors(form, scope)) return BAD;
  let factor = ONE;
  let variable: Linear | undefined;
  for (const term of args) {
    const linear = term.kind === 'linear' ? term : constantTerm(ZERO);
    const problem = term.kind === 'atom' && addAtom(linear, term.text, ONE, scope);
    if (problem) return bad(scope, line, problem);
    if (sizeOf(linear) === 0) {
      factor = multiply(factor, linear.constant);
      if (!scope.charge(1 + wordsOf(factor))) return bad(scope, line, TOO_MUCH);
    } else if (!variable) variable = linear;
    else
      return bad(scope, line, 'expected at most one factor with variables, got a non-linear term.');
  }
  if (!variable) return constantTerm(factor);
  const into = constantTerm(ZERO);
  const problem = addTerm(into, variable, factor, scope);
  return problem === undefined ? into : bad(scope, line, problem);
}

/** Whether there are arguments, all of them numbers, variables or linear terms. */
function checkFactors({ op, args, line }: Form, scope: Scope): boolean {
  const wrong = args.find(({ kind }) => kind !== 'linear' && kind !== 'atom');
  if (args.length === 0) scope.report(line, `expected arguments of ${op}, got none.`);
  if (wrong) scope.report(line, `expected numbers and variables in ${op}, got ${shown(wrong)}.`);
  return args.length > 0 && !wrong;
}

function shown(term: Term): string {
  if (term.kind === 'atom') return quote(term.text);
  return term.kind === 'formula' ? 'a comparison' : 'something else';
}
