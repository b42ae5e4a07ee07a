/**
 * Fast adaptive boundary attack (Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive
 * boundary attack"): steps onto the linearised boundary to the nearest class, biased towards the clean image, and back
 * a tenth of the way from each adversarial point. It looks for the nearest adversarial point whatever the radius.
 *
 * Deviation: an image ends at the first adversarial point inside its ball, as nearer ones break no more.
 */
import * as v from 'valibot';
import { choice, real, whole } from '../options';
import { drawsOf } from './draws';
import { isInside, lengthOf, noiseIn, TWO_NORMS, type TwoNorm, toPlane } from './geometry';
import { logitDifference, slopeOf } from './loss';
import {
  type Answer,
  type Found,
  foundAt,
  inOrder,
  logitsAt,
  type Search,
  type Subject,
} from './search';

/** Options of both forms. */
export const FAB_OPTIONS = {
  steps: v.optional(whole(1), 100),
  /** The first begins at the clean image, others half way to a random point. */
  restarts: v.optional(whole(1), 1),
  /** Largest weight of the step from the clean image. */
  alphaMax: v.optional(real(0, 1), 0.1),
  /** Overshoot of a step onto the boundary. */
  eta: v.optional(real(1), 1.05),
  /** Distance kept of an adversarial point, as a share. */
  beta: v.optional(real(0, 1), 0.9),
  norm: v.optional(choice(TWO_NORMS), 'linf'),
};

export interface FabOptions {
  readonly steps: number;
  readonly restarts: number;
  readonly alphaMax: number;
  readonly eta: number;
  readonly beta: number;
  readonly norm: TwoNorm;
}

/** Looks for the boundaries to some classes, the nearest of them at every step, from every start. */
export function fabTowards(
  subject: Subject,
  rivals: readonly number[],
  search: 'fab' | 'fabT',
  o: FabOptions,
): Search {
  const ball = { image: subject.image, eps: subject.eps, norm: o.norm };
  const from = function* (restart: number): Search {
    const draws = drawsOf(subject, search, restart + 1000 * rivals[0]!);
    const start = restart === 0 ? subject.image : noiseIn(ball, draws, subject.eps / 2);
    return yield* fab(subject, rivals, start, o);
  };
  return inOrder(Array.from({ length: o.restarts }, (_, restart) => from(restart)));
}

function* fab(
  subject: Subject,
  rivals: readonly number[],
  start: Float32Array,
  o: FabOptions,
): Search {
  const { image, eps, label } = subject;
  let at = start;
  // The start, which lies in the ball, stands for the result until a point of the ball is broken.
  let found: Found | undefined;
  const slopes = rivals.map((target) => slopeOf(logitDifference(label, target)));
  for (let i = 0; i < o.steps; i++) {
    const answers = yield slopes.map((slope) => ({ image: at, slope }));
    found ??= foundAt(subject, at, answers[0]!.z);
    if (found.broken) break;
    const plane = nearestPlane(label, rivals, answers, o.norm);
    if (!plane) break;
    const next = towards(subject, at, plane, o);
    const here = foundAt(subject, next, yield* logitsAt(next));
    if (here.broken && isInside({ image, eps, norm: o.norm }, next)) return here;
    at = here.broken ? next.map((v, p) => image[p]! + o.beta * (v - image[p]!)) : next;
  }
  return found!;
}

interface Plane {
  /** w . delta = c is where the linearised difference of logits is 0. */
  readonly w: Float32Array;
  readonly c: number;
}

/** The nearest of the linearised boundaries; none where no gradient leads to one. */
function nearestPlane(
  label: number,
  rivals: readonly number[],
  answers: readonly Answer[],
  norm: TwoNorm,
): Plane | undefined {
  let [nearest, least]: [Plane | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
  for (const [i, { z, gradient }] of answers.entries()) {
    const c = z[label]! - z[rivals[i]!]!;
    const distance = Math.abs(c) / lengthOf(norm === 'linf' ? 'l1' : 'l2', gradient);
    if (distance < least) [nearest, least] = [{ w: gradient, c }, distance];
  }
  return nearest;
}

/** A step onto the plane, from the point and from the clean image, weighted by how far each has to go. */
function towards(
  { image }: Subject,
  at: Float32Array,
  { w, c }: Plane,
  { alphaMax, eta, norm }: FabOptions,
): Float32Array {
  const moved = at.reduce((sum, v, p) => sum + w[p]! * (v - image[p]!), 0);
  const [near, far] = [toPlane(norm, at, w, c), toPlane(norm, image, w, c + moved)];
  const [a, b] = [near, far].map((delta) => Math.max(1e-8, lengthOf(norm, delta)));
  const alpha = Math.min(a! / (a! + b!), alphaMax);
  return at.map((v, p) => {
    const mixed = (1 - alpha) * (v + eta * near[p]!) + alpha * (image[p]! + eta * far[p]!);
    return Math.min(1, Math.max(0, mixed));
  });
}
