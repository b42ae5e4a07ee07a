/**
 * Falsification, the search for counter-examples: centre and corners of the region, then projected gradient descent
 * on the slack of each disjunct from random starts (Madry et al. 2018; the step falls from a quarter
 * of each feature's width to a hundredth). Every other round follows all unsatisfied rows of a
 * disjunct and not just the worst, which gets out of their kinks. A point counts only as `confirm` says.
 */
import { STREAMS, uniform } from '../tensor/philox';
import { sizeOf } from '../tensor/shape';
import type { Budget } from './budget';
import { descend, outputsAt, type Points } from './descent';
import { outputsOf } from './head';
import { batchFor } from './methods';
import { confirm, type Subject, type Witness } from './outcome';
import type { OutputRows } from './problem';
import {
  distance,
  intoBox,
  isUnsafe,
  outerBox,
  type Region,
  type Specification,
  slackOf,
} from './specification';

export interface FalsifyOptions {
  readonly budget: Budget;
  readonly seed: number;
  /** Rounds [from, to) of random starts; round 0 begins with centre and corners. */
  readonly rounds: readonly [from: number, to: number];
  readonly steps?: number;
  /** Most points at once. */
  readonly points?: number;
}

const FIRST_STEP = 0.25;
const LAST_STEP = 0.01;
const CORNERS = 64;

/** Yields after every step; returns the first witness. */
export function* falsify(
  model: Subject,
  specification: Specification,
  rows: OutputRows,
  { budget, seed, rounds, steps = 40, points = 512 }: FalsifyOptions,
): Generator<void, Witness | undefined> {
  const { region } = specification;
  const size = region.lo.length;
  const largest = Math.max(size, ...model.graph.nodes.map(({ shape }) => sizeOf(shape)));
  const byRows = Math.floor(ROW_NUMBERS / Math.max(1, rows.matrix.length));
  const most = Math.max(1, Math.min(points, batchFor(8 * largest), byRows));
  if (rounds[0] === 0) {
    const found = firstUnsafe(model, specification, corners(region));
    if (found) return found;
  }
  const order = rounds[0] < rounds[1] && !budget.used() ? nearest(model, region, rows) : [0];
  for (let round = rounds[0]; round < rounds[1]; round++) {
    let x = starts(region, most, seed, round);
    const first = order.length > most ? round * most : 0;
    const disjunct = Int32Array.from(
      { length: most },
      (_, i) => order[(first + i) % order.length]!,
    );
    for (let k = 0; k <= steps; k++) {
      if (budget.used()) return undefined;
      const pull = round % 2 === 0 ? 'worst' : 'all';
      const { y, gradient } = descend(model, { x, disjunct }, rows, pull);
      const found = firstConfirmed(model, specification, x, y);
      if (found) return found;
      // A network of NaN has no unsafe outputs, and no way to them.
      if (y.every(Number.isNaN)) return undefined;
      const share = FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (k / steps);
      x = stepped(region, x, gradient, share);
      yield;
    }
  }
  return undefined;
}

/** Points of which descent goes on, and its steps, when only a first look is meant. */
const NEAR = { points: 8, steps: 12, share: 0.3 };

/**
 * A witness at one of the points, or a few steps of descent from those where the network comes nearest to their
 * disjunct.
 */
export function firstNear(
  model: Subject,
  specification: Specification,
  rows: OutputRows,
  { x, disjunct }: Points,
): Witness | undefined {
  const y = outputsAt(model, x, disjunct.length);
  const found = firstConfirmed(model, specification, x, y);
  if (found || y.every(Number.isNaN)) return found;
  const size = specification.region.lo.length;
  const slack = Array.from(disjunct, (d, i) => slackAt(y, i, d, rows));
  const nearest = [...slack.keys()].sort((a, b) => slack[a]! - slack[b]! || a - b);
  const few = nearest.slice(0, NEAR.points);
  const some = Int32Array.from(few, (i) => disjunct[i]!);
  let at: Float32Array = new Float32Array(few.length * size);
  few.forEach((i, k) => void at.set(x.subarray(i * size, (i + 1) * size), k * size));
  for (let k = 0; k <= NEAR.steps; k++) {
    const { y, gradient } = descend(model, { x: at, disjunct: some }, rows, 'worst');
    const witness = firstConfirmed(model, specification, at, y);
    if (witness) return witness;
    at = stepped(specification.region, at, gradient, NEAR.share * 0.1 ** (k / NEAR.steps));
  }
  return undefined;
}

/** How far outputs i are from disjunct d: the largest of its rows less their right sides. */
function slackAt(y: Float32Array, i: number, d: number, rows: OutputRows): number {
  const { outputs, matrix, rhs, start } = rows;
  let most = Number.NEGATIVE_INFINITY;
  for (let r = start[d]!; r < start[d + 1]!; r++) {
    let sum = -rhs[r]!;
    for (let j = 0; j < outputs; j++) sum += matrix[r * outputs + j]! * y[i * outputs + j]!;
    most = Math.max(most, sum);
  }
  return Number.isNaN(most) ? Number.POSITIVE_INFINITY : most;
}

/** Numbers of all rows that a batch of points is evaluated on. */
const ROW_NUMBERS = 1 << 24;

/** The disjuncts, those first that the region's centre is nearest to. */
function nearest(model: Subject, region: Region, rows: OutputRows): number[] {
  const { count, outputs, matrix, rhs, start } = rows;
  const all = Array.from({ length: Math.max(1, start.length - 1) }, (_, d) => d);
  if (all.length <= 64) return all;
  const y = outputsAt(model, corners(region).slice(0, region.lo.length), 1);
  const slack = new Float64Array(count).map((_, r) => {
    let sum = -rhs[r]!;
    for (let j = 0; j < outputs; j++) sum += matrix[r * outputs + j]! * y[j]!;
    return sum;
  });
  const worst = all.map((d) =>
    slack.subarray(start[d], start[d + 1]).reduce((a, b) => Math.max(a, b), -Infinity),
  );
  return all.sort((a, b) => worst[a]! - worst[b]! || a - b);
}

/** The first of the points [n, inputs] that is unsafe. */
function firstUnsafe(
  model: Subject,
  specification: Specification,
  x: Float32Array,
): Witness | undefined {
  const n = x.length / specification.region.lo.length;
  return n === 0 ? undefined : firstConfirmed(model, specification, x, outputsAt(model, x, n));
}

/** The most unsafe of the points whose network gives y, if `confirm` agrees. */
export function firstConfirmed(
  model: Subject,
  specification: Specification,
  x: Float32Array,
  y: Float32Array,
): Witness | undefined {
  const { region, unsafe } = specification;
  const size = region.lo.length;
  const outputs = (y.length * size) / x.length;
  let [best, least] = [-1, 0];
  for (let i = 0; i * size < x.length; i++) {
    const out = outputsOf(specification, y.subarray(i * outputs, (i + 1) * outputs));
    const slack = slackOf(unsafe, out);
    if (Number.isNaN(slack)) model.onDisagreement?.('one whose outputs are no finite numbers');
    if ((slack < least || best < 0) && slack <= 0 && isUnsafe(unsafe, out))
      [best, least] = [i, slack];
  }
  return best < 0
    ? undefined
    : confirm(model, specification, x.slice(best * size, (best + 1) * size));
}

/** The centre, and all corners of few inputs or the two extreme ones of many. */
function corners(region: Region): Float32Array {
  const { lo, hi } = outerBox(region);
  const size = lo.length;
  const count = 2 ** size <= CORNERS ? 2 ** size : 2;
  const points = new Float32Array((count + 1) * size);
  for (let i = 0; i < size; i++) points[i] = lo[i]! / 2 + hi[i]! / 2;
  for (let c = 0; c < count; c++)
    for (let i = 0; i < size; i++)
      points[(c + 1) * size + i] = (count === 2 ? c : (c >> i) & 1) === 1 ? hi[i]! : lo[i]!;
  return projected(region, points);
}

/**
 * Random starts: every other one anywhere in the region, the others on its faces, where each feature is at either end
 * or between them, as likely (extremes of few inputs are there more often than inside).
 */
function starts(region: Region, count: number, seed: number, round: number): Float32Array {
  const { lo, hi } = outerBox(region);
  const size = lo.length;
  const draws = uniform(seed, STREAMS.attack, round, count * size);
  const points = Float32Array.from(draws, (u, at) => {
    const i = at % size;
    const onFaces = Math.floor(at / size) % 2 === 1;
    const share = onFaces ? Math.min(Math.max(3 * u - 1, 0), 1) : u;
    return lo[i]! + share * (hi[i]! - lo[i]!);
  });
  return projected(region, points);
}

/** One step against the gradient's signs, by a share of each feature's width. */
function stepped(
  region: Region,
  x: Float32Array,
  gradient: Float32Array,
  share: number,
): Float32Array {
  const { lo, hi } = region;
  const next = x.map((v, at) => {
    const way = Math.sign(gradient[at]!);
    const i = at % lo.length;
    return Number.isNaN(way) ? v : v - way * share * (hi[i]! - lo[i]!);
  });
  return projected(region, next);
}

/** Points moved into the box, and towards the centre into the ball. */
function projected(region: Region, points: Float32Array): Float32Array {
  const { lo, ball } = region;
  const out = new Float32Array(points.length);
  for (let at = 0; at < points.length; at += lo.length) {
    const point = points.subarray(at, at + lo.length);
    const reach = ball ? distance(ball, point) : 0;
    // A little less than the radius, as float32 rounds the point again.
    const factor = ball && reach > ball.eps ? ((1 - 1e-6) * ball.eps) / reach : 1;
    const moved =
      ball && factor < 1
        ? point.map((v, i) => ball.centre[i]! + factor * (v - ball.centre[i]!))
        : point;
    out.set(intoBox(region, moved), at);
  }
  return out;
}
