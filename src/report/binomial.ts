/**
 * Confidence intervals of a measured proportion.
 *
 * Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the
 * binomial", Biometrika 26 (1934): the interval of all p that a two-sided exact binomial test does
 * not reject. It never covers less than promised, unlike the normal approximation, which for
 * n / n correct gives an interval of no width.
 *
 * Its ends are quantiles of beta distributions. The regularised incomplete beta function comes from
 * its continued fraction by the modified Lentz method (Thompson & Barnett 1986), the quantile by
 * bisection. Deviation: log-gamma is Stirling's series after an upward shift, not Lanczos' sum; its
 * coefficients are Bernoulli numbers one can check.
 *
 * Cost: about 50 evaluations an end, each O(sqrt(n)) terms.
 */
import { expect } from '../errors';
import type { Proportion } from './types';

/** The ends of a confidence interval, `0 <= lo <= hi <= 1`. */
export interface Interval {
  readonly lo: number;
  readonly hi: number;
}

/** The Clopper-Pearson interval of `correct` successes in `total` trials; [0, 1] for no trials. */
export function clopperPearson(correct: number, total: number, confidence = 0.95): Interval {
  expect(Number.isSafeInteger(total) && total >= 0, 'clopperPearson: total', 'a count', total);
  expect(
    Number.isSafeInteger(correct) && correct >= 0 && correct <= total,
    'clopperPearson: correct',
    `a count of at most ${total}`,
    correct,
  );
  expect(
    confidence > 0 && confidence < 1,
    'clopperPearson: confidence',
    'a number between 0 and 1',
    confidence,
  );
  const tail = (1 - confidence) / 2;
  const wrong = total - correct;
  return {
    lo: correct === 0 ? 0 : betaQuantile(tail, correct, wrong + 1),
    // The mirror image keeps the digits of a small 1 - hi, and makes the symmetry exact.
    hi: wrong === 0 ? 1 : 1 - betaQuantile(tail, wrong, correct + 1),
  };
}

/** A proportion with its 95 % interval. Of no trials: value 0 in [0, 1], so that JSON has no NaN. */
export function proportion(correct: number, total: number): Proportion {
  const { lo, hi } = clopperPearson(correct, total);
  return { value: total === 0 ? 0 : correct / total, correct, total, lo, hi };
}

/** The x at which I_x(a, b) = `probability`, to the last digits of a double. */
function betaQuantile(probability: number, a: number, b: number): number {
  let lo = 0;
  let hi = 1;
  for (let i = 0; i < 200; i++) {
    const middle = (lo + hi) / 2;
    if (middle <= lo || middle >= hi || hi - lo <= 1e-15 * hi) break;
    if (incompleteBeta(middle, a, b) < probability) lo = middle;
    else hi = middle;
  }
  return (lo + hi) / 2;
}

/** The regularised incomplete beta function I_x(a, b), for a, b >= 1. */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x),
  );
  // The fraction converges fast left of the mean only; right of it I_x(a,b) = 1 - I_{1-x}(b,a).
  if (x < (a + 1) / (a + b + 2)) return (front * betaFraction(x, a, b)) / a;
  return 1 - (front * betaFraction(1 - x, b, a)) / b;
}

/**
 * 1 / (1 + d1 / (1 + d2 / (1 + ...))) with
 * d_2m = m (b - m) x / ((a + 2m - 1)(a + 2m)),
 * d_2m+1 = -(a + m)(a + b + m) x / ((a + 2m)(a + 2m + 1)).
 */
function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const away = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let numerator = 1;
  let denominator = 1 / away(1 - ((a + b) * x) / (a + 1));
  let value = denominator;
  for (let m = 1; m < 100_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    let step = 1;
    for (const term of [even, odd]) {
      denominator = 1 / away(1 + term * denominator);
      numerator = away(1 + term / numerator);
      step = numerator * denominator;
      value *= step;
    }
    if (Math.abs(step - 1) < 1e-15) break;
  }
  return value;
}

/** ln Gamma(x) for x > 0: up to x >= 12 by the recurrence, then five terms of Stirling's series. */
function logGamma(x: number): number {
  let shift = 1;
  let z = x;
  while (z < 12) shift *= z++;
  const r = 1 / (z * z);
  const series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188)))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - Math.log(shift);
}
