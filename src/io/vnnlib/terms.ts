/**
 * The forms of VNN-LIB, one function each: commands, linear terms, comparisons, connectives. A form
 * is reduced when it closes, from the values of its arguments; a bad one is reported with its line
 * and stands as `bad` in the forms around it, which then keep quiet.
 */
import { quote } from '../../errors';
import { absorb, type Charge, type Clause, conjoin, emptyClause, type Formula } from './clauses';

/** A linear term: weights by index, and a constant. */
interface Linear {
  readonly kind: 'linear';
  readonly inputs: Map<number, number>;
  readonly outputs: Map<number, number>;
  constant: number;
}

export type Term =
  | { readonly kind: 'atom'; readonly text: string }
  | { readonly kind: 'unit' }
  | { readonly kind: 'bad' }
  | { readonly kind: 'formula'; readonly clauses: Formula }
  | Linear;

/** What the commands of a file add up to. */
export interface Scope {
  /** Indices declared. */
  readonly inputs: Set<number>;
  readonly outputs: Set<number>;
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
const TOO_MUCH = 'expected a property within the limits of this reader, got one that goes too far.';
const VARIABLE = /^([XY])_(0|[1-9]\d{0,8})$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const MAX_VARIABLES = 500_000;

type Command = (form: Form, scope: Scope) => void;
type Operator = (form: Form, scope: Scope) => Term;

const ignored: Command = () => undefined;

const COMMANDS: Readonly<Record<string, Command>> = {
  'declare-const': declare,
  'declare-fun': declare,
  assert: assertion,
  'set-logic': ignored,
  'set-info': ignored,
  'check-sat': ignored,
  'get-model': ignored,
  exit: ignored,
};

const OPERATORS: Readonly<Record<string, Operator>> = {
  '<=': (form, scope) => compare(form, scope, 1),
  '>=': (form, scope) => compare(form, scope, -1),
  and: connect((all, next, scope) => conjoin(all, next, scope.charge), [emptyClause()]),
  or: connect((all, next, scope) => {
    if (!scope.charge(1 + next.length)) return undefined;
    for (const clause of next) all.push(clause);
    return all;
  }, []),
  '+': (form, scope) => sum(form, scope, 1),
  '-': (form, scope) => sum(form, scope, -1),
  '*': product,
};

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
  const known = Object.keys(OPERATORS).join(' ');
  return bad(scope, line, `expected an operator of ${known}, got ${quote(name)}.`);
}

function bad(scope: Scope, line: number, problem: string): Term {
  scope.report(line, problem);
  return BAD;
}

/** `(declare-const X_0 Real)` or `(declare-fun X_0 () Real)`. */
function declare(form: Form, scope: Scope): void {
  const problem = declaration(form, scope);
  if (problem !== undefined) scope.report(form.line, problem);
}

/** Adds the variable, or says what is wrong. */
function declaration({ op, args }: Form, { inputs, outputs }: Scope): string | undefined {
  const [name, ...rest] = args;
  const sort = rest.at(-1);
  const count = op === 'declare-fun' && rest[0]?.kind === 'unit' ? 2 : 1;
  if (name?.kind !== 'atom' || sort?.kind !== 'atom' || rest.length !== count)
    return `expected (${op} NAME Real), got another form.`;
  const [, letter, digits] = VARIABLE.exec(name.text) ?? [];
  const index = Number(digits);
  if (letter === undefined || index >= MAX_VARIABLES)
    return `expected X_i or Y_j below ${MAX_VARIABLES}, got ${quote(name.text)}.`;
  if (sort.text !== 'Real') return `expected the sort Real, got ${quote(sort.text)}.`;
  const known = letter === 'X' ? inputs : outputs;
  if (known.has(index)) return `expected one declaration of ${name.text}, got two.`;
  known.add(index);
  return undefined;
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
  neutral: Formula,
): Operator {
  return ({ op, args, line }, scope) => {
    if (args.length === 0) return bad(scope, line, `expected arguments of ${op}, got none.`);
    let all: Formula | undefined = structuredClone(neutral);
    for (const term of args) {
      if (term.kind !== 'formula')
        return bad(scope, line, `expected comparisons in ${op}, got ${shown(term)}.`);
      all = join(all, term.clauses, scope);
      if (!all) return bad(scope, line, TOO_MUCH);
    }
    return { kind: 'formula', clauses: all };
  };
}

/** `a <= b` for sign 1, `a >= b` for sign -1. */
function compare(form: Form, scope: Scope, sign: 1 | -1): Term {
  const { op, line, args } = form;
  if (args.length !== 2)
    return bad(scope, line, `expected 2 arguments of ${op}, got ${args.length}.`);
  const difference = sum(form, scope, -1);
  if (difference.kind !== 'linear') return difference;
  const { inputs, outputs, constant } = difference;
  if (!scope.charge(4 + inputs.size + outputs.size)) return bad(scope, line, TOO_MUCH);
  const finite = [...inputs.values(), ...outputs.values(), constant].every(Number.isFinite);
  if (!finite) return bad(scope, line, 'expected finite numbers, got an overflow.');
  const left = (weights: Map<number, number>): [number, number][] =>
    [...weights].filter(([, w]) => w !== 0).map(([index, w]) => [index, sign * w]);
  const [input, ...others] = left(inputs);
  const weights = left(outputs);
  const rhs = 0 - sign * constant;
  if (others.length > 0 || (input && weights.length > 0))
    return bad(scope, line, 'expected a constraint on one input or on outputs, got a relation.');
  const clause = emptyClause();
  if (input) clause.bounds.set(input[0], bound(input[1], rhs));
  else if (weights.length > 0) clause.rows.push({ weights: new Map(weights), rhs });
  else return { kind: 'formula', clauses: rhs >= 0 ? [clause] : [] };
  return { kind: 'formula', clauses: [clause] };
}

/** The x with `weight x <= rhs`; a rounded quotient is moved outwards. */
function bound(weight: number, rhs: number): readonly [number, number] {
  const quotient = rhs / weight;
  const slack = Math.abs(weight) === 1 ? 0 : Math.abs(quotient) * 2 ** -52 + Number.MIN_VALUE;
  return weight > 0
    ? [Number.NEGATIVE_INFINITY, quotient + slack]
    : [quotient - slack + 0, Infinity];
}

/** The first argument plus `sign` times the others; of one argument, `sign` times it. */
function sum(form: Form, scope: Scope, sign: 1 | -1): Term {
  const { args, line } = form;
  if (!checkFactors(form, scope)) return BAD;
  const leading = args.length === 1 ? sign : 1;
  const into = sumStart(args, leading, sign);
  let sound = true;
  for (const [i, term] of args.entries()) {
    const factor = i === 0 ? leading : sign;
    if (term.kind === 'linear' && term !== into)
      sound = add(into, term, factor, scope, line) && sound;
    else if (term.kind === 'atom') sound = addAtom(into, term.text, factor, scope, line) && sound;
  }
  return sound ? into : BAD;
}

/** A term of the sum to add the others to: the largest, if it may be, as that keeps nests cheap. */
function sumStart(args: readonly Term[], leading: number, sign: number): Linear {
  const usable = args.filter(
    (term, i): term is Linear => term.kind === 'linear' && (i === 0 ? leading : sign) === 1,
  );
  return usable.reduce<Linear>((a, b) => (sizeOf(b) >= sizeOf(a) ? b : a), number(0));
}

/** A product of numbers and at most one term with variables. */
function product(form: Form, scope: Scope): Term {
  const { args, line } = form;
  if (!checkFactors(form, scope)) return BAD;
  let factor = 1;
  let variable: Linear | undefined;
  for (const term of args) {
    const linear = term.kind === 'linear' ? term : number(0);
    if (term.kind === 'atom' && !addAtom(linear, term.text, 1, scope, line)) return BAD;
    if (sizeOf(linear) === 0) factor *= linear.constant;
    else if (!variable) variable = linear;
    else
      return bad(scope, line, 'expected at most one factor with variables, got a non-linear term.');
  }
  const scaled = number(factor);
  if (!variable) return scaled;
  scaled.constant = 0;
  return add(scaled, variable, factor, scope, line) ? scaled : BAD;
}

/** Whether there are arguments, all of them numbers, variables or linear terms. */
function checkFactors({ op, args, line }: Form, scope: Scope): boolean {
  const wrong = args.find(({ kind }) => kind !== 'linear' && kind !== 'atom');
  if (args.length === 0) scope.report(line, `expected arguments of ${op}, got none.`);
  if (wrong) scope.report(line, `expected numbers and variables in ${op}, got ${shown(wrong)}.`);
  return args.length > 0 && !wrong;
}

function add(into: Linear, term: Linear, factor: number, scope: Scope, line: number): boolean {
  if (!scope.charge(1 + sizeOf(term))) {
    scope.report(line, TOO_MUCH);
    return false;
  }
  for (const part of ['inputs', 'outputs'] as const)
    for (const [index, weight] of term[part]) addWeight(into[part], index, factor * weight);
  into.constant += factor * term.constant;
  return true;
}

function addWeight(weights: Map<number, number>, index: number, weight: number): void {
  weights.set(index, (weights.get(index) ?? 0) + weight);
}

/** Adds `factor` times a variable or a number; false after a report. */
function addAtom(into: Linear, text: string, factor: number, scope: Scope, line: number): boolean {
  const [, letter, digits] = VARIABLE.exec(text) ?? [];
  if (letter === undefined) {
    const value = NUMBER.test(text) ? Number(text) : Number.NaN;
    if (Number.isFinite(value)) into.constant += factor * value;
    else scope.report(line, `expected a variable or a finite number, got ${quote(text)}.`);
    return Number.isFinite(value);
  }
  const part = letter === 'X' ? 'inputs' : 'outputs';
  const index = Number(digits);
  const declared = scope[part].has(index);
  if (declared) addWeight(into[part], index, factor);
  else scope.report(line, `expected a declared variable, got ${text}, which is not.`);
  return declared;
}

function number(constant: number): Linear {
  return { kind: 'linear', inputs: new Map(), outputs: new Map(), constant };
}

function sizeOf({ inputs, outputs }: Linear): number {
  return inputs.size + outputs.size;
}

function shown(term: Term): string {
  if (term.kind === 'atom') return quote(term.text);
  return term.kind === 'formula' ? 'a comparison' : 'something else';
}
