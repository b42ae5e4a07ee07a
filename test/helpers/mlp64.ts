/**
 * A two-layer perceptron in float64, from its definition: losses, gradients of single samples, curvature. The
 * weights are one list: W1 [hidden, inputs], then W2 [classes, hidden]; biases are 0 and at rest.
 */
export interface Mlp64 {
  readonly inputs: number;
  readonly hidden: number;
  readonly classes: number;
  readonly activation: 'relu' | 'tanh';
}

export interface Sample64 {
  readonly x: readonly number[];
  readonly label: number;
}

/** Hidden values with their slopes, probabilities. */
function forward(
  { inputs, hidden, classes, activation }: Mlp64,
  w: readonly number[],
  x: readonly number[],
) {
  const z = Array.from({ length: hidden }, (_, j) =>
    x.reduce((sum, v, i) => sum + w[j * inputs + i]! * v, 0),
  );
  const h = z.map((v) => (activation === 'relu' ? Math.max(0, v) : Math.tanh(v)));
  const slopes = z.map((v, j) => (activation === 'relu' ? Number(v > 0) : 1 - h[j]! ** 2));
  const at = hidden * inputs;
  const out = Array.from({ length: classes }, (_, k) =>
    h.reduce((sum, v, j) => sum + w[at + k * hidden + j]! * v, 0),
  );
  const most = Math.max(...out);
  const total = out.reduce((sum, v) => sum + Math.exp(v - most), 0);
  return { h, slopes, p: out.map((v) => Math.exp(v - most) / total) };
}

/** Mean cross entropy. */
export const loss64 = (net: Mlp64, w: readonly number[], samples: readonly Sample64[]): number =>
  samples.reduce((sum, { x, label }) => sum - Math.log(forward(net, w, x).p[label]!), 0) /
  samples.length;

/** The gradient of one sample's cross entropy. */
export function gradient64(net: Mlp64, w: readonly number[], { x, label }: Sample64): number[] {
  const { inputs, hidden } = net;
  const { h, slopes, p } = forward(net, w, x);
  const dz = p.map((v, k) => v - Number(k === label));
  const at = hidden * inputs;
  const dh = h.map((_, j) => dz.reduce((sum, d, k) => sum + d * w[at + k * hidden + j]!, 0));
  return [
    ...dh.flatMap((d, j) => x.map((v) => d * slopes[j]! * v)),
    ...dz.flatMap((d) => h.map((v) => d * v)),
  ];
}

/** The mean of some lists. */
export const mean64 = (lists: readonly (readonly number[])[]): number[] =>
  lists[0]!.map((_, i) => lists.reduce((sum, list) => sum + list[i]!, 0) / lists.length);

/** The inverse of a square matrix, by Gauss and Jordan with pivots. */
export function inverse64(matrix: readonly (readonly number[])[]): number[][] {
  const n = matrix.length;
  const a = matrix.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
  for (let c = 0; c < n; c++) {
    const pivot = a.reduce(
      (best, row, r) => (r >= c && Math.abs(row[c]!) > Math.abs(a[best]![c]!) ? r : best),
      c,
    );
    [a[c], a[pivot]] = [a[pivot]!, a[c]!];
    const lead = a[c]![c]!;
    a[c] = a[c]!.map((v) => v / lead);
    for (let r = 0; r < n; r++) {
      if (r === c) continue;
      const factor = a[r]![c]!;
      a[r] = a[r]!.map((v, j) => v - factor * a[c]![j]!);
    }
  }
  return a.map((row) => row.slice(n));
}
