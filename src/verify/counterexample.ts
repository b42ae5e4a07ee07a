/**
 * The search for counter-examples: centre and corners of the region, then projected gradient descent
 * on the slack of each disjunct from random starts (Madry et al. 2018; the step falls from a quarter
 * of each feature's width to a hundredth). Every other round follows all unsatisfied rows of a
 * disjunct and not just the worst, which gets out of their kinks. A point counts only as `confirm` says.
 */
import { STREAMS, uniform } from '../tensor/philox';
import { sizeOf } from '../tensor/shape';
import { batchFor } from './bounds';
import type { Budget } from './budget';
import { descend, outputsAt } from './descent';
import { confirm, type Subject, type Witness } from './outcome';
import {
  distance,
  intoBox,
  type OutputRows,
  outerBox,
  type Region,
  type Specification,
  slackOf,
} from './specification';

export interface HuntOptions {
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
export function* hunt(
  model: Subject,
  specification: Specification,
  rows: OutputRows,
  { budget, seed, rounds, steps = 40, points = 512 }: HuntOptions,
): Generator<void, Witness | undefined> {
  const { region, unsafe } = specification;
  const size = region.lo.length;
  const largest = Math.max(size, ...model.graph.nodes.map(({ shape }) => sizeOf(shape)));
  const most = Math.min(points, Math.max(unsafe.length, batchFor(8 * largest)));
  if (rounds[0] === 0) {
    const found = firstUnsafe(model, specification, corners(region));
    if (found) return found;
  }
  for (let round = rounds[0]; round < rounds[1]; round++) {
    let x = starts(region, most, seed, round);
    const disjunct = Int32Array.from({ length: most }, (_, i) => i % Math.max(1, unsafe.length));
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

/** The first of the points [n, inputs] that is unsafe. */
export function firstUnsafe(
  model: Subject,
  specification: Specification,
  x: Float32Array,
): Witness | undefined {
  const n = x.length / specification.region.lo.length;
  return n === 0 ? undefined : firstConfirmed(model, specification, x, outputsAt(model, x, n));
}

/** The most unsafe of the points with outputs y, if `confirm` agrees. */
export function firstConfirmed(
  model: Subject,
  specification: Specification,
  x: Float32Array,
  y: Float32Array,
): Witness | undefined {
  const size = specification.region.lo.length;
  const outputs = (y.length * size) / x.length;
  let [best, least] = [-1, 0];
  for (let i = 0; i * size < x.length; i++) {
    const slack = slackOf(specification.unsafe, y.subarray(i * outputs, (i + 1) * outputs));
    if (slack < least || (slack === 0 && best < 0)) [best, least] = [i, slack];
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

function starts(region: Region, count: number, seed: number, round: number): Float32Array {
  const { lo, hi } = outerBox(region);
  const size = lo.length;
  const draws = uniform(seed, STREAMS.attack, round, count * size);
  const points = Float32Array.from(draws, (u, at) => {
    const i = at % size;
    return lo[i]! + u * (hi[i]! - lo[i]!);
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
