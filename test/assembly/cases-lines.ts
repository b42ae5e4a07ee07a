/** Cases of rows of coefficients against tables of lines (assembly/rows.ts). */
import { type CaseMaker, type CaseTable, indices } from './case';
import type { Machine, Random } from './harness';

const TABLES = [
  [0, 3],
  [1, 1],
  [3, 0],
  [3, 10],
  [17, 2],
  [5, 17],
  [2, 64],
] as const;
const LINES = 3;
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

/** Indices, a lower and an upper table. */
function tables(m: Machine, rng: Random, rows: number, cols: number, wild: boolean) {
  const draw = (count: number) => (wild ? rng.wild(count) : rng.floats(count));
  const [index, low, up] = [rng.ints(rows, LINES), draw(LINES * cols), draw(LINES * cols)];
  return { index, low, up, at: m.ints(index), lowAt: m.floats(low), upAt: m.floats(up) };
}

function relaxRows(rows: number, cols: number, wild: boolean, alias: boolean): CaseMaker {
  return (m, rng) => {
    const draw = (count: number) => (wild ? rng.wild(count) : rng.floats(count));
    const [vw, vx] = [draw(rows * cols), draw(rows * cols)];
    const [w, x] = [m.floats(vw), m.floats(vx)];
    const a = tables(m, rng, rows, cols, wild);
    const other = rng.ints(rows, LINES);
    const otherAt = m.ints(other);
    const y = alias ? w : m.room(rows * cols);
    const want = [...indices(rows, cols)].map(([r, j]) => {
      const i = r! * cols + j!;
      const slope = vx[i]! > 0 ? a.low[a.index[r!]! * cols + j!]! : a.up[other[r!]! * cols + j!]!;
      return vw[i]! * slope;
    });
    return {
      label: `${rows}x${cols} wild=${wild} alias=${alias}`,
      args: [rows, cols, w, x, a.at, a.lowAt, otherAt, a.upAt, y],
      outputs: [{ at: y, want }],
    };
  };
}

function lowerDot(rows: number, cols: number, started: boolean, wild: boolean): CaseMaker {
  return (m, rng) => {
    const vx = wild ? rng.wild(rows * cols) : rng.floats(rows * cols);
    const x = m.floats(vx);
    const a = tables(m, rng, rows, cols, wild);
    const start = rng.floats(rows);
    const d = started ? m.floats(start) : 0;
    const y = m.room(rows);
    const want = Array.from({ length: rows }, (_, r) => {
      let total = started ? start[r]! : 0;
      for (let j = 0; j < cols; j++) {
        const place = a.index[r]! * cols + j;
        const v = vx[r * cols + j]!;
        total += v * (v > 0 ? a.low[place]! : a.up[place]!);
      }
      // The bound takes away a share of the sizes of its terms: of infinite ones too much.
      if (total === Number.POSITIVE_INFINITY) return Number.NaN;
      return total > LARGEST ? LARGEST : total < -LARGEST ? Number.NEGATIVE_INFINITY : total;
    });
    return {
      label: `${rows}x${cols} started=${started} wild=${wild}`,
      args: [rows, cols, x, a.at, a.lowAt, a.upAt, d, y],
      outputs: [{ at: y, want, rel: 2.5e-7, abs: 1e-6 }],
    };
  };
}

function columns(kind: 'add' | 'take', rows: number, cols: number): CaseMaker {
  return (m, rng) => {
    const width = 5;
    const [from, to] = kind === 'add' ? [cols, width] : [width, cols];
    const [vx, vy] = [rng.floats(rows * from), rng.floats(rows * to)];
    const [at, index] = [rng.ints(rows, LINES), rng.ints(LINES * cols, width)];
    const [x, y] = [m.floats(vx), m.floats(vy)];
    const [lines, places] = [m.ints(at), m.ints(index)];
    const want = Array.from(vy);
    for (const [r, j] of indices(rows, cols)) {
      const place = index[at[r!]! * cols + j!]!;
      if (kind === 'add') want[r! * width + place]! += vx[r! * cols + j!]!;
      else want[r! * cols + j!] = vx[r! * width + place]!;
    }
    return {
      label: `${rows}x${cols}`,
      args: [rows, cols, width, x, lines, places, y],
      outputs: [{ at: y, want, abs: 1e-5 }],
    };
  };
}

const flags = [false, true];
export const LINE_CASES: CaseTable = {
  relax_rows: TABLES.flatMap(([r, c]) =>
    flags.flatMap((wild) => flags.map((alias) => relaxRows(r, c, wild, alias))),
  ),
  lower_dot: TABLES.flatMap(([r, c]) =>
    flags.flatMap((started) => [lowerDot(r, c, started, false), lowerDot(r, c, started, true)]),
  ),
  add_columns: TABLES.map(([r, c]) => columns('add', r, c)),
  take_columns: TABLES.map(([r, c]) => columns('take', r, c)),
};
