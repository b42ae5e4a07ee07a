/**
 * VNN-LIB properties, the subset of VNN-COMP: real inputs and outputs (`X_i`, `Y_j` of 1.0, or the
 * tensors of networks of 2.0 that share their input), and asserts of `<=`, `>=`, `<`, `>`, `==`, `!=`, `and`, `or` over
 * linear terms (`+`, `-`, `*`, numbers). All asserts together describe the *unsafe* points: a verifier
 * answers `sat` with one of them, or `unsat` for none.
 *
 * The result is a list of cases: an input box each, with a disjunction of conjunctions of linear
 * output constraints. Asserts on single inputs make the box; whatever mixes `and` and `or` is
 * multiplied out, and disjuncts of one box share a case. A constraint must be on one input or on
 * outputs: relations between inputs, and between inputs and outputs, are refused. Inputs of several networks are
 * those of the first, as asserts must say, element by element (`(== X_f[0] X_g[0])`, outside of any `or`).
 *
 * The text is parsed in one pass with a stack of its own, each form reduced when it closes, so
 * nesting costs no recursion; the product of disjunctions is capped. Arithmetic is exact
 * (rational.ts): numbers are rounded once, at the end and outwards.
 */
import { EspalierError, quote } from '../errors';
import { compare, excess, rationalOf } from '../rational';
import { type Case, type Conjunction, casesOf } from './vnnlib/cases';
import { conjoin, emptyClause, type Formula } from './vnnlib/clauses';
import { elementsOf, type NetworkDeclaration } from './vnnlib/declarations';
import { shareInputs } from './vnnlib/sharing';
import { type Form, reduceForm, type Scope } from './vnnlib/terms';
import { eachToken } from './vnnlib/tokens';

export type { Case, Conjunction } from './vnnlib/cases';
export type { NetworkDeclaration } from './vnnlib/declarations';

export interface Property {
  /** Number of inputs, which all networks share, and of outputs, network by network. */
  readonly inputs: number;
  readonly outputs: number;
  /** The networks of 2.0, as they are declared; none in 1.0, which has one without a name. */
  readonly networks: readonly NetworkDeclaration[];
  /** Unsafe: an input of a case's box whose output satisfies one of its disjuncts. */
  readonly cases: readonly Case[];
}

const MAX_PROBLEMS = 20;
const MAX_TOKENS = 4_000_000;
const MAX_DEPTH = 100_000;
/** Terms copied while constraints are collected and multiplied out. */
const MAX_WORK = 4_000_000;

/**
 * The property of a VNN-LIB text; `who`, the file's name, begins every error.
 *
 * Raises EspalierError with all problems at once (the first 20), each with its line: syntax,
 * commands and operators off the subset, terms that are not linear, undeclared variables, inputs
 * without a bound on either side, boxes that are all empty, and products beyond the caps.
 */
export function parseVnnlib(text: string, who: string): Property {
  const problems: string[] = [];
  const report = (line: number, problem: string): void => {
    problems.push(`${who}${line > 0 ? `, line ${line}` : ''}: ${problem}`);
    if (problems.length === MAX_PROBLEMS) stop(problems);
  };
  const scope = newScope(report);
  parse(text, scope);
  if (problems.length > 0) stop(problems);
  const inputs = shareInputs(scope) ?? sizeOf(scope.inputs, 'X', report);
  const outputs = sizeOf(scope.outputs, 'Y', report);
  if (problems.length > 0) stop(problems);
  let clauses: Formula | undefined = [emptyClause()];
  for (const formula of scope.disjunctions)
    clauses = clauses && conjoin(clauses, formula, scope.charge);
  if (!clauses) {
    report(0, 'expected disjunctions of a moderate product, got a larger one.');
    return stop(problems);
  }
  const cases = casesOf(scope.base, clauses, { inputs, outputs }, report);
  if (problems.length > 0) stop(problems);
  return { inputs, outputs, networks: scope.networks, cases };
}

function newScope(report: Scope['report']): Scope {
  let work = 0;
  return {
    inputs: new Set(),
    outputs: new Set(),
    tensors: new Map(),
    networks: [],
    base: emptyClause(),
    disjunctions: [],
    charge(units) {
      work += units;
      return work <= MAX_WORK;
    },
    report,
  };
}

/** Runs the commands of `text`; after a syntax error, no more of them. */
function parse(text: string, scope: Scope): void {
  const open: Form[] = [];
  let last = 1;
  let count = 0;
  let problem: string | undefined;
  eachToken(text, (token, line) => {
    last = line;
    const form = open.at(-1);
    if (++count > MAX_TOKENS || open.length > MAX_DEPTH)
      problem = `expected at most ${MAX_TOKENS} tokens, ${MAX_DEPTH} deep, got more.`;
    else if (token === '(') open.push({ line, op: undefined, args: [] });
    else if (!form) problem = `expected "(", got ${quote(token)}.`;
    else if (token === ')') {
      open.pop();
      const value = reduceForm(form, open.length > 0, scope);
      open.at(-1)?.args.push(value);
    } else if (form.op === undefined && form.args.length === 0) form.op = token;
    else form.args.push({ kind: 'atom', text: token });
    return problem === undefined;
  });
  if (problem === undefined && open.length > 0)
    problem = `expected ${open.length} more ")", got the end of the file.`;
  if (problem !== undefined) scope.report(last, problem);
}

function stop(problems: readonly string[]): never {
  throw new EspalierError(problems.join('\n'));
}

/** The number of declared variables, which are 0, 1, 2, ... without a gap. */
function sizeOf(
  declared: ReadonlySet<number>,
  letter: string,
  report: (line: number, problem: string) => void,
): number {
  let next = 0;
  while (declared.has(next)) next++;
  if (declared.size === 0) report(0, `expected (declare-const ${letter}_0 Real), got none.`);
  else if (next < declared.size)
    report(0, `expected ${letter}_${next} to be declared, as a later one is, got none.`);
  return declared.size;
}

/** Whether a point is unsafe, exactly; `tolerance` loosens every bound and every constraint. */
export function isUnsafe(
  { cases }: Property,
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  tolerance = 0,
): boolean {
  const inside = ({ inner: { lo, hi } }: Case): boolean =>
    lo.every((low, i) => low - tolerance <= x[i]! && x[i]! <= hi[i]! + tolerance);
  for (let j = 0; j < y.length; j++) if (!Number.isFinite(y[j])) return false;
  const most = rationalOf(tolerance);
  const holds = (all: Conjunction): boolean =>
    all.exact.every((row, k) => {
      const order = compare(excess(row, y), most);
      return all.strict[k] && tolerance === 0 ? order < 0 : order <= 0;
    });
  return cases.some((one) => inside(one) && one.unsafe.some(holds));
}

/** The answers of the competition. */
export type Answer = 'unsat' | 'sat' | 'unknown' | 'timeout';

/** An unsafe input and the networks' outputs at it. */
export interface Point {
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
}

/**
 * A result file: the answer, and after `sat` the point. Of 1.0 as the competition reads it, `((X_0 v)`, ...
 * ` (Y_m v))`, a line each; of the networks of 2.0 as its standard says, `X[0,1]=v` a line, in the order of
 * declaration.
 *
 * Raises EspalierError if `sat` has no point, or a value of it is not finite.
 */
export function formatResult(
  answer: Answer,
  point?: Point,
  networks: readonly NetworkDeclaration[] = [],
): string {
  if (answer !== 'sat') return `${answer}\n`;
  if (!point) throw new EspalierError('result: expected a point for sat, got none.');
  if (networks.length > 0) {
    const lines = assignmentOf(point, networks).map(([name, v]) => `${name}=${finite(name, v)}\n`);
    return `sat\n${lines.join('')}`;
  }
  const pairs = [
    ...Array.from(point.x, (v, i) => `(X_${i} ${finite(`X_${i}`, v)})`),
    ...Array.from(point.y, (v, j) => `(Y_${j} ${finite(`Y_${j}`, v)})`),
  ];
  return `sat\n(${pairs.join('\n ')})\n`;
}

/** The values of all variables of 2.0, in the order of declaration; networks share the input. */
function assignmentOf(
  { x, y }: Point,
  networks: readonly NetworkDeclaration[],
): (readonly [name: string, value: number])[] {
  return networks.flatMap(({ input, output }) => [
    ...elementsOf(input).map((name, i) => [name, x[i]!] as const),
    ...elementsOf(output).map((name, j) => [name, y[output.offset + j]!] as const),
  ]);
}

function finite(name: string, value: number): number {
  if (!Number.isFinite(value))
    throw new EspalierError(`result, ${name}: expected a finite number, got ${value}.`);
  return value;
}
