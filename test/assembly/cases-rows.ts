/** Cases of reductions, layouts, classification, random numbers and pruning. */
import { type CaseMaker, type CaseTable, indices, SIZES } from './case';
import { normals, philox, uniforms } from './philox';

const REDUCTIONS = [
  [0, 3, 2],
  [2, 0, 3],
  [1, 1, 1],
  [5, 17, 1],
  [3, 9, 13],
  [1, 130, 4],
  [7, 2, 5],
];

function reduction(
  start: number,
  fold: (a: number, b: number) => number,
  wild: boolean,
): CaseMaker[] {
  return REDUCTIONS.map(
    (shape): CaseMaker =>
      (m, rng) => {
        const [outer, reduce, inner] = shape as [number, number, number];
        const values = wild ? rng.wild(outer * reduce * inner) : rng.floats(outer * reduce * inner);
        const x = m.floats(values);
        const y = m.room(outer * inner);
        const want = [...indices(outer, inner)].map(([o, i]) => {
          let total = start;
          for (let r = 0; r < reduce; r++)
            total = fold(total, values[(o! * reduce + r) * inner + i!]!);
          return total;
        });
        return { label: `[${shape}]`, args: [...shape, x, y], outputs: [{ at: y, want }] };
      },
  );
}

const TABLES = [
  [0, 3],
  [1, 1],
  [3, 10],
  [17, 2],
  [5, 17],
  [2, 64],
  [9, 1],
] as const;

function argmax(rows: number, cols: number, wild: boolean): CaseMaker {
  return (m, rng) => {
    const values = wild ? rng.wild(rows * cols) : Float32Array.from(rng.ints(rows * cols, 3));
    const x = m.floats(values);
    const y = m.room(rows);
    const want = Array.from({ length: rows }, (_, r) => {
      const row = Array.from(values.subarray(r * cols, (r + 1) * cols));
      const nan = row.findIndex(Number.isNaN);
      return nan >= 0 ? nan : row.indexOf(Math.max(...row));
    });
    return {
      label: `${rows}x${cols} wild=${wild}`,
      args: [rows, cols, x, y],
      outputs: [{ at: y, want, type: 'i32' }],
    };
  };
}

function countNonzero(): CaseMaker[] {
  return SIZES.map(
    (n): CaseMaker =>
      (m, rng) => {
        const values = rng.wild(n);
        const x = m.floats(values);
        const y = m.room(1);
        const want = [values.filter((v) => v !== 0).length];
        return { label: `n=${n}`, args: [n, x, y], outputs: [{ at: y, want, type: 'i32' }] };
      },
  );
}

function copyStrided(
  shape: readonly number[],
  kind: 'same' | 'flip' | 'turn' | 'half' | 'lie' | 'stand' | 'spread',
  add: number,
): CaseMaker {
  return (m, rng) => {
    const [d0, d1, d2, d3] = shape as [number, number, number, number];
    const size = d0 * d1 * d2 * d3;
    const half = kind === 'half' ? 2 : 1;
    const [vx, vy] = [rng.floats(Math.max(0, half * size - half + 1)), rng.floats(size)];
    const [x, y] = [m.floats(vx), m.floats(vy)];
    const dense = [d1 * d2 * d3, d2 * d3, d3, 1];
    const back = dense.map((s) => -s);
    // Dimension i of x is dimension 3 - i of y.
    const turned = [1, d0, d0 * d1, d0 * d1 * d2];
    // Planes [d3][d2] instead of [d2][d3].
    const upright = [d1 * d2 * d3, d2 * d3, 1, d2];
    // One element a line of x.
    const spread = [d1 * d2, d2, 1, 0];
    const straight = kind === 'stand' ? upright : kind === 'spread' ? spread : dense;
    const from = kind === 'flip' ? back : straight.map((s) => half * s);
    const to = kind === 'turn' ? turned : kind === 'lie' ? upright : dense;
    const start = kind === 'flip' && size > 0 ? size - 1 : 0;
    const want = Array.from(vy);
    for (const at of indices(...shape)) {
      const dot = (s: number[]) => s.reduce((sum, stride, i) => sum + stride * at[i]!, 0);
      const value = vx[start + dot(from)]!;
      want[dot(to)] = add ? want[dot(to)]! + value : value;
    }
    const args = [...shape, x + 4 * start, ...from, y, ...to, add];
    return { label: `[${shape}] ${kind} add=${add}`, args, outputs: [{ at: y, want, abs: 1e-6 }] };
  };
}

function takeRows(rows: number, cols: number): CaseMaker {
  return (m, rng) => {
    const source = 6;
    const values = rng.wild(source * cols);
    const index = rng.ints(rows, source);
    const [x, at] = [m.floats(values), m.ints(index)];
    const y = m.room(rows * cols);
    const want = [...indices(rows, cols)].map(([i, j]) => values[index[i!]! * cols + j!]!);
    return { label: `${rows}x${cols}`, args: [rows, cols, x, at, y], outputs: [{ at: y, want }] };
  };
}

function addRows(rows: number, cols: number): CaseMaker {
  return (m, rng) => {
    const target = 3;
    const [vx, vy] = [rng.floats(rows * cols), rng.floats(target * cols)];
    const index = rng.ints(rows, target);
    const [x, at, y] = [m.floats(vx), m.ints(index), m.floats(vy)];
    const want = Array.from(vy);
    for (const [i, j] of indices(rows, cols)) want[index[i!]! * cols + j!]! += vx[i! * cols + j!]!;
    return {
      label: `${rows}x${cols}`,
      args: [rows, cols, x, at, y],
      outputs: [{ at: y, want, abs: 1e-5 }],
    };
  };
}

function softmaxOf(row: ArrayLike<number>): number[] {
  const top = Math.max(...Array.from(row));
  const powers = Array.from(row, (v) => Math.exp(v - top));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / total);
}

function softmax(rows: number, cols: number, alias: boolean): CaseMaker {
  return (m, rng) => {
    const values = rng.floats(rows * cols, 30);
    const x = m.floats(values);
    const y = alias ? x : m.room(rows * cols);
    const want = Array.from({ length: rows }, (_, r) =>
      softmaxOf(values.subarray(r * cols, (r + 1) * cols)),
    );
    return {
      label: `${rows}x${cols}`,
      args: [rows, cols, x, y],
      outputs: [{ at: y, want: want.flat() }],
    };
  };
}

function crossEntropy(rows: number, cols: number): CaseMaker {
  return (m, rng) => {
    const values = rng.floats(rows * cols, 60);
    const label = rng.ints(rows, cols);
    const [x, labels] = [m.floats(values), m.ints(label)];
    const [loss, probs] = [m.room(rows), m.room(rows * cols)];
    const table = Array.from({ length: rows }, (_, r) => values.subarray(r * cols, (r + 1) * cols));
    const losses = table.map((row, r) => {
      const top = Math.max(...row);
      const total = row.reduce((sum, v) => sum + Math.exp(v - top), 0);
      return Math.log(total) + (top - row[label[r]!]!);
    });
    return {
      label: `${rows}x${cols}`,
      args: [rows, cols, x, labels, loss, probs],
      outputs: [
        { at: loss, want: losses, abs: 1e-13 },
        { at: probs, want: table.flatMap(softmaxOf) },
      ],
    };
  };
}

function crossEntropyGrad(rows: number, cols: number): CaseMaker {
  return (m, rng) => {
    const [vp, vg] = [rng.floats(rows * cols, 1), rng.floats(rows)];
    const label = rng.ints(rows, cols);
    const [probs, labels, g] = [m.floats(vp), m.ints(label), m.floats(vg)];
    const want = [...indices(rows, cols)].map(([r, j]) => {
      const p = vp.subarray(r! * cols, (r! + 1) * cols);
      // Rows of probabilities sum to one: p - 1 is minus the sum of the others.
      const others = p.reduce((sum, v, at) => (at === label[r!] ? sum : sum - v), 0);
      return (j === label[r!] ? Math.fround(others) : p[j!]!) * vg[r!]!;
    });
    const dx = m.room(rows * cols);
    return {
      label: `${rows}x${cols}`,
      args: [rows, cols, probs, labels, g, dx],
      outputs: [{ at: dx, want }],
    };
  };
}

function philoxCase(n: number): CaseMaker {
  return (m, rng) => {
    const counter = rng.ints(4 * n, 2 ** 31).map((v) => v * 2);
    const key = rng.ints(2 * n, 2 ** 31).map((v) => -v);
    const [c, k] = [m.ints(counter), m.ints(key)];
    const y = m.room(4 * n);
    const want = Array.from({ length: n }, (_, i) => [
      ...Int32Array.from(philox(counter.slice(4 * i, 4 * i + 4), key.slice(2 * i, 2 * i + 2))),
    ]);
    return {
      label: `n=${n}`,
      args: [n, c, k, y],
      outputs: [{ at: y, want: want.flat(), type: 'i32' }],
    };
  };
}

function randomFill(draw: typeof uniforms, a: number, b: number, tolerance: number): CaseMaker[] {
  return [
    [0, 3],
    [1, 1],
    [3, 6],
    [2, 0],
    [4, 17],
    [9, 5],
  ].flatMap(([rows, cols]) =>
    [false, true].map(
      (indexed): CaseMaker =>
        (m, rng) => {
          const index = indexed
            ? rng.ints(rows!, 1000)
            : Int32Array.from({ length: rows! }, (_, i) => i);
          const seed = [rng.int(2 ** 31), rng.int(2 ** 31), 7] as const;
          const at = indexed ? m.ints(index) : 0;
          const y = m.room(rows! * cols!);
          const want = Array.from(index, (id) =>
            draw(cols!, seed, id, Math.fround(a), Math.fround(b)),
          );
          return {
            label: `${rows}x${cols} indexed=${indexed}`,
            args: [rows!, cols!, ...seed, at, a, b, y],
            outputs: [{ at: y, want: want.flat(), abs: tolerance }],
          };
        },
    ),
  );
}

function topK(n: number, keep: number, distinct: number): CaseMaker {
  return (m, rng) => {
    const values = distinct ? Float32Array.from(rng.ints(n, distinct), (v) => v - 1) : rng.wild(n);
    // Zeros of both signs tie.
    for (let i = 0; i < n; i += 3) if (values[i] === 0) values[i] = -0;
    const rank = (v: number) => (Number.isNaN(v) ? -Infinity : v);
    const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => {
      const [a, b] = [values[i]!, values[j]!];
      if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
      if (rank(a) === rank(b)) return i - j;
      return rank(a) < rank(b) ? 1 : -1;
    });
    const want = new Array<number>(n).fill(0);
    for (const i of order.slice(0, Math.max(keep, 0))) want[i] = 1;
    const scores = m.floats(values);
    const mask = m.room(n);
    return {
      label: `n=${n} keep=${keep} distinct=${distinct}`,
      args: [n, keep, scores, mask],
      outputs: [{ at: mask, want }],
    };
  };
}

export const ROWS: CaseTable = {
  sum: reduction(0, (a, b) => a + b, false),
  max_reduce: reduction(-Infinity, (a, b) => Math.max(a, b), true),
  argmax: TABLES.flatMap(([r, c]) => [argmax(r, c, false), argmax(r, c, true)]),
  count_nonzero: countNonzero(),
  copy_strided: [
    [0, 2, 2, 2],
    [2, 3, 0, 2],
    [1, 1, 1, 1],
    [3, 2, 4, 5],
    [2, 5, 3, 9],
    [2, 1, 3, 8],
    [2, 3, 5, 4],
    [1, 2, 4, 9],
    [2, 1, 4, 2],
    [2, 2, 9, 2],
    [2, 2, 2, 9],
  ].flatMap((shape) =>
    (['same', 'flip', 'turn', 'half', 'lie', 'stand', 'spread'] as const).flatMap((kind) => [
      copyStrided(shape, kind, 0),
      copyStrided(shape, kind, 1),
    ]),
  ),
  take_rows: TABLES.map(([r, c]) => takeRows(r, c)),
  add_rows: TABLES.map(([r, c]) => addRows(r, c)),
  softmax: TABLES.flatMap(([r, c]) => [softmax(r, c, false), softmax(r, c, true)]),
  cross_entropy: TABLES.map(([r, c]) => crossEntropy(r, c)),
  cross_entropy_grad: TABLES.map(([r, c]) => crossEntropyGrad(r, c)),
  philox: [0, 1, 5].map(philoxCase),
  random_uniform: randomFill(uniforms, -0.3, 0.7, 1e-7),
  random_normal: randomFill(normals, 0.5, 2, 1e-6),
  mask_top_k: [
    [0, 0, 0],
    [5, 0, 0],
    [5, 5, 0],
    [17, 4, 3],
    [131, 80, 4],
    [131, 100, 0],
    [64, 70, 2],
  ].map(([n, keep, distinct]) => topK(n!, keep!, distinct!)),
};
