/**
 * Statistics of what is measured by sampling: confidence intervals of a proportion, and quantiles of
 * the normal distribution.
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
 *
 * Normal quantiles: Wichura, "Algorithm AS 241: the percentage points of the normal distribution",
 * Applied Statistics 37 (1988), PPND16, with the coefficients published there,
 * rounded to doubles.
 */
import { expect } from './errors';

/** The ends of a confidence interval, `0 <= lo <= hi <= 1`. */
export interface Interval {
  readonly lo: number;
  readonly hi: number;
}

/** The largest of a list of any length (as arguments, `Math.max(...list)` takes some 100 000). */
export function largest(list: Iterable<number>): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const x of list) most = Math.max(most, x);
  return most;
}

/** The Clopper-Pearson interval of `correct` successes in `total` trials; [0, 1] for no trials. */
export function clopperPearson(correct: number, total: number, confidence = 0.95): Interval {
  checkCounts('clopperPearson', correct, total);
  expect(
    confidence > 0 && confidence < 1,
    'clopperPearson: confidence',
    'a number between 0 and 1',
    confidence,
  );
  const tail = (1 - confidence) / 2;
  return {
    lo: lowerEnd(correct, total, tail),
    // The mirror image keeps the digits of a small 1 - hi, and makes the symmetry exact.
    hi: 1 - lowerEnd(total - correct, total, tail),
  };
}

/**
 * One-sided Clopper-Pearson: a p that is above the true one with probability `alpha` at most, however
 * small alpha is: it is never taken from 1. To cover its own errors (tested against exact fractions) the
 * result is lowered by 1e-12 of itself, and alpha before by what the exponent below, a sum of terms of
 * up to about 2 n ln n, can lose in f64.
 */
export function lowerConfidence(successes: number, total: number, alpha: number): number {
  checkCounts('lowerConfidence', successes, total);
  expect(alpha > 0 && alpha < 1, 'lowerConfidence: alpha', 'a number between 0 and 1', alpha);
  const lost = 2 ** -47 * (total * Math.log(total + 2) + 100);
  return lowerEnd(successes, total, alpha * (1 - Math.min(lost, 1))) * (1 - 1e-12);
}

function checkCounts(who: string, correct: number, total: number): void {
  expect(Number.isSafeInteger(total) && total >= 0, `${who}: total`, 'a count', total);
  expect(
    Number.isSafeInteger(correct) && correct >= 0 && correct <= total,
    `${who}: correct`,
    `a count of at most ${total}`,
    correct,
  );
}

/** The p at which `correct` or more successes of `total` have the probability `tail`. */
const lowerEnd = (correct: number, total: number, tail: number): number =>
  correct === 0 ? 0 : betaQuantile(tail, correct, total - correct + 1);

/** The x at which I_x(a, b) = `probability`, to the last digits of a double and from below. */
function betaQuantile(probability: number, a: number, b: number): number {
  let lo = 0;
  let hi = 1;
  // Down to the smallest double there are fewer halvings.
  for (let i = 0; i < 1200; i++) {
    const middle = (lo + hi) / 2;
    if (middle <= lo || middle >= hi || hi - lo <= 1e-15 * hi) break;
    if (incompleteBeta(middle, a, b) < probability) lo = middle;
    else hi = middle;
  }
  return lo;
}

/** The regularised incomplete beta function I_x(a, b), for a, b > 0. */
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

/** Coefficients from the constant upwards. */
const rational = (x: number, above: readonly number[], below: readonly number[]): number => {
  const at = (c: readonly number[]): number => c.reduceRight((sum, term) => sum * x + term, 0);
  return at(above) / at(below);
};

// Three ranges: |p - 1/2| <= 0.425, then r = sqrt(-ln min(p, 1 - p)) up to 5, then beyond.
const MIDDLE = [
  [
    3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946,
    45921.95393154987, 67265.7709270087, 33430.57558358813, 2509.0809287301227,
  ],
  [
    1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597,
    39307.89580009271, 28729.085735721943, 5226.495278852854,
  ],
] as const;
const NEAR = [
  [
    1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045,
    1.2704582524523684, 0.2417807251774506, 0.022723844989269184, 0.0007745450142783414,
  ],
  [
    1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008,
    0.015198666563616457, 0.0005475938084995345, 1.0507500716444169e-9,
  ],
] as const;
const FAR = [
  [
    6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487,
    0.026532189526576124, 0.0012426609473880784, 2.7115555687434876e-5, 2.0103343992922881e-7,
  ],
  [
    1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133,
    1.8463183175100548e-5, 1.421511758316446e-7, 2.0442631033899397e-15,
  ],
] as const;

/** The x that a standard normal variable is below with probability p, 0 < p < 1; to 1e-15 or so. */
export function normalQuantile(p: number): number {
  expect(p > 0 && p < 1, 'normalQuantile', 'a number between 0 and 1', p);
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * rational(0.180625 - q * q, ...MIDDLE);
  const r = Math.sqrt(-Math.log(Math.min(p, 1 - p)));
  const x = r <= 5 ? rational(r - 1.6, ...NEAR) : rational(r - 5, ...FAR);
  return q < 0 ? -x : x;
}

/** (|x| + 3.5) times Mills' ratio over sqrt(2 pi), in (|x| - 3.5) / (|x| + 3.5), from degree 20 down. */
const MILLS = [
  -1.2668220981814619e-8, -2.7897263844947032e-8, 7.551214793046463e-8, 2.7354476334567263e-7,
  -8.89742619172127e-8, -1.4433291613210907e-6, -1.20074276412309e-6, 5.619750712675711e-6,
  1.1520159731204747e-5, -1.877158435545709e-5, -7.55871016292134e-5, 6.702749219265968e-5,
  0.00047665705525689803, -0.0004450118090464165, -0.0031891009522064515, 0.00647621879442988,
  0.01740783258815051, -0.1160509287076822, 0.3154249698885718, -0.565561816053876,
  0.744416075435934,
] as const;

/** The density of the standard normal distribution. */
export const normalDensity = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/**
 * The probability that a standard normal variable is below x, to 3e-14 of itself in the lower tail too:
 * the density times Mills' ratio, fitted at Chebyshev's points.
 */
export function normalCdf(x: number): number {
  const shifted = Math.abs(x) + 3.5;
  const u = (Math.abs(x) - 3.5) / shifted;
  const tail = (Math.exp((-x * x) / 2) / shifted) * MILLS.reduce((sum, c) => sum * u + c, 0);
  if (Number.isNaN(tail)) return x > 0 ? 1 : x < 0 ? 0 : Number.NaN;
  return x < 0 ? tail : 1 - tail;
}

/**
 * The t > 0 that a variable of Student's distribution is below with probability p in (1/2, 1), to 1e-9 of
 * itself: P(|T| > t) = I_x(df/2, 1/2) at x = df / (df + t^2), by bisection.
 */
export function studentQuantile(p: number, df: number): number {
  expect(p > 0.5 && p < 1, 'studentQuantile', 'a number between 1/2 and 1', p);
  expect(Number.isInteger(df) && df > 0, 'studentQuantile', 'degrees of freedom >= 1', df);
  const beyond = (t: number): number => incompleteBeta(df / (df + t * t), df / 2, 0.5) / 2;
  let [lo, hi] = [0, 1];
  while (beyond(hi) > 1 - p) hi *= 2;
  for (let i = 0; i < 200 && hi - lo > 1e-12 * hi; i++) {
    const middle = (lo + hi) / 2;
    if (beyond(middle) > 1 - p) lo = middle;
    else hi = middle;
  }
  return (lo + hi) / 2;
}

/** A mean with its confidence interval, which fewer than two values do not have. */
export interface Mean {
  readonly mean: number;
  readonly lo: number | null;
  readonly hi: number | null;
  readonly count: number;
}

/** The mean of at least one value with its 95 % interval by Student's distribution. */
export function meanOf(values: readonly number[]): Mean {
  const count = values.length;
  expect(count > 0, 'meanOf', 'at least one value', 'none');
  const mean = values.reduce((sum, x) => sum + x, 0) / count;
  if (count < 2) return { mean, lo: null, hi: null, count };
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (count - 1);
  const half = studentQuantile(0.975, count - 1) * Math.sqrt(variance / count);
  return { mean, lo: mean - half, hi: mean + half, count };
}

/**
 * McNemar's exact test (1947): two-sided probability, under no difference, of a split at least as uneven as
 * `onlyA` to `onlyB` of the pairs in which the two differ: twice a tail of the binomial distribution of 1/2.
 */
export function mcnemar(onlyA: number, onlyB: number): number {
  const total = onlyA + onlyB;
  checkCounts('mcnemar', onlyA, total);
  const few = Math.min(onlyA, onlyB);
  if (2 * few >= total - 1) return 1;
  return Math.min(1, 2 * incompleteBeta(0.5, total - few, few + 1));
}
