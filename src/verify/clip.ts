/**
 * Clipping of boxes by linear bounds (after Clip-and-Verify, Zhou et al. 2025; here by each row and axis alone): of a
 * box that is not proven, only the part where the bounds leave unsafe outputs possible is divided further.
 *
 * For x in a box a row's bound says row . y >= lower + sum A_j (x_j - m_j), m the corner where A . x is least, so that
 * no term is below 0. Unsafe outputs need row . y <= rhs, hence |A_j| |x_j - m_j| <= rhs - lower for every j. What lies
 * further from m than that, and a little, is cut away; of a disjunct by all of its rows, of a box what all of its
 * open disjuncts have cut (docs/numerics.md, "Clipping"). Cost: one division a row and axis.
 */
import { F64_U, F64_UP } from '../domain/rounding';
import type { InputShares } from './methods';
import type { OutputRows } from './problem';

/** Share of the gap rhs - lower by which what is cut is at least away from unsafe. */
const FLOOR = 2 ** -10;

export interface Clip {
  readonly lo: Float32Array;
  readonly hi: Float32Array;
  /** Proven distance from unsafe of all that was cut away; Infinity where nothing was. */
  readonly floor: number;
  /** True where nothing is left. */
  readonly isEmpty: boolean;
}

/** What a bounded sample has: its box, and bounds and coefficients of all samples. */
export interface Clippable {
  readonly sample: number;
  readonly lo: Float32Array;
  readonly hi: Float32Array;
  readonly lower: Float64Array;
  readonly coefficients: InputShares['coefficients'];
}

/** The part of a sample's box that its open disjuncts leave. The bounds must be those over the box, and no less. */
export function clip({ count, rhs, start }: OutputRows, at: Clippable): Clip {
  const { sample, lower } = at;
  const inputs = at.lo.length;
  const [lo, hi] = [
    new Float32Array(inputs).fill(Infinity),
    new Float32Array(inputs).fill(-Infinity),
  ];
  let floor = Number.POSITIVE_INFINITY;
  for (let d = 0; d + 1 < start.length; d++) {
    const part = { lo: at.lo.slice(), hi: at.hi.slice() };
    let isProven = false;
    for (let r = start[d]!; r < start[d + 1]!; r++) {
      const bound = lower[sample * count + r]!;
      const gap = rhs[r]! - bound;
      if (gap < 0 && Number.isFinite(bound)) isProven = true;
      else if (cutByRow(part, at, sample * count + r, gap)) floor = Math.min(floor, FLOOR * gap);
    }
    if (isProven || part.lo.some((low, j) => low > part.hi[j]!)) continue;
    for (let j = 0; j < inputs; j++) {
      lo[j] = Math.min(lo[j]!, part.lo[j]!);
      hi[j] = Math.max(hi[j]!, part.hi[j]!);
    }
  }
  return { lo, hi, floor, isEmpty: lo[0]! > hi[0]! };
}

/** Cuts what is too far from the corner where the row's bound is least; whether that is anything. */
function cutByRow(
  part: Pick<Clip, 'lo' | 'hi'>,
  { lo, hi, coefficients }: Clippable,
  row: number,
  gap: number,
): boolean {
  // Cut points are FLOOR gap beyond: of a gap that is 0 or no number nothing is cut.
  const reach = gap > 0 ? gap * (1 + FLOOR) * F64_UP : Number.POSITIVE_INFINITY;
  let isCut = false;
  for (let j = 0; j < lo.length; j++) {
    const a = coefficients[row * lo.length + j]!;
    const far = reach / Math.abs(a);
    if (!(far < hi[j]! - lo[j]!) || !Number.isFinite(a)) continue;
    const end = a > 0 ? lo[j]! + far : hi[j]! - far;
    const outward = roundedUp(a > 0 ? end + Math.abs(end) * F64_U : -end + Math.abs(end) * F64_U);
    isCut = true;
    if (a > 0) part.hi[j] = Math.min(part.hi[j]!, outward);
    else part.lo[j] = Math.max(part.lo[j]!, -outward);
  }
  return isCut;
}

const WORD = new Int32Array(1);
const VALUE = new Float32Array(WORD.buffer);

/** The smallest float32 number that is not below v. */
function roundedUp(v: number): number {
  VALUE[0] = v;
  if (VALUE[0] >= v) return VALUE[0];
  if (VALUE[0] === 0) return 2 ** -149;
  WORD[0]! += v > 0 ? 1 : -1;
  return VALUE[0]!;
}
