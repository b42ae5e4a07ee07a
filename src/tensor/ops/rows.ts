/**
 * Rows of coefficients against tables: the two steps of a backward pass of linear bounds that are no
 * product, and the gather and scatter of columns that maxima need. Row r of coefficients reads row `at[r]`
 * of a table; the sign of a coefficient says which of two tables counts.
 */
import { expect } from '../../errors';
import { type Shape, sizeOf } from '../shape';
import { record } from '../tape';
import { empty, filled, indices, type Tensor } from '../tensor';
import { equal, expand, mul, neg, reshape } from './core';
import { abs, relu } from './elementwise';
import { addRows } from './shape';

/** Index into the first axis of a table, by row. */
export type RowIndices = ArrayLike<number>;

/** A lower and an upper table, [indices, ...] each, and each row's index into both. */
export interface Pair {
  readonly low: Tensor;
  readonly lowAt: RowIndices;
  readonly up: Tensor;
  readonly upAt: RowIndices;
}

const columns = (x: Tensor): number => sizeOf(x.shape.slice(1));
const flat = (x: Tensor): Tensor => reshape(x, [x.shape[0]!, columns(x)]);

function checkTable(table: Tensor, at: RowIndices, x: Tensor, who: string): void {
  const fits = columns(table) === columns(x) && at.length === x.shape[0];
  expect(
    fits,
    who,
    `${x.shape[0]} rows of ${columns(x)} columns`,
    `[${table.shape}], ${at.length}`,
  );
}

/** w * (x > 0 ? low : up), each row by its own indices: [rows, ...]. No gradients flow. */
export function byRows(w: Tensor, x: Tensor, { low, lowAt, up, upAt }: Pair, who: string): Tensor {
  checkTable(low, lowAt, x, who);
  checkTable(up, upAt, x, who);
  const { engine } = x;
  const [a, c] = [
    indices(engine, lowAt, low.shape[0]!, who),
    indices(engine, upAt, up.shape[0]!, who),
  ];
  const y = empty(engine, x.shape);
  engine.run(
    'relax_rows',
    ...([x.shape[0]!, columns(x)] as const),
    ...([w.ptr, x.ptr, a, low.ptr, c, up.ptr, y.ptr] as const),
  );
  return y;
}

/** g summed over the rows of each index, of the coefficients above 0 or below. */
const toTable = (g: Tensor, x: Tensor, at: RowIndices, shape: Shape): Tensor =>
  reshape(addRows(flat(mul(g, x)), at, shape[0]!), shape);

const below = (x: Tensor): Tensor => neg(relu(neg(x)));

/** x * (x > 0 ? low : up): coefficients of y become coefficients of x where low x <= y <= up x. */
export function relaxRows(x: Tensor, pair: Pair): Tensor {
  const y = byRows(x, x, pair, 'relaxRows');
  const { low, lowAt, up, upAt } = pair;
  return record(
    y,
    [x, low, up],
    [
      (g) => byRows(g, x, pair, 'relaxRows'),
      (g) => toTable(g, relu(x), lowAt, low.shape),
      (g) => toTable(g, below(x), upAt, up.shape),
    ],
  );
}

/**
 * d[r] + the sum of x[r] * (x[r] > 0 ? low : up): [rows], a lower bound of d + x . t for all t in the
 * box [low, up]. Never above the exact number, as f32 arithmetic goes.
 */
export function lowerDot(x: Tensor, low: Tensor, up: Tensor, at: RowIndices, d?: Tensor): Tensor {
  checkTable(low, at, x, 'lowerDot');
  checkTable(up, at, x, 'lowerDot');
  const { engine } = x;
  const rows = x.shape[0]!;
  const y = empty(engine, [rows]);
  const lines = indices(engine, at, Math.min(low.shape[0]!, up.shape[0]!), 'lowerDot');
  const tables = [lines, low.ptr, up.ptr, d?.ptr ?? 0] as const;
  engine.run('lower_dot', rows, columns(x), x.ptr, ...tables, y.ptr);
  const wide = (g: Tensor): Tensor =>
    expand(reshape(g, [rows, ...x.shape.slice(1).map(() => 1)]), x.shape);
  const pair = { low, lowAt: at, up, upAt: at };
  return record(y, d ? [x, low, up, d] : [x, low, up], [
    (g) => byRows(wide(g), x, pair, 'lowerDot'),
    (g) => toTable(wide(g), relu(x), at, low.shape),
    (g) => toTable(wide(g), below(x), at, up.shape),
    (g) => g,
  ]);
}

/** A table of places: line k sends column j to `index[k * columns + j]`. */
export interface Places {
  /** Whole numbers in [0, width), `columns` a line. */
  readonly index: ArrayLike<number>;
  readonly columns: number;
  readonly at: RowIndices;
  readonly width: number;
}

/** Zeros [rows, width] plus column j of row r of x [rows, columns] at its place. */
export function addColumns(x: Tensor, places: Places): Tensor {
  const y = filled(x.engine, [x.shape[0]!, places.width], 0);
  placed('add_columns', x, places, y);
  return record(y, [x], [(g) => takeColumns(g, places)]);
}

/** Column j of row r of x [rows, width] from its place; the transpose of `addColumns`. */
export function takeColumns(x: Tensor, places: Places): Tensor {
  const y = empty(x.engine, [x.shape[0]!, places.columns]);
  placed('take_columns', x, places, y);
  return record(y, [x], [(g) => addColumns(g, places)]);
}

function placed(kernel: 'add_columns' | 'take_columns', x: Tensor, o: Places, y: Tensor): void {
  const { index, columns: cols, at, width } = o;
  const wanted = kernel === 'add_columns' ? cols : width;
  const fits = columns(x) === wanted && at.length === x.shape[0];
  expect(fits, kernel, `${at.length} rows of ${wanted} columns`, `[${x.shape}]`);
  const lines = cols === 0 ? 1 : Math.floor(index.length / cols);
  const where = [
    indices(x.engine, at, lines, kernel),
    indices(x.engine, index, width, kernel),
  ] as const;
  x.engine.run(kernel, x.shape[0]!, cols, width, x.ptr, ...where, y.ptr);
}

/** The largest |x| of each row, [rows]; the gradient goes to every one that is as large. */
export function largest(x: Tensor): Tensor {
  const sizes = flat(abs(x));
  const [rows, cols] = sizes.shape as [number, number];
  const y = empty(x.engine, [rows]);
  x.engine.run('max_reduce', rows, cols, 1, sizes.ptr, y.ptr);
  const pullback = (g: Tensor): Tensor =>
    mul(reshape(g, [rows, 1]), equal(sizes, reshape(y, [rows, 1])));
  return record(y, [sizes], [pullback]);
}
