/**
 * Lower bounds of output rows over batches of boxes: what a search needs to know of a method. All of
 * them are sound in floating point (docs/numerics.md).
 *
 * `intervalRows` is interval bound propagation with the rows merged into the last layer where that is
 * affine, as in domain/interval.ts, for any rows instead of differences of classes.
 */
import { propagate } from '../domain/domain';
import { type Box, interval, OUTWARD, refusal } from '../domain/interval';
import { lastBox } from '../domain/margins';
import { gamma, roundUp, tiny, U } from '../domain/rounding';
import type { GraphNode } from '../nn/graph';
import type { AffineLayer } from '../nn/layer';
import { type Model, nodeParams } from '../nn/model';
import { largest } from '../statistics';
import { add, affine, reshape, sub } from '../tensor/ops/core';
import { abs } from '../tensor/ops/elementwise';
import { toCentre, toEnds } from '../tensor/ops/interval';
import { matmul } from '../tensor/ops/product';
import type { Parts } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import { filled, input, step } from '../tensor/tensor';
import { type CutBall, type OutputRows, ROW_UNDERFLOW } from './specification';

/** [count, inputs] each. */
export interface Boxes {
  readonly count: number;
  readonly lo: Float32Array;
  readonly hi: Float32Array;
  /** Only points of this ball count, too. */
  readonly ball?: CutBall;
}

export interface RowBounds {
  readonly name: string;
  /** Boxes whose bounds are computed together. */
  batch(model: Model, rows: OutputRows): number;
  /** Lower bounds of rows . y over each box, [count, rows], in parts of a second or less. */
  lower(model: Model, boxes: Boxes, rows: OutputRows): Parts<Float64Array>;
}

/** Numbers of the largest layer over one batch. */
const BATCH_NUMBERS = 1 << 21;

/** Boxes that fill the machine and no more memory than needed, for `numbers` of them a box. */
export const batchFor = (numbers: number, most = 512): number =>
  Math.max(1, Math.min(most, Math.floor(BATCH_NUMBERS / Math.max(1, numbers))));

export const intervalRows: RowBounds = {
  name: 'interval',
  batch: ({ graph }, rows) =>
    batchFor(Math.max(8 * rows.count, largest(graph.nodes.map(({ shape }) => sizeOf(shape))))),
  *lower(model, boxes, rows) {
    return step(model.engine, () => {
      const { engine, graph } = model;
      const shape = [boxes.count, ...graph.network.input];
      const box = { lo: input(engine, boxes.lo, shape), hi: input(engine, boxes.hi, shape) };
      const last = graph.nodes.at(-1)!;
      const { layer } = last;
      if (layer.role === 'affine' && !layer.effective && !rows.rest)
        return mergedRows(model, last, layer, box, rows);
      const out = propagate(graph, model.params, interval({ sound: true }), box);
      return rowsOfEnds(out.lo.read(), out.hi.read(), boxes.count, rows);
    });
  },
};

/** The rows times the last layer's matrix, over the box in front of it. */
function mergedRows(
  model: Model,
  last: GraphNode,
  layer: AffineLayer,
  box: Box,
  rows: OutputRows,
): Float64Array {
  const at = lastBox(model, box, { sound: true });
  const { engine, params } = model;
  const n = at.lo.shape[0]!;
  const [p, shape] = [nodeParams(last, params), last.inputShapes[0]!];
  const size = sizeOf(shape);
  const c = input(engine, rows.matrix, [rows.count, rows.outputs]);
  const shaped = reshape(c, [rows.count, ...last.shape]);
  const w = reshape(layer.transpose(shaped, p, last.options, shape), [rows.count, size]);
  const zero = filled(engine, [1, ...shape], 0);
  const bias = reshape(layer.apply(zero, p, last.options), [1, rows.outputs]);
  const shift = reshape(matmul(c, bias, { tb: true }), [rows.count]);
  const [centre, radius] = toCentre(at.lo, at.hi, OUTWARD);
  const [c2, r2] = [reshape(centre, [n, size]), reshape(radius, [n, size])];
  const all = sub(matmul(c2, w, { tb: true, bias: shift }), matmul(r2, abs(w), { tb: true }));
  // Sizes of all terms behind a row: |C| (|W| (|c| + r) + |b|), over which every rounding is a share.
  const reach = reshape(add(abs(c2), r2), [n, ...shape]);
  const sizes = reshape(layer.applyAbs(reach, p, last.options), [n, rows.outputs]);
  const total = matmul(add(sizes, abs(bias)), abs(c), { tb: true });
  const terms = layer.terms(shape, last.options) + rows.outputs + 8;
  const error = affine(total, roundUp(8 * (gamma(terms) + 4 * U)), tiny(8 * terms * rows.outputs));
  const lower = toEnds(all, add(error, refusal(total)), OUTWARD)[0].read();
  return lessUnderflow(lower, reach.read(), rows, terms);
}

/** Products that underflow in the rows times the matrix, fed with inputs of a size up to `reach`. */
function lessUnderflow(
  lower: Float32Array,
  reach: Float32Array,
  { count, outputs, matrix }: OutputRows,
  terms: number,
): Float64Array {
  const n = lower.length / count;
  const most = matrix.reduce((a, w) => Math.max(a, Math.abs(w)), 0);
  const size = reach.length / n;
  return Float64Array.from(lower, (value, at) => {
    const i = Math.floor(at / count);
    let total = 0;
    for (let k = i * size; k < (i + 1) * size; k++) total += reach[k]!;
    return value - outputs * 2 ** -148 * (total + 4 * terms * most);
  });
}

/** Rows over the box of the outputs, in f64. */
export function rowsOfEnds(
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
  count: number,
  { count: rows, outputs, matrix, rest }: OutputRows,
): Float64Array {
  const lower = new Float64Array(count * rows);
  for (let i = 0; i < count; i++)
    for (let r = 0; r < rows; r++) {
      let [sum, size] = [0, 0];
      for (let j = 0; j < outputs; j++) {
        const w = matrix[r * outputs + j]! + (rest?.[r * outputs + j] ?? 0);
        if (w === 0) continue;
        const term = w * (w > 0 ? lo : hi)[i * outputs + j]!;
        sum += term;
        size += Math.abs(term);
      }
      lower[i * rows + r] = sum - size * (outputs + 12) * 2 ** -52 - (rest ? ROW_UNDERFLOW : 0);
    }
  return lower;
}

/** Lower bounds of the rounded rows, less what their rest can come to over the box of the outputs. */
export function lessRest(
  lower: Float64Array,
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
  { count, outputs, rest }: OutputRows,
): Float64Array {
  return lower.map((value, at) => {
    const [i, r] = [Math.floor(at / count), at % count];
    let size = 0;
    for (let j = 0; j < outputs; j++) {
      const largest = Math.max(Math.abs(lo[i * outputs + j]!), Math.abs(hi[i * outputs + j]!));
      const w = Math.abs(rest?.[r * outputs + j] ?? 0);
      if (w !== 0) size += w * largest;
    }
    return value - size * (1 + 1e-12) - Math.abs(value) * 2 ** -52 - ROW_UNDERFLOW;
  });
}
