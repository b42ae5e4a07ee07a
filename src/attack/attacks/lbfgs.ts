/**
 * L-BFGS attack (Szegedy et al. 2014): the least c |x' - x|^2 + loss(x', t) towards the likeliest other classes, for falling
 * c, by limited-memory BFGS with a backtracking line search. A baseline: newer attacks find more for less.
 *
 * Deviations: the box is kept by x' = (tanh w + 1) / 2, not by bounds of the optimiser; the loss is the cross entropy of
 * the target; an image ends at its first misclassified point inside the ball.
 */
import * as v from 'valibot';
import { real, whole } from '../../options';
import { attack } from '../attack';
import { difference, intoBall, isInside, squashed, tabulate, unsquashed } from '../geometry';
import { lbfgsDirection, type Pair } from '../lbfgs';
import { type Loss, slopeOf, targetCrossEntropy, tempered } from '../loss';
import {
  type Asking,
  cleanLogits,
  type Found,
  foundAt,
  logitsAt,
  rivalsOf,
  type Subject,
  stronger,
} from '../search';

export const lbfgs = attack({
  name: 'lbfgs',
  about: 'L-BFGS attack: steps, searches, c, targets',
  options: v.strictObject({
    steps: v.optional(whole(1), 30),
    /** Values of c that are tried, each a tenth of the one before. */
    searches: v.optional(whole(1), 4),
    /** Weight of the perturbation, at first. */
    c: v.optional(real(1e-12), 1),
    targets: v.optional(whole(1), 3),
  }),
  describe: (o, eps) =>
    `L-BFGS, ${o.targets} targets, ${o.searches} searches of ${o.steps} steps, L2, eps ${eps}`,
  norm: () => 'l2',
  passes: (o) => 6 * o.targets * o.searches * o.steps,
  *search(subject, o) {
    let found: Found | undefined;
    const z = yield* cleanLogits(subject);
    const clean = foundAt(subject, subject.image, z);
    for (const target of rivalsOf(subject, z).slice(0, o.targets)) {
      const loss = tempered(targetCrossEntropy(target), clean);
      for (let i = 0; i < o.searches; i++) {
        found = stronger(found, yield* minimise(subject, loss, o.c / 10 ** i, o.steps));
        if (found.broken) return found;
      }
    }
    return found!;
  },
});

interface Point {
  readonly w: Float64Array;
  readonly value: number;
  readonly slope: Float64Array;
  readonly found: Found;
  readonly inside: boolean;
}

/** Value and derivatives with respect to w of the objective. */
function* pointAt(subject: Subject, w: Float64Array, loss: Loss, c: number): Asking<Point> {
  const { image, eps } = subject;
  const at = squashed(w);
  const [answer] = yield [{ image: at, slope: slopeOf(loss) }];
  const { z, gradient } = answer!;
  const size = at.reduce((sum, v, p) => sum + (v - image[p]!) ** 2, 0);
  const slope = tabulate(at.length, (p) => {
    const v = at[p]!;
    const cost = 2 * c * (v - image[p]!) - gradient[p]!;
    return 2 * v * (1 - v) * cost;
  });
  const inside = isInside({ image, eps, norm: 'l2' }, at);
  return { w, value: c * size - loss(z).value, slope, found: foundAt(subject, at, z), inside };
}

function* minimise(subject: Subject, loss: Loss, c: number, steps: number): Asking<Found> {
  const { image, eps } = subject;
  const start = unsquashed(image);
  let point = yield* pointAt(subject, start, loss, c);
  const pairs: Pair[] = [];
  for (let i = 0; i < steps; i++) {
    if (point.found.broken && point.inside) return point.found;
    const way = lbfgsDirection(point.slope, pairs);
    const next = yield* downhill(subject, point, way, { loss, c });
    if (!next) break;
    pairs.push({
      s: next.w.map((v, p) => v - point.w[p]!),
      y: next.slope.map((v, p) => v - point.slope[p]!),
    });
    if (pairs.length > 10) pairs.shift();
    point = next;
  }
  if (point.found.broken && point.inside) return point.found;
  const last = intoBall({ image, eps, norm: 'l2' }, difference(point.found.image, image));
  return foundAt(subject, last, yield* logitsAt(last));
}

/** The first point along the way that lowers the objective enough (Armijo), in halves; none after ten. */
function* downhill(
  subject: Subject,
  point: Point,
  way: Float64Array,
  { loss, c }: { readonly loss: Loss; readonly c: number },
): Asking<Point | undefined> {
  const rate = way.reduce((sum, d, p) => sum + d * point.slope[p]!, 0);
  for (let t = 1, i = 0; i < 10; t /= 2, i++) {
    const w = point.w.map((v, p) => v + t * way[p]!);
    const next = yield* pointAt(subject, w, loss, c);
    if (next.value <= point.value + 1e-4 * t * rate) return next;
  }
  return undefined;
}
