/**
 * Replays of witnesses: the network in float64, by roles alone, and in float32 by the
 * other binary.
 *
 * In float64 the rows of an affine layer are read off its transpose at unit vectors, which is exact (sums of one
 * product), and multiplied in f64; a sum is added in f64; layers that choose among values (maxima,
 * concatenation) choose among their ranks. Coefficients that a layer computes itself, such as the
 * 1 / n of an average, are the float32 ones. Cost: outputs x inputs of every affine layer, so a
 * thousand forward passes; with `Rows` kept from a point before, about ten. Rows go block by block;
 * kept ones take 8 bytes a multiply-add.
 */
import { type Domain, type NodeWith, propagate } from '../domain/domain';
import type { GraphNode } from '../nn/graph';
import type { AffineLayer } from '../nn/layer';
import { type AnyModel, freeModel } from '../nn/model';
import type { LinearOperator } from '../nn/operator';
import { type Binary, type Engine, otherBinary } from '../runtime/engine';
import { readEntries } from '../sparse/weight';
import { sizeOf } from '../tensor/shape';
import { filled, input, keep, step, type Tensor } from '../tensor/tensor';
import { outputsAt } from './descent';

/** Numbers of a block of rows. */
const BLOCK = 1 << 22;

/** Weights of affine nodes, row by row without zeros, as long as nobody changes them. */
export interface Rows {
  readonly of: Map<GraphNode, NodeRows>;
  /** Bytes that more of them may take; nodes that need more are worked out again. */
  room: number;
}

interface NodeRows {
  readonly bias: Float32Array;
  readonly blocks: readonly RowBlock[];
}

interface RowBlock {
  /** Number of the first row. */
  readonly from: number;
  readonly columns: Int32Array;
  readonly weights: Float32Array;
  /** Row from + i is [start[i], start[i + 1]). */
  readonly start: Int32Array;
}

export const newRows = (room = 64 * 2 ** 20): Rows => ({ of: new Map(), room });

/** The output at one input, both flat. */
export function replay(model: AnyModel, x: Float64Array, rows: Rows = newRows(0)): Float64Array {
  const { engine, graph, params } = model;
  const domain: Domain<Float64Array> = {
    affine: (node, p, at) => affine(engine, node, p, at, rows),
    pointwise: ({ layer, options }, at) => at.map((v) => layer.scalar(v, options)),
    join: (node, xs) => join(engine, node, xs),
  };
  return step(engine, () => propagate(graph, params, domain, x));
}

export interface OtherRun {
  readonly binary: Binary;
  readonly y: Float32Array;
}

/** The float32 outputs at one input by the binary that the model's engine does not run, if there is one. */
export function inOtherBinary(
  { engine, graph, params }: AnyModel,
  x: Float32Array,
): OtherRun | undefined {
  const other = otherBinary(engine);
  if (!other) return undefined;
  const copies = new Map<string, Tensor>();
  const copy = { engine: other, graph, params: copies };
  try {
    for (const [name, t] of params) copies.set(name, keep(other, t.shape, readEntries(t)));
    return { binary: other.binary, y: outputsAt(copy, x, 1) };
  } finally {
    freeModel(copy);
  }
}

function affine(
  engine: Engine,
  node: NodeWith<AffineLayer>,
  w: LinearOperator,
  x: Float64Array,
  rows: Rows,
): Float64Array {
  const kept = rows.of.get(node);
  const bias = kept?.bias ?? biasOf(engine, node, w);
  const y = Float64Array.from(bias);
  const blocks: RowBlock[] = [];
  let { room } = rows;
  for (const block of kept?.blocks ?? blocksOf(engine, node, w)) {
    addTimes(y, block, x);
    room -= 8 * block.weights.length;
    if (room >= 0) blocks.push(block);
    else blocks.length = 0;
  }
  if (!kept && room >= 0) {
    rows.of.set(node, { bias, blocks });
    rows.room = room;
  }
  return y;
}

const biasOf = (
  engine: Engine,
  { inputShapes }: NodeWith<AffineLayer>,
  w: LinearOperator,
): Float32Array => step(engine, () => w.apply(filled(engine, [1, ...inputShapes[0]!], 0)).read());

function* blocksOf(
  engine: Engine,
  node: NodeWith<AffineLayer>,
  w: LinearOperator,
): Generator<RowBlock> {
  const inputShape = node.inputShapes[0]!;
  const [inputs, outputs] = [sizeOf(inputShape), sizeOf(node.shape)];
  const block = Math.max(1, Math.floor(BLOCK / Math.max(inputs, outputs)));
  for (let from = 0; from < outputs; from += block) {
    const count = Math.min(block, outputs - from);
    const dense = step(engine, () => {
      const units = new Float32Array(count * outputs);
      for (let i = 0; i < count; i++) units[i * outputs + from + i] = 1;
      const g = input(engine, units, [count, ...node.shape]);
      return w.transpose(g).read();
    });
    const places = new Int32Array(dense.length);
    const start = new Int32Array(count + 1);
    let found = 0;
    for (let i = 0, at = 0; i < count; i++) {
      for (let k = 0; k < inputs; k++, at++) if (dense[at] !== 0) places[found++] = at;
      start[i + 1] = found;
    }
    const kept = places.subarray(0, found);
    const columns = kept.map((at) => at % inputs);
    yield { from, columns, weights: Float32Array.from(kept, (at) => dense[at]!), start };
  }
}

function addTimes(
  y: Float64Array,
  { from, columns, weights, start }: RowBlock,
  x: Float64Array,
): void {
  for (let i = 0; i + 1 < start.length; i++) {
    let sum = 0;
    for (let at = start[i]!; at < start[i + 1]!; at++) sum += weights[at]! * x[columns[at]!]!;
    y[from + i]! += sum;
  }
}

function join(engine: Engine, node: GraphNode, xs: readonly Float64Array[]): Float64Array {
  const { layer, options, inputShapes } = node;
  if (layer.role !== 'join') return xs[0]!;
  if (layer.roundings(xs.length) > 0)
    return xs.slice(1).reduce((sum, x) => sum.map((v, i) => v + x[i]!), xs[0]!);
  const values = Float64Array.from(new Set(xs.flatMap((x) => [...x]))).sort();
  const rank = new Map(Array.from(values, (v, i) => [v, i]));
  const ranks = step(engine, () => {
    const tensors = xs.map((x, i) =>
      input(
        engine,
        Float32Array.from(x, (v) => rank.get(v)!),
        [1, ...inputShapes[i]!],
      ),
    );
    return layer.combine(tensors, options).read();
  });
  return Float64Array.from(ranks, (r) => values[r]!);
}
