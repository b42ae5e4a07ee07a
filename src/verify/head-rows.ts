/**
 * Linear rows of logits z that hold wherever a property of p = softmax(z), or of y = log-softmax(z),
 * does: bounds that refute them prove the property's unsafe outputs away.
 *
 * As the shares p add up to 1, w . p <= c says sum a_j e^(z_j) <= 0 with a = w - c, exactly. With the
 * positive terms P and the negative ones N that is sum_N |a_k| e^(z_k) >= sum_P a_p e^(z_p), and for any
 * weights mu and lambda that add up to 1, by the inequality of arithmetic and geometric means,
 *
 *     for one k of N:  sum mu_p z_p - z_k <= log(|a_k| / lambda_k) - sum mu_p log(a_p / mu_p).
 *
 * With one term on each side (the order of two outputs, a threshold among two classes) nothing is lost.
 * log-softmax is z - L, L = log sum e^z, with max(z_p, sum mu_p (z_p - log mu_p)) <= L <= max z + log n.
 *
 * Rounding: of a runtime's float32 softmax a share may be off by `softmaxError` of itself and by
 * `SOFTMAX_UNDERFLOW`; a log-softmax y by `softmaxError` (1 + |y|). Both are counted here (docs/numerics.md).
 */
import { F64_FEW, F64_MANY, SOFTMAX_UNDERFLOW, softmaxError } from '../domain/rounding';
import { expect } from '../errors';
import type { Head } from './head';
import type { Conjunction } from './specification';

/** Some weights of logits, and a right side that they are at most. */
interface LogitRow {
  readonly weights: ReadonlyMap<number, number>;
  readonly rhs: number;
}

/** Beyond this error rows are refused: they divide by 1 - error, and prove nothing anyway. */
const MOST_ERROR = 1 / 4;
/** A sum of numbers of these sizes, moved by more than its rounding. */
const outward = (v: number, size = Math.abs(v)): number => v + F64_MANY * (1 + size);
/** Terms smaller than this share of the largest count as roundings. */
const SMALL = 1e-20;
/** The share of lambda that those get together. */
const ASIDE = 2 ** -16;
const MAX_NUMBERS = 2 ** 23;
/** Alternatives of a conjunction that are multiplied out; beyond that rows are left out, which is safe. */
const MAX_PRODUCT = 64;
const MAX_PIVOTS = 64;

/** The property on logits: unsafe wherever `unsafe` is of the outputs behind `head`. */
export function logitRows(
  unsafe: readonly Conjunction[],
  head: Head | undefined,
  outputs: number,
): readonly Conjunction[] {
  if (!head) return unsafe;
  const advice = `Verify the model without its last ${head}.`;
  expect(
    softmaxError(outputs) < MOST_ERROR,
    'property',
    `fewer outputs of a ${head}`,
    outputs,
    advice,
  );
  const few = `fewer outputs of a ${head} in relation to each other`;
  const disjuncts: LogitRow[][] = [];
  let count = 0;
  for (const one of unsafe) {
    const found = relaxed(one, head, outputs);
    count += found.reduce((sum, rows) => sum + rows.length, 0);
    expect(count <= MAX_NUMBERS / 8, 'property', few, `${count} rows`, advice);
    disjuncts.push(...found);
  }
  const rows = conjunctionsOf(disjuncts, outputs);
  const numbers = rows.reduce((sum, one) => sum + one.rows.length * outputs, 0);
  expect(numbers <= MAX_NUMBERS, 'property', few, `${numbers} numbers`, advice);
  return rows;
}

function relaxed(one: Conjunction, head: Head, outputs: number): LogitRow[][] {
  if (head === 'softmax') return combined(softmaxSums(one, outputs).map(relaxedSum), outputs);
  const single = one.rows.every((row) => row.filter((w) => w !== 0).length === 1);
  return single
    ? combined(thresholdSums(one, outputs).map(relaxedSum), outputs)
    : logRows(one, outputs);
}

/** Coefficients a of sum a_j e^(z_j) <= 0 for every row of shares. */
function softmaxSums({ rows, rhs }: Conjunction, outputs: number): Float64Array[] {
  return rows.map((row, k) => {
    const size = row.reduce((sum, w) => sum + Math.abs(w), 0);
    const c = rhs[k]! + SOFTMAX_UNDERFLOW * size;
    return row.map(
      (w) => w - c - softmaxError(outputs) * Math.abs(w) - F64_FEW * (Math.abs(w) + Math.abs(c)),
    );
  });
}

/** Coefficients of the same for rows on one log-softmax each: w y_j <= c. */
function thresholdSums({ rows, rhs }: Conjunction, outputs: number): Float64Array[] {
  const error = softmaxError(outputs);
  return rows.map((row, k) => {
    const j = row.findIndex((w) => w !== 0);
    const w = row[j]!;
    // y <= 0, so an error of `error` (1 + |y|) is one of w and of the right side.
    const t = outwardOf((rhs[k]! + error * Math.abs(w)) / (w + error * Math.abs(w)), Math.sign(w));
    const share =
      w > 0 ? Math.max(Math.exp(t), 1e-300) * (1 + F64_FEW) : Math.exp(t) * (1 - F64_FEW);
    const own = Math.abs(share - 1) * F64_FEW;
    return Float64Array.from({ length: outputs }, (_, i) => {
      const a = w > 0 ? -share : share;
      return i === j ? a + Math.sign(w) - own - 1e-15 : a;
    });
  });
}

const outwardOf = (v: number, sign: number): number => v + sign * F64_MANY * (1 + Math.abs(v));

/** Rows that a sum implies: one of the alternatives `main`, each of rows together, or one row of `aside`. */
interface Implied {
  readonly main: readonly (readonly LogitRow[])[];
  readonly aside: readonly LogitRow[];
}

/** Rows that sum a_j e^(z_j) <= 0 implies; undefined where that is nothing. */
function relaxedSum(a: Float64Array): Implied | undefined {
  const size = a.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const places = [...a.keys()];
  const positive = places.filter((j) => a[j]! > 0);
  if (positive.length === 0 || !(size < Number.POSITIVE_INFINITY)) return undefined;
  const large = positive.filter((j) => a[j]! > SMALL * size);
  const plus = large.length > 0 ? large : positive;
  const main = places.filter((j) => a[j]! < -SMALL * size);
  const aside = places.filter((j) => a[j]! < 0 && a[j]! >= -SMALL * size);
  const total = main.reduce((sum, j) => sum - a[j]!, 0);
  const kept = main.length === 0 ? 0 : aside.length === 0 ? 1 : 1 - ASIDE;
  const row = (k: number, lambda: number, mu: Mu): LogitRow => {
    let rhs = Math.log(-a[k]!) - Math.log(lambda);
    for (const [p, share] of mu) rhs -= share * Math.log(a[p]! / share);
    return { weights: new Map([...mu, [k, -1]]), rhs: outward(rhs) };
  };
  const means = meansOf(a, plus, main.length <= 1 && aside.length * plus.length <= 4096);
  const mains = (k: number): LogitRow[] => {
    const used = main.length === 1 ? means : means.slice(0, 1);
    return used.map((mu) => row(k, (kept * -a[k]!) / total, mu));
  };
  return {
    main: main.map(mains),
    aside: means.flatMap((mu) => aside.map((k) => row(k, (1 - kept) / aside.length, mu))),
  };
}

/** Weights that add up to 1 exactly: of multiples of 2^-20. */
type Mu = readonly (readonly [p: number, share: number])[];

/** Weights in proportion to a; where all are wanted, also each term by itself. */
function meansOf(a: Float64Array, plus: readonly number[], all: boolean): Mu[] {
  const total = plus.reduce((sum, p) => sum + a[p]!, 0);
  const parts = new Map(plus.map((p) => [p, Math.floor((2 ** 20 * a[p]!) / total)]));
  const top = plus.reduce((b, p) => (a[p]! > a[b]! ? p : b));
  const given = [...parts.values()].reduce((x, y) => x + y, 0);
  parts.set(top, parts.get(top)! + 2 ** 20 - given);
  const mean = [...parts].filter(([, n]) => n > 0).map(([p, n]) => [p, n * 2 ** -20] as const);
  if (!all || plus.length === 1 || plus.length > MAX_PIVOTS) return [mean];
  return [mean, ...plus.map((p) => [[p, 1] as const])];
}

/**
 * Disjuncts that hold wherever all rows do: their alternatives multiplied out, and apart from those
 * what one row alone allows by roundings.
 */
function combined(rows: readonly (Implied | undefined)[], outputs: number): LogitRow[][] {
  const some = rows.filter((row) => row !== undefined);
  const never = some.find(({ main }) => main.length === 0);
  if (never) return [...never.aside.map((row) => [row]), finiteRow(outputs)];
  let product: LogitRow[][] = [[]];
  const asides: LogitRow[][] = [];
  for (const { main, aside } of some) {
    if (product.length * main.length > Math.max(MAX_PRODUCT, main.length)) continue;
    product = product.flatMap((rows) => main.map((more) => [...rows, ...more]));
    for (const row of aside) asides.push([row]);
  }
  return [...product, ...asides];
}

/** A row that no outputs of a network satisfy: bounds refute it unless they overflow. */
const finiteRow = (outputs: number): LogitRow[] => [
  { weights: new Map(Array.from({ length: outputs }, (_, j) => [j, 1])), rhs: -(2 ** 100) },
];

/** Disjuncts of rows on several log-softmax outputs, one for each logit that may be the largest. */
function logRows({ rows, rhs }: Conjunction, outputs: number): LogitRow[][] {
  const error = softmaxError(outputs);
  const all = rows.map((row, k) => {
    const size = row.reduce((sum, w) => sum + Math.abs(w), 0);
    // y <= 0, so larger weights hold wherever these do; on a grid all that follows is exact.
    const grid = 2 ** (Math.ceil(Math.log2(size || 1)) - 20);
    const v = row.map((w) => Math.ceil((w + (error + F64_FEW) * Math.abs(w)) / grid) * grid);
    return { v, total: v.reduce((a, b) => a + b, 0), c: rhs[k]! + error * size };
  });
  /** v . z - total L <= c with L put in as sum mu_k z_k + shift. */
  const row = (at: (typeof all)[number], mu: Mu, shift: number): LogitRow => {
    const weights = at.v.slice();
    for (const [k, share] of mu) weights[k]! -= at.total * share;
    const some = [...weights].map((w, j) => [j, w] as const).filter(([, w]) => w !== 0);
    const behind = at.total * shift;
    return {
      weights: new Map(some),
      rhs: outward(at.c + behind, Math.abs(at.c) + Math.abs(behind)),
    };
  };
  const even = meansOf(new Float64Array(outputs).fill(1), [...new Array(outputs).keys()], true);
  const entropy = (mu: Mu): number => -mu.reduce((sum, [, m]) => sum + m * Math.log(m), 0);
  const falling = all
    .filter(({ total }) => total <= 0)
    .flatMap((at) => even.map((mu) => row(at, mu, entropy(mu))));
  const rising = all.filter(({ total }) => total > 0);
  if (rising.length === 0) return [falling];
  return Array.from({ length: outputs }, (_, k) => [
    ...falling,
    ...rising.map((at) => row(at, [[k, 1]], Math.log(outputs))),
  ]);
}

/** Conjunctions of logit rows, without those that another one covers. */
function conjunctionsOf(disjuncts: readonly LogitRow[][], outputs: number): Conjunction[] {
  const single = new Map<string, LogitRow>();
  const several: LogitRow[][] = [];
  for (const rows of disjuncts) {
    const [only] = rows;
    if (rows.length !== 1) {
      several.push(rows);
      continue;
    }
    const key = [...only!.weights].map(([j, weight]) => `${j}:${weight}`).join();
    const known = single.get(key);
    if (!known || only!.rhs > known.rhs) single.set(key, only!);
  }
  return [...several, ...[...single.values()].map((row) => [row])].map((rows) => ({
    rows: rows.map(({ weights }) => {
      const row = new Float64Array(outputs);
      for (const [j, weight] of weights) row[j] = weight;
      return row;
    }),
    rhs: rows.map(({ rhs }) => rhs),
  }));
}
