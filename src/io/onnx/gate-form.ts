/**
 * Expressions of one value x with numbers, as exporters spell gelu and hard-swish: polynomials
 * p(x) + q(x) g with at most one gate g = f(arg(x)). Sums and products in any order have the same form,
 * so a table of a few forms knows all spellings.
 *
 * A form is known only where rounding stays within what the layer counts (docs/numerics.md, "functions
 * that fall before they rise"): nothing is added up that could cancel, and roundings are counted.
 */

/** Coefficients of 1, x, x^2, x^3. */
type Polynomial = readonly [number, number, number, number];

type Kind = 'erf' | 'tanh' | 'sigmoid' | 'clip';

interface Gate {
  readonly kind: Kind;
  readonly arg: Polynomial;
  /** Roundings of the argument. */
  readonly roundings: number;
  /** Of a clip. */
  readonly lo: number;
  readonly hi: number;
}

export interface Form {
  readonly p: Polynomial;
  /** Of the gate. */
  readonly q: Polynomial;
  readonly gate?: Gate;
  /** Roundings since x, or since the gate. */
  readonly roundings: number;
}

const ZERO: Polynomial = [0, 0, 0, 0];

export const X: Form = { p: [0, 1, 0, 0], q: ZERO, roundings: 0 };

export const number = (value: number): Form => ({ p: [value, 0, 0, 0], q: ZERO, roundings: 0 });

const map = (a: Polynomial, f: (c: number, i: number) => number): Polynomial => [
  f(a[0], 0),
  f(a[1], 1),
  f(a[2], 2),
  f(a[3], 3),
];

const isZero = (a: readonly number[]): boolean => a.every((c) => c === 0);

/** The product, or undefined above x^3. */
function times(a: Polynomial, b: Polynomial): Polynomial | undefined {
  const out = new Array<number>(7).fill(0);
  a.forEach((x, i) => {
    b.forEach((y, j) => {
      out[i + j]! += x * y;
    });
  });
  return out.slice(4).every((c) => c === 0) ? map(ZERO, (_, i) => out[i]!) : undefined;
}

/** Both forms' gate; undefined where they have different ones. */
function gateOf(a: Form, b: Form): { readonly gate?: Gate } | undefined {
  if (a.gate && b.gate && a.gate !== b.gate) return undefined;
  const gate = a.gate ?? b.gate;
  return gate ? { gate } : {};
}

/** a + b, where no terms are of opposite sign; with a gate, which may be below 0, before x comes in. */
export function sum(a: Form, b: Form): Form | undefined {
  const gate = gateOf(a, b);
  const positive = [a.p, a.q, b.p, b.q].every((list) => list.every((c) => c >= 0));
  if (!gate || !positive) return undefined;
  const early = [a.q, b.q].every((q) => isZero(q.with(0, 0))) && a.roundings + b.roundings <= 1;
  if (gate.gate && !early) return undefined;
  const roundings = a.roundings + b.roundings + 1;
  return {
    p: map(a.p, (c, i) => c + b.p[i]!),
    q: map(a.q, (c, i) => c + b.q[i]!),
    ...gate,
    roundings,
  };
}

export function product(a: Form, b: Form): Form | undefined {
  const gate = gateOf(a, b);
  const [p, left, right] = [times(a.p, b.p), times(a.p, b.q), times(a.q, b.p)];
  if (!gate || !p || !left || !right || !isZero(times(a.q, b.q) ?? X.p)) return undefined;
  const roundings = a.roundings + b.roundings + 1;
  return { p, q: map(left, (c, i) => c + right[i]!), ...gate, roundings };
}

/** f(a), where `a` has no gate of its own. */
export function gated(kind: Kind, a: Form, lo = 0, hi = 0): Form | undefined {
  if (a.gate) return undefined;
  const gate: Gate = { kind, arg: a.p, roundings: a.roundings, lo, hi };
  return { p: ZERO, q: [1, 0, 0, 0], gate, roundings: 0 };
}

/** Which of our functions a form is. */
export type Known = 'gelu' | 'gelu-tanh' | 'hard-swish';

interface Pattern {
  readonly known: Known;
  readonly kind: Kind;
  /** x (own + factor g). */
  readonly own: number;
  readonly factor: number;
  readonly arg: Polynomial;
  /** Roundings of the argument, at most. */
  readonly most: number;
}

const INNER = Math.sqrt(2 / Math.PI);
const CUBE = INNER * 0.044715;

const PATTERNS: readonly Pattern[] = [
  { known: 'gelu', kind: 'erf', own: 0.5, factor: 0.5, arg: [0, Math.SQRT1_2, 0, 0], most: 4 },
  { known: 'gelu-tanh', kind: 'tanh', own: 0.5, factor: 0.5, arg: [0, INNER, 0, CUBE], most: 8 },
  {
    known: 'gelu-tanh',
    kind: 'sigmoid',
    own: 0,
    factor: 1,
    arg: [0, 2 * INNER, 0, 2 * CUBE],
    most: 8,
  },
  { known: 'hard-swish', kind: 'clip', own: 0, factor: 1, arg: [0.5, 1 / 6, 0, 0], most: 4 },
];

/** Roundings behind the gate, at most. */
const MOST_BEHIND = 4;
/** Constants are the ones meant where they are as near as products of rounded ones. */
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 2 ** -22 * Math.abs(b);

/** The function that a form is, if it is one of ours. */
export function known({ p, q, gate, roundings }: Form): Known | undefined {
  if (!gate || roundings > MOST_BEHIND || p[0] !== 0 || q[0] !== 0) return undefined;
  if (p[2] !== 0 || p[3] !== 0 || q[2] !== 0 || q[3] !== 0) return undefined;
  // b clip(arg, lo, hi) is clip(b arg, b lo, b hi).
  const clip = gate.kind === 'clip';
  if (clip && (gate.lo !== 0 || !near(q[1] * gate.hi, 1))) return undefined;
  const [factor, scale] = clip ? [1, q[1]] : [q[1], 1];
  return PATTERNS.find(
    (pattern) =>
      pattern.kind === gate.kind &&
      gate.roundings <= pattern.most &&
      p[1] === pattern.own &&
      factor === pattern.factor &&
      pattern.arg.every((c, i) => near(scale * gate.arg[i]!, c)),
  )?.known;
}
