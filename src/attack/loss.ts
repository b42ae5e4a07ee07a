/**
 * Losses of logits that attacks climb, each with its derivatives, in f64.
 *
 * Only their order and the direction of their gradients count, so each is a form of its own that cannot
 * round to a constant: a network that is sure of an image hides nothing.
 */
import type { Slope } from './search';

export interface LossAt {
  /** The larger, the nearer to a misclassification. */
  readonly value: number;
  /** Derivatives with respect to the logits. */
  readonly slope: Float64Array;
}

/** A loss of the logits of one image. */
export type Loss = (z: Float32Array) => LossAt;

export const slopeOf =
  (loss: Loss): Slope =>
  (z) =>
    loss(z).slope;

/**
 * Cross entropy as an order of points: log sum_{j != y} exp z_j - z_y. Cross entropy is log(1 + exp) of
 * it, which has the same maxima and directions and rounds to 0 where the network is sure.
 */
export const crossEntropy =
  (label: number): Loss =>
  (z) => {
    const top = z.reduce((m, v, j) => (j === label ? m : Math.max(m, v)), Number.NEGATIVE_INFINITY);
    const slope = Float64Array.from(z, (v, j) => (j === label ? 0 : Math.exp(v - top)));
    const total = slope.reduce((a, b) => a + b, 0);
    slope.forEach((v, j) => {
      slope[j] = v / total;
    });
    slope[label] = -1;
    return { value: top + Math.log(total) - z[label]!, slope };
  };

/** Margins of logits that losses with a scale of their own are tempered to: exp(-10) is 760 roundings. */
const SURE = 10;

/**
 * The loss of logits scaled down to a margin of 10 at the clean image, where that has more: exponentials, and weights
 * beside a distance, then work on networks that are very sure. No decision changes.
 */
export function tempered(loss: Loss, { margin }: { readonly margin: number }): Loss {
  const scale = Math.abs(margin) > SURE ? SURE / Math.abs(margin) : 1;
  if (scale === 1) return loss;
  return (z) => {
    const { value, slope } = loss(z.map((v) => scale * v));
    return { value, slope: slope.map((v) => scale * v) };
  };
}

/** Minus the cross entropy of a target, log softmax_t: what climbs towards it. */
export const targetCrossEntropy =
  (target: number): Loss =>
  (z) => {
    const top = z.reduce((m, v) => Math.max(m, v), Number.NEGATIVE_INFINITY);
    const slope = Float64Array.from(z, (v) => -Math.exp(v - top));
    const total = slope.reduce((a, b) => a - b, 0);
    const value = z[target]! - top - Math.log(total);
    slope.forEach((v, j) => {
      slope[j] = v / total + (j === target ? 1 : 0);
    });
    return { value, slope };
  };

/** z_t - z_y: a target's logit against the label's. */
export const logitDifference =
  (label: number, target: number): Loss =>
  (z) =>
    ratio(z, label, target, []);

/**
 * Difference of logits ratio (Croce and Hein 2020): (max_{j != y} z_j - z_y) / (z_(1) - z_(3)), z_(i) the i-th
 * largest. Of two classes, where there is no third, the difference alone.
 */
export const dlr =
  (label: number): Loss =>
  (z) => {
    const order = ranked(z);
    const rival = order[0] === label ? order[1]! : order[0]!;
    return ratio(z, label, rival, spread(order, 3));
  };

/**
 * Targeted form: (z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2). Of three classes the divisor is z_(1) - z_(3), of
 * two there is none.
 */
export const targetedDlr =
  (label: number, target: number): Loss =>
  (z) =>
    ratio(z, label, target, spread(ranked(z), 4));

/** What `describe` says of the losses of few classes. */
export const FEW_CLASSES = 'of 2 classes the difference of logits';
export const FEW_CLASSES_TARGETED = 'of 3 classes over z(1) - z(3), of 2 the difference of logits';

/** Classes by falling logit. */
const ranked = (z: Float32Array): number[] => [...z.keys()].sort((a, b) => z[b]! - z[a]! || a - b);

/** Coefficients of the divisor: the largest logit, less the mean of the third to the `last`. */
function spread(order: readonly number[], last: number): readonly (readonly [number, number])[] {
  const low = order.slice(2, last);
  if (low.length === 0) return [];
  return [[order[0]!, 1], ...low.map((j) => [j, -1 / low.length] as const)];
}

/** (z_t - z_y) / d, d a combination of logits, or 1; and its derivatives. */
function ratio(
  z: Float32Array,
  label: number,
  target: number,
  divisor: readonly (readonly [number, number])[],
): LossAt {
  // Logits that are all equal have no scale: the difference is 0 whatever it is divided by.
  const d = divisor.reduce((sum, [j, c]) => sum + c * z[j]!, 0) || 1;
  const value = (z[target]! - z[label]!) / d;
  const slope = new Float64Array(z.length);
  slope[target]! += 1 / d;
  slope[label]! -= 1 / d;
  for (const [j, c] of divisor) slope[j]! -= (c * value) / d;
  return { value, slope };
}
