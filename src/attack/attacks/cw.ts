/**
 * Attack of Carlini and Wagner (2017, "Towards evaluating the robustness of neural networks"): the least perturbation
 * that is misclassified, by Adam on x' = (tanh w + 1) / 2. L2: |x' - x|^2 + c f, where f = max(z_y - max z_j, -kappa) and c
 * is searched by tens, then by halving. L-infinity: sum max(|x' - x| - tau, 0) + c f, where tau falls to 0.9 of
 * itself as long as it succeeds.
 *
 * Deviations: an image ends at its first misclassified point inside the ball; tau begins at eps, not at 1, as larger
 * perturbations are of no use.
 */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { choice, real, whole } from '../../options';
import { attack } from '../attack';
import {
  difference,
  intoBall,
  isInside,
  squashed,
  TWO_NORMS,
  type TwoNorm,
  unsquashed,
} from '../geometry';
import { type Loss, slopeOf, tempered } from '../loss';
import {
  type Asking,
  cleanLogits,
  type Found,
  foundAt,
  logitsAt,
  type Subject,
  stronger,
} from '../search';

const options = v.strictObject({
  /** Steps of Adam for each c. */
  steps: v.optional(whole(1), 1000),
  /** Values of c that are tried. */
  searches: v.optional(whole(1), 9),
  /** The first c. */
  c: v.optional(real(1e-12), 1e-3),
  learningRate: v.optional(real(1e-9), 0.01),
  /** Margin of the wrong class that is asked for. */
  kappa: v.optional(real(0), 0),
  norm: v.optional(choice(TWO_NORMS), 'l2'),
});
type Options = v.InferOutput<typeof options>;

export const cw = attack({
  name: 'cw',
  about: 'Carlini and Wagner: steps, searches, c, learningRate, kappa, norm',
  options,
  describe: (o, eps) =>
    `C&W, ${o.searches} searches of ${o.steps} steps, kappa ${o.kappa}, ${NORM_NAMES[o.norm]}, eps ${eps}`,
  norm: (o) => o.norm,
  passes: (o) => 3 * o.searches * o.steps,
  *search(subject, o) {
    const clean = foundAt(subject, subject.image, yield* cleanLogits(subject));
    const loss = tempered(marginLoss(subject.label, o.kappa), clean);
    let found: Found | undefined;
    let [c, low, high, tau] = [o.c, 0, Number.POSITIVE_INFINITY, subject.eps];
    for (let i = 0; i < o.searches; i++) {
      const tried = yield* minimise(subject, loss, { ...o, c, tau });
      found = stronger(found, tried.found);
      if (found.broken) break;
      if (tried.succeeded) [high, tau] = [c, 0.9 * tau];
      else low = c;
      // Tens, up or down, until one value fails and another succeeds; then halves.
      if (low === 0) c /= 10;
      else c = high < Number.POSITIVE_INFINITY ? (low + high) / 2 : 10 * c;
    }
    return found!;
  },
});

/** f and its derivatives, negated, as attacks climb: min(max z_j - z_y, kappa). */
const marginLoss =
  (label: number, kappa: number): Loss =>
  (z) => {
    const best = z.reduce((b, v, j) => (j !== label && (b < 0 || v > z[b]!) ? j : b), -1);
    const value = z[best]! - z[label]!;
    const slope = new Float64Array(z.length);
    if (value < kappa) [slope[best], slope[label]] = [1, -1];
    return { value: Math.min(value, kappa), slope };
  };

/** Adam for one c; whether any point was misclassified, and the strongest in the ball. */
function* minimise(
  subject: Subject,
  loss: Loss,
  o: Options & { readonly tau: number },
): Asking<{ readonly found: Found; readonly succeeded: boolean }> {
  const { image, eps } = subject;
  const ball = { image, eps, norm: o.norm };
  const slope = slopeOf(loss);
  const w = unsquashed(image);
  const adam = adamOf(w, o.learningRate);
  let [found, succeeded]: [Found | undefined, boolean] = [undefined, false];
  for (let i = 0; i < o.steps; i++) {
    const at = squashed(w);
    const [answer] = yield [{ image: at, slope }];
    const here = foundAt(subject, at, answer!.z);
    succeeded ||= here.broken;
    if (isInside(ball, at)) found = stronger(found, here);
    if (found?.broken) break;
    adam((p) => {
      const delta = at[p]! - image[p]!;
      const cost = sizeSlope(o.norm, delta, o.tau) - o.c * answer!.gradient[p]!;
      return 2 * at[p]! * (1 - at[p]!) * cost;
    });
  }
  if (!found?.broken) {
    const last = intoBall(ball, difference(squashed(w), image));
    found = stronger(found, foundAt(subject, last, yield* logitsAt(last)));
  }
  return { found: found!, succeeded };
}

/** Derivative of a pixel's share of the size. */
function sizeSlope(norm: TwoNorm, delta: number, tau: number): number {
  if (norm === 'l2') return 2 * delta;
  return Math.abs(delta) > tau ? Math.sign(delta) : 0;
}

/** Steps of Adam (Kingma and Ba 2015) in place, given each derivative. */
function adamOf(w: Float64Array, rate: number): (slope: (p: number) => number) => void {
  const [first, second] = [new Float64Array(w.length), new Float64Array(w.length)];
  let step = 0;
  return (slope) => {
    step++;
    for (let p = 0; p < w.length; p++) {
      const g = slope(p);
      first[p] = 0.9 * first[p]! + 0.1 * g;
      second[p] = 0.999 * second[p]! + 0.001 * g * g;
      const scale = Math.sqrt(second[p]! / (1 - 0.999 ** step)) + 1e-8;
      w[p]! -= (rate * first[p]!) / (1 - 0.9 ** step) / scale;
    }
  };
}
