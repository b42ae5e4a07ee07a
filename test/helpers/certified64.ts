/**
 * Certified losses of ReLU perceptrons in float64, from their definitions and by plain loops: intervals, linear
 * bounds row by row, zonotopes with every generator, and the losses and terms made of them.
 */
export interface Layer64 {
  /** [outputs][inputs]. */
  readonly w: readonly (readonly number[])[];
  readonly b: readonly number[];
}

export type Net64 = readonly Layer64[];
export type Box64 = readonly (readonly [lo: number, hi: number])[];
type Row = readonly number[];

const dot = (a: Row, b: Row): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
const sumOf = (values: Row): number => values.reduce((a, b) => a + b, 0);
export const meanOf = (values: Row): number => sumOf(values) / values.length;

export function logits64(net: Net64, x: Row): number[] {
  return net.reduce<number[]>(
    (at, { w, b }, l) => {
      const z = w.map((row, i) => dot(row, at) + b[i]!);
      return l === net.length - 1 ? z : z.map((v) => Math.max(0, v));
    },
    [...x],
  );
}

export const ball64 = (x: Row, eps: number): Box64 =>
  x.map((v) => [Math.max(0, v - eps), Math.min(1, v + eps)]);

const rectified = (box: Box64): Box64 => box.map(([l, u]) => [Math.max(0, l), Math.max(0, u)]);

/** Least of row . x + d over a box. */
const least = (row: Row, box: Box64, d = 0): number =>
  row.reduce((sum, a, i) => sum + a * (a > 0 ? box[i]![0] : box[i]![1]), d);

const throughLayer = ({ w, b }: Layer64, box: Box64): Box64 =>
  w.map((row, i) => [
    least(row, box, b[i]!),
    -least(
      row.map((v) => -v),
      box,
      -b[i]!,
    ),
  ]);

/** The boxes in front of the activations. */
export function intervals64(net: Net64, box: Box64): Box64[] {
  const hidden: Box64[] = [];
  let at = box;
  for (const layer of net.slice(0, -1)) {
    const before = throughLayer(layer, at);
    hidden.push(before);
    at = rectified(before);
  }
  return hidden;
}

/** Rows e_y - e_j merged into the last layer. */
function marginRows(net: Net64, label: number): { row: number[]; d: number }[] {
  const { w, b } = net.at(-1)!;
  return w.map((other, j) => ({
    row: w[label]!.map((v, i) => v - other[i]!),
    d: b[label]! - b[j]!,
  }));
}

/** Lower margins by intervals. */
export function intervalMargins64(net: Net64, box: Box64, label: number): number[] {
  const last = rectified(intervals64(net, box).at(-1)!);
  return marginRows(net, label).map(({ row, d }) => least(row, last, d));
}

export type Slopes64 = 'adaptive' | 'parallel';

/** Least of a row over the inputs: the row is of the activations behind layer `upTo`. */
function backward64(
  net: Net64,
  { hidden, first, slopes }: { hidden: readonly Box64[]; first: Box64; slopes: Slopes64 },
  { row, d, upTo }: { row: Row; d: number; upTo: number },
): number {
  let [a, total] = [[...row], d];
  for (let l = upTo; l >= 0; l--) {
    a = a.map((v, i) => {
      const [lo, hi] = hidden[l]![i]!;
      if (hi <= 0) return 0;
      if (lo >= 0) return v;
      const chord = hi / (hi - lo);
      if (v > 0) return v * (slopes === 'parallel' ? chord : hi > -lo ? 1 : 0);
      total += v * -lo * chord;
      return v * chord;
    });
    total += dot(a, net[l]!.b);
    const { w } = net[l]!;
    a = first.length > 0 ? w[0]!.map((_, i) => sumOf(w.map((own, j) => own[i]! * a[j]!))) : a;
  }
  return least(a, first, total);
}

/**
 * Hidden boxes of several samples by linear bounds: of all neurons, or with `meet` of those that intervals leave
 * unstable in some sample, and no looser than intervals.
 */
export function linearHidden64(
  net: Net64,
  firsts: readonly Box64[],
  slopes: Slopes64,
  meet: boolean,
): Box64[][] {
  const all = firsts.map((): Box64[] => []);
  for (let l = 0; l < net.length - 1; l++) {
    const { w, b } = net[l]!;
    const plain = all.map((hidden, s) =>
      throughLayer(net[l]!, l === 0 ? firsts[s]! : rectified(hidden[l - 1]!)),
    );
    const wanted = w.map((_, i) => !meet || plain.some((box) => box[i]![0] < 0 && box[i]![1] > 0));
    all.forEach((hidden, s) => {
      const low = (row: Row, d: number): number =>
        backward64(net, { hidden, first: firsts[s]!, slopes }, { row, d, upTo: l - 1 });
      const negative = (row: Row): number[] => row.map((v) => -v);
      const box = w.map((row, i): readonly [number, number] => {
        const [lo, hi] = plain[s]![i]!;
        if (l === 0 || !wanted[i]) return [lo, hi];
        const own = [low(row, b[i]!), -low(negative(row), -b[i]!)] as const;
        return meet ? [Math.max(lo, own[0]), Math.min(hi, own[1])] : own;
      });
      hidden.push(box);
    });
  }
  return all;
}

/** Lower margins by linear bounds over given hidden boxes. */
export const linearMargins64 = (
  net: Net64,
  first: Box64,
  { hidden, slopes }: { hidden: readonly Box64[]; slopes: Slopes64 },
  label: number,
): number[] =>
  marginRows(net, label).map(({ row, d }) =>
    backward64(net, { hidden, first, slopes }, { row, d, upTo: net.length - 2 }),
  );

/** Lower margins by zonotopes, and the hidden boxes: new errors are generators, or go into a box. */
export function zonotope64(
  net: Net64,
  first: Box64,
  label: number,
  errors: 'exact' | 'hybrid',
): { margins: number[]; hidden: Box64[] } {
  let centre = first.map(([l, u]) => (l + u) / 2);
  let generators = first.map(([l, u], i) => first.map((_, j) => (i === j ? (u - l) / 2 : 0)));
  let box = first.map(() => 0);
  const hidden: Box64[] = [];
  const apply = (w: readonly Row[], b: Row): void => {
    centre = w.map((row, i) => dot(row, centre) + b[i]!);
    generators = generators.map((g) => w.map((row) => dot(row, g)));
    box = w.map((row) => sumOf(row.map((v, i) => Math.abs(v) * box[i]!)));
  };
  const radius = (i: number): number => box[i]! + sumOf(generators.map((g) => Math.abs(g[i]!)));
  for (const { w, b } of net.slice(0, -1)) {
    apply(w, b);
    const at = centre.map((c, i) => [c - radius(i), c + radius(i)] as const);
    hidden.push(at);
    const slope = at.map(([l, u]) => (u <= 0 ? 0 : l >= 0 ? 1 : u / (u - l)));
    const error = at.map(([l, u], i) => (l < 0 && u > 0 ? (-slope[i]! * l) / 2 : 0));
    centre = centre.map((c, i) => slope[i]! * c + error[i]!);
    generators = generators.map((g) => g.map((v, i) => slope[i]! * v));
    box = box.map((v, i) => slope[i]! * v + (errors === 'hybrid' ? error[i]! : 0));
    if (errors === 'exact')
      generators.push(...error.map((e, i) => error.map((_, j) => (i === j ? e : 0))));
  }
  const rows = marginRows(net, label);
  apply(
    rows.map(({ row }) => row),
    rows.map(({ d }) => d),
  );
  return { margins: centre.map((c, i) => c - radius(i)), hidden };
}

/** Cross entropy of logits. */
export function entropy64(z: Row, label: number): number {
  const most = Math.max(...z);
  return Math.log(sumOf(z.map((v) => Math.exp(v - most)))) + most - z[label]!;
}

/** Cross entropy of the worst logits that lower margins allow. */
export const worst64 = (margins: Row, label: number): number =>
  entropy64(
    margins.map((m) => -m),
    label,
  );

/** The fused loss: a bound of sum_j exp(z_j - z_y) by chords, `beta` of it linear. */
export function fused64(net: Net64, first: Box64, label: number, beta: number): number {
  const hidden = intervals64(net, first);
  const last = rectified(hidden.at(-1)!);
  const rows = marginRows(net, label);
  let [row, d, offsets] = [rows[0]!.row.map(() => 0), 0, 1];
  let byIntervals = 1;
  rows.forEach((own, j) => {
    if (j === label) return;
    // Of z_j - z_y.
    const u = -least(own.row, last, own.d);
    const l = least(
      own.row.map((v) => -v),
      last,
      -own.d,
    );
    // Over one point any slope will do.
    const slope = u > l ? (Math.exp(u) - Math.exp(l)) / (u - l) : 0;
    offsets += Math.exp(l) - slope * l;
    byIntervals += Math.exp(u);
    row = row.map((v, i) => v + slope * own.row[i]!);
    d += slope * own.d;
  });
  const lower = backward64(
    net,
    { hidden, first, slopes: 'adaptive' },
    { row, d, upTo: net.length - 2 },
  );
  return Math.log(beta * (offsets - lower) + (1 - beta) * byIntervals);
}

/** -tanh(1 + l u), of all neurons of all samples. */
export const instabilities64 = (hidden: readonly (readonly Box64[])[]): number[] =>
  hidden.flat(2).map(([l, u]) => -Math.tanh(1 + l * u));

/** The warm-up regularisers over the hidden boxes by sample and layer. */
export function warmUp64(
  first: readonly Box64[],
  hidden: readonly (readonly Box64[])[],
  tau: number,
): number {
  const width = (box: Box64): number => meanOf(box.map(([l, u]) => u - l));
  const short = (ratio: number): number => Math.max(0, tau - ratio);
  const layers = hidden[0]!.map((_, l) => hidden.flatMap((own) => own[l]!));
  const ratio = (a: number, b: number): number => Math.min(a / (b + 1e-6), b / (a + 1e-6));
  const terms = layers.map((box) => {
    const centre = box.map(([l, u]) => (l + u) / 2);
    const middle = meanOf(centre);
    const shareOf = (f: (c: number) => number, wanted: (l: number, u: number) => boolean): number =>
      sumOf(box.map(([l, u], i) => (wanted(l, u) ? f(centre[i]!) : 0)));
    const active = (l: number): boolean => l > 0;
    const inactive = (_: number, u: number): boolean => u < 0;
    const spread = (c: number): number => (c - middle) ** 2;
    return (
      short(width(first.flat()) / (width(box) + 1e-12)) +
      short(
        ratio(
          shareOf((c) => c, active),
          -shareOf((c) => c, inactive),
        ),
      ) +
      short(ratio(shareOf(spread, active), shareOf(spread, inactive)))
    );
  });
  return sumOf(terms) / (tau * layers.length);
}
