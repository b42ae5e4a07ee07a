/** Dense products in the three orientations of a layer: forward, input gradient, weight gradient. */
import { matmul } from '../src/tensor/ops/product';
import { keep, step, type Tensor } from '../src/tensor/tensor';
import type { Contestant } from './harness';
import { assertClose, noise } from './networks';
import type { Subject } from './subject';

type Size = readonly [m: number, k: number, n: number];

/** First dense layers of cnn-small and cnn-large, a square, and single images. */
const SIZES: Readonly<Record<'full' | 'tiny', readonly Size[]>> = {
  full: [
    [128, 1568, 100],
    [128, 3136, 512],
    [512, 512, 512],
    [1, 1568, 100],
    [1, 3136, 512],
  ],
  tiny: [
    [5, 7, 9],
    [1, 12, 10],
  ],
};

const ORIENTATIONS = [
  { name: 'x W^T (forward)', ta: false, tb: true },
  { name: 'g W (input gradient)', ta: false, tb: false },
  { name: 'g^T x (weight gradient)', ta: true, tb: false },
] as const;

export const products: Subject = {
  about: 'dense products in three orientations',
  *races({ engine, size }) {
    for (const [m, k, n] of SIZES[size]) {
      const matrix = (rows: number, columns: number, transposed: boolean): Tensor =>
        keep(engine, transposed ? [columns, rows] : [rows, columns], noise(rows * columns));
      const operands = ORIENTATIONS.map(
        ({ ta, tb }) => [matrix(m, k, ta), matrix(k, n, tb)] as const,
      );
      yield {
        title: `product ${m} x ${k} x ${n}`,
        contestants: ORIENTATIONS.map((way, i) => product(way, [m, k, n], ...operands[i]!)),
      };
      for (const t of operands.flat()) t.free();
    }
  },
};

function product(
  { name, ta, tb }: (typeof ORIENTATIONS)[number],
  [m, k, n]: Size,
  a: Tensor,
  b: Tensor,
): Contestant {
  const run = (): Tensor => matmul(a, b, { ta, tb });
  return {
    name,
    flops: 2 * m * k * n,
    run: () => step(a.engine, () => void run()),
    check() {
      const [x, y] = [a.read(), b.read()];
      const rows = [...new Set([0, m >> 1, m - 1])];
      const at = (i: number, j: number): number => {
        let sum = 0;
        for (let p = 0; p < k; p++)
          sum += x[ta ? p * m + i : i * k + p]! * y[tb ? j * k + p : p * n + j]!;
        return sum;
      };
      const expected = rows.flatMap((i) => Array.from({ length: n }, (_, j) => at(i, j)));
      const all = step(a.engine, () => run().read());
      const got = rows.flatMap((i) => [...all.subarray(i * n, (i + 1) * n)]);
      assertClose(got, expected, 1e-5, name);
    },
  };
}
