/**
 * Blocks of the empirical Fisher matrix, F = d 1 + G' G / n with the gradients of n samples as the rows of
 * G [n, weights], and what optimal brain surgeon asks of them (Hassibi and Stork 1993): diagonals of the
 * inverse, and how weights that stay make good for those that go.
 *
 * With n gradients all comes from one [n, n] Cholesky factor: F^-1 = (1 - G' (n d 1 + G G')^-1 G) / d.
 * In float64. Cost: about n^2 multiply-adds a weight, and n^3 / 6 a block.
 */

/** Gradients of one parameter, by sample. */
export type Rows = readonly ArrayLike<number>[];

/** The diagonal of F^-1 of the weights at places [from, to). */
export function inverseDiagonal(rows: Rows, d: number, from: number, to: number): Float64Array {
  const places = Array.from({ length: to - from }, (_, i) => from + i);
  const factor = cholesky(gram(rows, places, d));
  return Float64Array.from(places, (place) => {
    const y = solveLower(
      factor,
      Float64Array.from(rows, (g) => g[place]!),
    );
    return (1 - y.reduce((sum, x) => sum + x * x, 0)) / d;
  });
}

/**
 * By how much the weights at places `stay` move where those at `go` become 0: the minimum of the change
 * x' F x / 2 of the loss over the moves of those that stay.
 */
export function compensation(
  rows: Rows,
  d: number,
  weights: ArrayLike<number>,
  { stay, go }: { readonly stay: readonly number[]; readonly go: readonly number[] },
): Float64Array {
  const factor = cholesky(gram(rows, stay, d));
  const lost = Float64Array.from(rows, (g) => go.reduce((sum, i) => sum + g[i]! * weights[i]!, 0));
  const z = solveUpper(factor, solveLower(factor, lost));
  return Float64Array.from(stay, (i) => rows.reduce((sum, g, n) => sum + g[i]! * z[n]!, 0));
}

/** n d 1 + G G' over some places, its lower half. */
function gram(rows: Rows, places: readonly number[], d: number): Float64Array[] {
  const taken = rows.map((g) => Float64Array.from(places, (i) => g[i]!));
  return taken.map((a, i) => {
    const row = new Float64Array(i + 1);
    for (let j = 0; j <= i; j++) {
      const b = taken[j]!;
      let sum = i === j ? rows.length * d : 0;
      for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
      row[j] = sum;
    }
    return row;
  });
}

/** L of a positive definite L L', from its lower half and in its place. */
function cholesky(a: Float64Array[]): Float64Array[] {
  for (let i = 0; i < a.length; i++)
    for (let j = 0; j <= i; j++) {
      let sum = a[i]![j]!;
      for (let k = 0; k < j; k++) sum -= a[i]![k]! * a[j]![k]!;
      a[i]![j] = i === j ? Math.sqrt(sum) : sum / a[j]![j]!;
    }
  return a;
}

/** x of L x = b. */
function solveLower(l: readonly Float64Array[], b: Float64Array): Float64Array {
  const x = b.slice();
  for (let i = 0; i < x.length; i++) {
    const row = l[i]!;
    let sum = x[i]!;
    for (let k = 0; k < i; k++) sum -= row[k]! * x[k]!;
    x[i] = sum / row[i]!;
  }
  return x;
}

/** x of L' x = b. */
function solveUpper(l: readonly Float64Array[], b: Float64Array): Float64Array {
  const x = b.slice();
  for (let i = x.length - 1; i >= 0; i--) {
    x[i] = x[i]! / l[i]![i]!;
    for (let k = 0; k < i; k++) x[k]! -= l[i]![k]! * x[i]!;
  }
  return x;
}
