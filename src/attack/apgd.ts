/**
 * Auto-PGD (Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
 * parameter-free attacks"): gradient ascent with momentum whose step, 2 eps at first, halves at checkpoints where
 * the loss rose in too few steps, or neither it nor the step changed since the last one; it then goes on from the best
 * point. Checkpoints are 0.22 of the steps apart, each interval shorter by 0.03, down to 0.06.
 *
 * Deviations: an image ends at its first misclassified point; the first rise is counted from the start's own loss,
 * where the authors' code compares with 0.
 */
import * as v from 'valibot';
import { NORM_NAMES } from '../domain/balls';
import { choice, real, whole } from '../options';
import { drawsOf, type SEARCHES } from './draws';
import {
  type ImageBall,
  intoBall,
  noiseIn,
  stepped,
  TWO_NORMS,
  type TwoNorm,
  tabulate,
} from './geometry';
import { type Loss, slopeOf } from './loss';
import {
  type Asking,
  type Found,
  foundAt,
  inOrder,
  type Search,
  type Subject,
  stronger,
} from './search';

/** Options of every form of Auto-PGD. */
export const APGD_OPTIONS = {
  steps: v.optional(whole(1), 100),
  restarts: v.optional(whole(1), 1),
  /** Least share of the steps between checkpoints in which the loss must rise. */
  rho: v.optional(real(0, 1), 0.75),
  norm: v.optional(choice(TWO_NORMS), 'linf'),
};

export interface ApgdOptions {
  readonly steps: number;
  readonly restarts: number;
  readonly rho: number;
  readonly norm: TwoNorm;
}

/** Steps between checkpoints: at first, by how many fewer each time, at least. */
export function intervals(steps: number): readonly [first: number, fewer: number, least: number] {
  const part = (share: number): number => Math.max(1, Math.floor(share * steps));
  return [part(0.22), part(0.03), part(0.06)];
}

/** Weight of a step beside the last movement. */
const MOMENTUM = 0.75;

/** Climbs a loss from a point of the ball. */
export function* apgd(
  subject: Subject,
  loss: Loss,
  start: Float32Array,
  { steps, rho, norm }: ApgdOptions,
): Search {
  const ball = { image: subject.image, eps: subject.eps, norm };
  let point = yield* pointAt(subject, loss, start);
  let [best, old, found, last] = [point, start, point.found, point.value];
  let size = 2 * subject.eps;
  const [first, fewer, least] = intervals(steps);
  let every = first;
  let [since, rises, halved, bestAtCheck] = [0, 0, true, best.value];
  for (let i = 0; i < steps && !found.broken; i++) {
    const next = stepWithMomentum(ball, point, old, size, i === 0 ? 1 : MOMENTUM);
    old = point.at;
    point = yield* pointAt(subject, loss, next);
    found = stronger(found, point.found);
    if (point.value > last) rises++;
    last = point.value;
    if (point.value > best.value) best = point;
    if (++since < every) continue;
    // Never at two checkpoints in a row for want of a better best.
    halved = rises <= rho * every || (!halved && !(best.value > bestAtCheck));
    bestAtCheck = best.value;
    if (halved) [size, point] = [size / 2, best];
    [every, since, rises] = [Math.max(every - fewer, least), 0, 0];
  }
  return found;
}

interface Point {
  readonly at: Float32Array;
  readonly gradient: Float32Array;
  readonly value: number;
  readonly found: Found;
}

function* pointAt(subject: Subject, loss: Loss, at: Float32Array): Asking<Point> {
  const [answer] = yield [{ image: at, slope: slopeOf(loss) }];
  const { z, gradient } = answer!;
  return { at, gradient, value: loss(z).value, found: foundAt(subject, at, z) };
}

/** A step, and the movement before it, both brought into the ball. */
function stepWithMomentum(
  ball: ImageBall,
  { at, gradient }: Point,
  old: Float32Array,
  size: number,
  share: number,
): Float32Array {
  const z = intoBall(ball, stepped(ball, at, gradient, size));
  const delta = tabulate(at.length, (i) => {
    const v = at[i]!;
    return v - ball.image[i]! + share * (z[i]! - v) + (1 - share) * (v - old[i]!);
  });
  return intoBall(ball, delta);
}

/** Climbs from random starts in turn; searches that share a stream of draws have numbers of their own. */
export function fromStarts(
  subject: Subject,
  search: keyof typeof SEARCHES,
  loss: Loss,
  o: ApgdOptions,
  number = 0,
): Search {
  const ball = { image: subject.image, eps: subject.eps, norm: o.norm };
  const climb = function* (restart: number): Search {
    const draws = drawsOf(subject, search, restart + 1000 * number);
    return yield* apgd(subject, loss, noiseIn(ball, draws), o);
  };
  return inOrder(Array.from({ length: o.restarts }, (_, restart) => climb(restart)));
}

/** An attack by Auto-PGD in words. */
export const apgdText = (name: string, o: ApgdOptions, eps: number): string =>
  `${name}, ${o.steps} steps, ${o.restarts} restart${o.restarts > 1 ? 's' : ''}, ${NORM_NAMES[o.norm]}, eps ${eps}`;
