/**
 * Linear bounds (bounds/linear.ts) of output rows over batches of boxes. Of the whole set only: a ball
 * that cuts a box is used by its dual norm.
 */
import { ALPHA, type AlphaOptions, optimisedBoundsInParts, SHARE } from '../bounds/alpha';
import type { Rows } from '../bounds/backward';
import {
  type Hidden,
  hiddenBoundsInParts,
  type LinearOptions,
  lowerBoundsInParts,
} from '../bounds/linear';
import type { InputSet } from '../domain/balls';
import type { Graph } from '../nn/graph';
import type { AnyModel } from '../nn/model';
import { stepInParts } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import { input } from '../tensor/tensor';
import { type Boxes, lessRest, type RowBounds } from './bounds';
import { estimateMemory, sampleBytes } from './memory';
import { distance, type OutputRows } from './specification';

/** Bytes of the boxes, lines and constants of one batch. */
const MEMORY = 64 * 2 ** 20;
const MOST = 256;

/** Bounds by one backward pass, rounding counted. */
export const lineRows = (name: string, options: Omit<LinearOptions, 'sound'>): RowBounds => ({
  name,
  batch: ({ graph }, rows) => batchOf(graph, MOST, rows),
  lower: (model, boxes, rows) =>
    stepInParts(model.engine, function* () {
      const set = setOf(model, boxes);
      const scene = yield* hiddenBoundsInParts(model, set, { ...options, sound: true });
      const lower = yield* lowerBoundsInParts(scene, rowsOf(model, boxes.count, rows));
      return complete(scene, Float64Array.from(lower.read()), rows);
    }),
});

/** alpha-CROWN: CROWN's bounds with lower slopes optimised for every row. */
export const optimisedRows = (name: string, options: Partial<AlphaOptions>): RowBounds => ({
  name,
  batch: ({ graph }, rows) => batchOf(graph, 16, rows),
  lower: (model, boxes, rows) =>
    stepInParts(model.engine, function* () {
      const scene = yield* hiddenBoundsInParts(model, setOf(model, boxes), { sound: true });
      const all = { ...ALPHA, ...options, enough: rows.rhs.every((rhs) => rhs === 0) };
      const wanted = rowsOf(model, boxes.count, rows);
      const lower = yield* optimisedBoundsInParts({ ...scene, chunk: null }, wanted, all);
      return complete(scene, Float64Array.from(lower), rows);
    }),
});

/** Parts of a region that are bounded at once, and the scratch memory that they take at most. */
export function boxesAtOnce(graph: Graph): { readonly boxes: number; readonly bytes: number } {
  const boxes = batchOf(graph, MOST);
  const { bytes } = estimateMemory(graph, 1, { memory: MEMORY, share: SHARE });
  return { boxes, bytes: boxes * sampleBytes(graph) + bytes };
}

/** Numbers of all rows of one batch. */
const ROWS = 1 << 22;

const batchOf = (graph: Graph, most: number, rows?: OutputRows): number =>
  Math.max(
    1,
    Math.min(
      most,
      Math.floor(MEMORY / sampleBytes(graph)),
      Math.floor(ROWS / Math.max(1, rows?.matrix.length ?? 0)),
    ),
  );

/** The rows for each of `count` boxes. */
function rowsOf({ engine, graph }: AnyModel, count: number, rows: OutputRows): Rows {
  const values = new Float32Array(count * rows.matrix.length);
  for (let i = 0; i < count; i++) values.set(rows.matrix, i * rows.matrix.length);
  const at = new Int32Array(count * rows.count).map((_, r) => Math.floor(r / rows.count));
  return { at, values: input(engine, values, [at.length, ...graph.output]) };
}

function complete(scene: Hidden, lower: Float64Array, rows: OutputRows): Float64Array {
  if (!rows.rest) return lower;
  const out = scene.boxes.at(-1)!;
  return lessRest(lower, out.lo.read(), out.hi.read(), rows);
}

function setOf({ engine, graph }: AnyModel, { count, lo, hi, ball }: Boxes): InputSet {
  const shape = [count, ...graph.network.input];
  const box = { lo: input(engine, lo, shape), hi: input(engine, hi, shape) };
  if (!ball) return { box };
  const nearest = Float32Array.from(ball.centre);
  // The ball around the rounded centre that holds the real one.
  const eps = (ball.eps + distance(ball, nearest)) * (1 + 1e-12);
  const centres = new Float32Array(count * sizeOf(graph.network.input));
  for (let i = 0; i < count; i++) centres.set(nearest, i * nearest.length);
  return { box, ball: { norm: ball.norm, centre: input(engine, centres, shape), eps } };
}
