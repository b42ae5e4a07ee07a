/**
 * Pointwise functions for the checker: bounds of f on [lo, hi], and lines below and above it.
 *
 * A line may have any slope whatever; only its offset is proven, as the least (or greatest) value of
 * f(x) - slope x on [lo, hi]. That is found exactly among few points: the ends, the kinks of a
 * piecewise linear f, and for a smooth f the points where f' is the slope, one at most between two
 * turning points of f'. So slopes can come from anywhere, a certificate included.
 *
 * Math.exp, Math.tanh and normalCdf are trusted to a relative error of 2^-44.
 */
import type { GraphNode } from '../nn/graph';
import { normalCdf, normalDensity } from '../statistics';
import { SMALLEST, up } from './arithmetic';

export interface Line {
  readonly slope: number;
  readonly offset: number;
}

/** Facts of a pointwise function that its bounds and lines follow from. */
export interface Activation {
  f(x: number): number;
  /** Relative error of a float32 execution, in units of 2^-24. */
  readonly error: number;
  /** Absolute error besides, in units of 2^-24. */
  readonly absolute?: number;
  /** Error as a share of |x| besides, in units of 2^-24. */
  readonly inputError?: number;
  /** Points where f is no straight line; none for smooth functions. */
  readonly kinks: readonly number[];
  /** Points of [lo, hi] among which f(x) - slope x has its extremes. */
  extremes(slope: number, lo: number, hi: number): readonly number[];
  /** Slopes that make good lines. */
  lower(lo: number, hi: number): number;
  upper(lo: number, hi: number): number;
}

type Make = (options: GraphNode['options']) => Activation;

function piecewise(
  f: (x: number) => number,
  kinks: readonly number[],
  error: number,
): Omit<Activation, 'lower' | 'upper'> {
  const inside = (lo: number, hi: number): number[] => kinks.filter((k) => lo < k && k < hi);
  return { f, error, kinks, extremes: (_, lo, hi) => [lo, hi, ...inside(lo, hi)] };
}

const chord = (f: (x: number) => number, lo: number, hi: number): number =>
  hi > lo ? Math.max(0, (f(hi) - f(lo)) / (hi - lo)) : 0;

const rectified = (slope: number, error: number): Activation => {
  const f = (x: number): number => (x > 0 ? x : slope * x);
  return {
    ...piecewise(f, [0], error),
    lower: (lo, hi) => (hi > -lo ? 1 : slope),
    upper: (lo, hi) => chord(f, lo, hi),
  };
};

const clip: Make = ({ lo: a, hi: b }) => {
  const low = a === null ? Number.NEGATIVE_INFINITY : Math.fround(a as number);
  const high = b === null ? Number.POSITIVE_INFINITY : Math.fround(b as number);
  const f = (x: number): number => Math.min(Math.max(x, low), high);
  return {
    ...piecewise(f, [low, high].filter(Number.isFinite), 0),
    lower: (lo, hi) => {
      if (lo < low && hi > high) return (high - low) / (hi - low);
      if (lo < low) return hi - low > low - lo ? 1 : 0;
      return chord(f, lo, hi);
    },
    upper: (lo, hi) => {
      if (lo < low && hi > high) return (high - low) / (high - lo);
      if (hi > high) return high - lo > hi - high ? 1 : 0;
      return chord(f, lo, hi);
    },
  };
};

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
/** The x <= 0 at which the logistic function has the slope p, 0 < p <= 1/4. */
const whereLogistic = (p: number): number => {
  const s = (2 * p) / (1 + Math.sqrt(Math.max(0, 1 - 4 * p)));
  return Math.log(s) - Math.log1p(-s);
};

interface Smooth {
  f(x: number): number;
  df(x: number): number;
  /** The x <= 0 with f'(x) = p. */
  where(p: number): number;
  /** f'(0), the largest slope. */
  readonly steepest: number;
  readonly absolute: number;
}

/** Odd about its centre, convex below 0 and concave above. */
function sigmoidal({ f, df, where, steepest, absolute }: Smooth): Activation {
  const clamp = (x: number, lo: number, hi: number): number => Math.min(Math.max(x, lo), hi);
  const lower = (lo: number, hi: number): number => {
    if (lo >= 0) return chord(f, lo, hi);
    if (hi <= 0) return df((lo + hi) / 2);
    const straight = chord(f, lo, hi);
    if (df(lo) >= straight) return straight;
    // The tangent through the upper end: between lo and 0.
    let [left, right] = [lo, 0];
    for (let i = 0; i < 40; i++) {
      const x = (left + right) / 2;
      if (f(x) + df(x) * (hi - x) < f(hi)) left = x;
      else right = x;
    }
    return df(left);
  };
  return {
    f,
    error: 16,
    absolute,
    kinks: [],
    extremes(slope, lo, hi) {
      if (!(slope > 0 && slope < steepest)) return [lo, hi];
      const x = where(slope);
      return [lo, hi, clamp(x, lo, hi), clamp(-x, lo, hi)];
    },
    lower,
    upper: (lo, hi) => lower(-hi, -lo),
  };
}

const sigmoid = sigmoidal({
  f: logistic,
  df: (x) => logistic(x) * logistic(-x),
  where: whereLogistic,
  steepest: 1 / 4,
  absolute: 16,
});

const tanh = sigmoidal({
  f: Math.tanh,
  df: (x) => 1 - Math.tanh(x) ** 2,
  where: (p) => whereLogistic(p / 4) / 2,
  steepest: 1,
  absolute: 0,
});

/** Falls, then rises; f' is monotone up to -turn, from there to turn, and beyond. */
function valley(f: (x: number) => number, df: (x: number) => number, turn: number): Activation {
  /** The point of [a, b], between two turning points, where f' is the slope; an end where it nowhere is. */
  const tangent = (slope: number, a: number, b: number): number => {
    const falls = df(a) > df(b);
    let [left, right] = [a, b];
    for (let i = 0; i < 80; i++) {
      const x = left / 2 + right / 2;
      if (df(x) < slope === falls) right = x;
      else left = x;
    }
    return left;
  };
  return {
    f,
    error: 4,
    inputError: 8,
    kinks: [],
    extremes(slope, lo, hi) {
      const cuts = [lo, ...[-turn, turn].filter((x) => lo < x && x < hi), hi];
      return [...cuts, ...cuts.slice(1).map((b, i) => tangent(slope, cuts[i]!, b))];
    },
    lower: (lo, hi) => (lo >= turn || hi <= -turn ? steepness(f, lo, hi) : df((lo + hi) / 2)),
    upper: (lo, hi) => (lo >= turn || hi <= -turn ? df((lo + hi) / 2) : steepness(f, lo, hi)),
  };
}

const steepness = (f: (x: number) => number, lo: number, hi: number): number =>
  hi > lo ? (f(hi) - f(lo)) / (hi - lo) : 0;

const absolute: Activation = {
  ...piecewise(Math.abs, [0], 0),
  lower: (lo, hi) => (hi > -lo ? 1 : -1),
  upper: (lo, hi) => steepness(Math.abs, lo, hi),
};

const silu = valley(
  (x) => x * logistic(x),
  (x) => logistic(x) + x * logistic(x) * logistic(-x),
  2.3993572805154675,
);

const gelu = valley(
  (x) => x * normalCdf(x),
  (x) => normalCdf(x) + x * normalDensity(x),
  Math.SQRT2,
);

/** x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2. */
const inner = (x: number): number => Math.sqrt(8 / Math.PI) * (x + 0.044715 * x ** 3);
const geluTanh = valley(
  (x) => x * logistic(inner(x)),
  (x) => {
    const slope = Math.sqrt(8 / Math.PI) * (1 + 3 * 0.044715 * x * x);
    return logistic(inner(x)) + x * logistic(inner(x)) * logistic(-inner(x)) * slope;
  },
  1.4185040087908285,
);

/** x (x + 3) / 6 between -3 and 3: within that range f' = slope at one point. */
const hardSwish: Activation = {
  f: (x) => (x <= -3 ? 0 : x >= 3 ? x : (x * (x + 3)) / 6),
  error: 4,
  inputError: 8,
  kinks: [],
  extremes: (slope, lo, hi) => {
    const touch = Math.min(Math.max(3 * slope - 1.5, -3), 3);
    return [lo, hi, ...[-3, 3, touch].map((x) => Math.min(Math.max(x, lo), hi))];
  },
  lower: (lo, hi) => Math.min(1, Math.max(0, (lo + hi) / 6 + 0.5)),
  upper: (lo, hi) => steepness(hardSwish.f, lo, hi),
};

/** Activations by the layer's name in the registry. */
export const activations: Readonly<Record<string, Make>> = {
  relu: () => rectified(0, 0),
  // The slope may be rounded, and then the product is.
  'leaky-relu': ({ slope }) => rectified(Math.fround(slope as number), 3),
  clip,
  sigmoid: () => sigmoid,
  tanh: () => tanh,
  abs: () => absolute,
  silu: () => silu,
  gelu: ({ approximate }) => (approximate === 'tanh' ? geluTanh : gelu),
  'hard-swish': () => hardSwish,
};

/**
 * Error of a float32 execution, and of the checker's own f, where f and its argument are at most of these
 * sizes.
 */
function errorOf(a: Activation, size: number, magnitude: number): number {
  const { error, absolute: fixed = 0, inputError = 0 } = a;
  if (error === 0) return 0;
  const off = (error * 2 ** -24 + 2 ** -44) * size + (fixed + inputError * magnitude) * 2 ** -24;
  return up(off) + 2 * SMALLEST;
}

/** Bounds of an execution of f on [lo, hi]. */
export function range(a: Activation, lo: number, hi: number): [number, number] {
  const values = a.extremes(0, lo, hi).map((x) => a.f(x));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const magnitude = Math.max(Math.abs(lo), Math.abs(hi));
  const error = (size: number): number => errorOf(a, Math.abs(size), magnitude);
  return [low - error(low), high + error(high)];
}

/** True if f is one straight line on [lo, hi], so that tighter bounds would not help. */
export function isStraight({ kinks }: Activation, lo: number, hi: number): boolean {
  return (
    kinks.length > 0 &&
    kinks.every((breakpointSlopes) => breakpointSlopes <= lo || breakpointSlopes >= hi)
  );
}

/** A line below an execution of f all over [lo, hi], and one above. */
export function lines(a: Activation, lo: number, hi: number, claimed?: number): [Line, Line] {
  const [p, r] = [claimed ?? a.lower(lo, hi), a.upper(lo, hi)];
  const rest = (slope: number): number[] =>
    a.extremes(slope, lo, hi).map((x) => a.f(x) - slope * x);
  const size = Math.max(...a.extremes(0, lo, hi).map((x) => Math.abs(a.f(x))));
  const magnitude = Math.max(Math.abs(lo), Math.abs(hi));
  // A touching point off by 2^-20 moves an S-shaped f - slope x by less than 2^-40.
  const slack = (slope: number): number =>
    errorOf(a, size, magnitude) +
    2 ** -40 * (size + Math.abs(slope) * magnitude) +
    (a.kinks.length ? 0 : 2 ** -38);
  return [
    { slope: p, offset: Math.min(...rest(p)) - slack(p) },
    { slope: r, offset: Math.max(...rest(r)) + slack(r) },
  ];
}
