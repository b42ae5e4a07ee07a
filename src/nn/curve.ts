/**
 * Two lines around any function of one variable, from its derivative alone: a line of slope s lies below f on
 * [lo, hi] from the least value of f(x) - s x on, and that is at an end, at a bend or where f'(x) = s. The
 * slopes are those of the convex and the concave hull at the middle of the box, of f at points of a
 * grid, so the area between the lines is about the least there is (Zhang et al. 2018, CROWN, section 3).
 *
 * Cost: about 200 evaluations of f and f'.
 */

/** Slope and offset of the lower line, then of the upper one. */
export type Lines = readonly [number, number, number, number];

export interface Curve {
  f(x: number): number;
  df(x: number): number;
  /** Ascending; between them and beyond f' is continuous and monotone. */
  readonly bends: readonly number[];
}

const GRID = 32;
const STEPS = 60;
/** Boxes so narrow that the slope in the middle is as good as any. */
const NARROW = 1e-6;

/** The lines around a curve over [lo, hi], lo <= hi, finite. */
export function linesAround(curve: Curve, lo: number, hi: number): Lines {
  const { f, df } = curve;
  const middle = lo + (hi - lo) / 2;
  const slopes = hi - lo < NARROW ? [df(middle), df(middle)] : hullSlopes(f, lo, hi);
  const offsets = slopes.map((slope) =>
    extremes(curve, slope, lo, hi).map((x) => f(x) - slope * x),
  );
  return [slopes[0]!, Math.min(...offsets[0]!), slopes[1]!, Math.max(...offsets[1]!)];
}

/** Slopes at the middle of the convex hull of f from below, and of the concave one from above. */
function hullSlopes(f: (x: number) => number, lo: number, hi: number): [number, number] {
  const y = Array.from({ length: GRID + 1 }, (_, i) => f(lo + ((hi - lo) * i) / GRID));
  // Of all chords over the middle, the one that is lowest there (or highest).
  const half = GRID / 2;
  const slope = (sign: 1 | -1): number => {
    let [best, found] = [Infinity, 0];
    for (let i = 0; i < half; i++)
      for (let j = half; j <= GRID; j++) {
        const rise = (y[j]! - y[i]!) / (j - i);
        const at = sign * (y[i]! + rise * (half - i));
        if (at < best) [best, found] = [at, rise];
      }
    return (found * GRID) / (hi - lo);
  };
  return [slope(1), slope(-1)];
}

/** Points of [lo, hi] among which f(x) - slope x has its least and its greatest value. */
function extremes({ df, bends }: Curve, slope: number, lo: number, hi: number): number[] {
  const ends = [lo, ...bends.filter((x) => lo < x && x < hi), hi];
  const inner = ends.slice(1).flatMap((b, i) => {
    const a = ends[i]!;
    // A little inside, as f' may jump at a bend; what it misses there is of second order.
    const inset = (x: number): number =>
      Math.min(2 ** -40 * Math.max(1, Math.abs(x)), 2 ** -20 * (b - a));
    let [from, to] = [a + inset(a), b - inset(b)];
    const rises = df(to) > df(from);
    if (!(from < to) || df(from) > slope === df(to) > slope) return [];
    for (let step = 0; step < STEPS; step++) {
      const x = from + (to - from) / 2;
      if (df(x) > slope === rises) to = x;
      else from = x;
    }
    return [from];
  });
  return [...ends, ...inner];
}
