/**
 * Backward pass of CROWN (linear.ts says what it proves): what each role does to rows of coefficients, and
 * the pass itself. The nodes' relaxations and constants are those of the bounding context (context.ts).
 */

import { leastOver } from '../domain/balls';
import type { With } from '../domain/domain';
import { F64_MANY, F64_U, roundDown, roundUp } from '../domain/rounding';
import type { GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer } from '../nn/layer';
import { type OneHotRows, oneHotRows } from '../nn/operator';
import { add, mul, reshape } from '../tensor/ops/core';
import { addColumns, lowerDot, type RowIndices, relaxRows } from '../tensor/ops/rows';
import { takeRows } from '../tensor/ops/shape';
import { type Shape, sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { type BoundContext, behind, operatorAt, prepare, samplesOf } from './context';
import {
  type Patch,
  type Patches,
  type PatchPositions,
  POINT,
  pointsOf,
  positionsOf,
  tableThrough,
  throughPatch,
  widen,
} from './patches';
import type { Relaxation } from './relaxations';

/** Coefficients [rows, ...shape], or rows that are multiples of unit vectors. */
export type Coefficients = Tensor | OneHotRows;

/** Rows of a specification matrix: linear functions of one node's values, row r of sample `sample[r]`. */
export interface Rows {
  readonly sample: Int32Array;
  readonly values: Coefficients;
}

/** Lower slopes [rows, ...shape] of unstable neurons, by position of the pointwise node. */
export type LowerSlopes = ReadonlyMap<number, Tensor>;

const isOneHot = (c: Coefficients): c is OneHotRows => 'factor' in c;

/** Rows of a pass: the sample of each, and how they see the nodes. */
interface View {
  readonly context: BoundContext;
  readonly sample: Int32Array;
  readonly patches: Patches;
  /** Positions of one-hot rows, where there are patches. */
  readonly positions: PatchPositions | undefined;
}

/**
 * Lower bound of every row over the set of inputs, [rows]. Rows are of the output of `target`. With
 * `patches` one-hot rows are kept as patches where that is less; no gradients flow then.
 */
export function backwardPass(
  context: BoundContext,
  target: number,
  { sample, values: rows }: Rows,
  {
    slopes,
    patches = WHOLE,
  }: { slopes?: LowerSlopes | undefined; patches?: Patches | undefined } = {},
): Tensor {
  prepare(context, target);
  const positions =
    isOneHot(rows) && patches.size > 0
      ? positionsOf(sample, rows, context.graph.nodes[target]!.shape)
      : undefined;
  const view: View = { context, sample, patches: positions ? patches : WHOLE, positions };
  const pending = new Map<number, Coefficients>([[target, rows]]);
  let d = underflowStart(context, target, sample);
  for (let v = target; v >= 0; v--) {
    const values = pending.get(v);
    if (!values) continue;
    pending.delete(v);
    const node = context.graph.nodes[v]!;
    const through = throughNode(view, v, values, d, slopes?.get(v));
    d = through.d;
    for (const [k, i] of node.inputs.entries()) {
      const [mine, other] = [fitted(view, i, through.values[k]!, through.patch), pending.get(i)];
      const total = other ? add(dense(view, i, other), dense(view, i, mine)) : mine;
      const error = other && context.mergeErrors.get(i);
      if (error) d = lowerDotAt(view, i, total as Tensor, error.lo, error.hi, d);
      pending.set(i, total);
    }
  }
  const last = dense(view, -1, pending.get(-1)!);
  if (context.set.ball) return leastOver(context.set, last, { sample, d, sound: context.sound });
  const { lo, hi } = context.set.box;
  return lowerDotAt(view, -1, last, lo, hi, d);
}

const WHOLE: Patches = new Map();

/** Coefficients as the pass sees a node. */
function fitted(view: View, v: number, values: Coefficients, patch?: Patch): Coefficients {
  if (isOneHot(values) || !patch) return values;
  return widen(values, patch, view.patches.get(v), view.positions!, shapeOf(view, v));
}

/** A table over a node's values, [samples or 1, ...shape], as its rows read it. */
const tableAt = ({ patches, positions }: View, v: number, table: Tensor): Tensor =>
  patches.has(v) ? tableThrough(patches.get(v)!, positions!, table) : table;

/** Index into such a table for each row. */
function indicesAt({ patches, positions, sample }: View, v: number, { shape }: Tensor): RowIndices {
  if (patches.has(v)) return positions!.index;
  return shape[0] === 1 ? sample.map(() => 0) : sample;
}

function lowerDotAt(view: View, v: number, a: Tensor, low: Tensor, up: Tensor, d: Tensor): Tensor {
  return lowerDot(a, tableAt(view, v, low), tableAt(view, v, up), indicesAt(view, v, low), d);
}

/** First constants of the rows: less than all products on their way lose by underflow. */
function underflowStart(context: BoundContext, target: number, sample: RowIndices): Tensor {
  const rows = sample.length;
  if (!context.sound) return filled(context.engine, [rows], 0);
  const lost = new Float64Array(samplesOf(context));
  for (const v of behind(context.graph, target))
    context.cache.get(v)!.underflow.forEach((value, i) => {
      lost[i]! += value;
    });
  const starts = Float32Array.from(lost, (sum) => -roundUp(sum * (1 + F64_MANY)));
  const d = new Float32Array(rows);
  for (let r = 0; r < rows; r++) d[r] = starts[sample[r]!]!;
  return input(context.engine, d, [rows]);
}

interface Through {
  /** Coefficients by input of the node. */
  readonly values: readonly Coefficients[];
  readonly d: Tensor;
  /** Patch that the coefficients are of, where they are of one. */
  readonly patch?: Patch | undefined;
}

/** Takes rows of a node's output to its inputs. */
function throughNode(
  view: View,
  v: number,
  values: Coefficients,
  d: Tensor,
  slopes?: Tensor,
): Through {
  const node = view.context.graph.nodes[v]!;
  const { layer } = node;
  if (layer.role === 'affine') return throughAffine(view, v, node as With<AffineLayer>, values, d);
  if (layer.role === 'pointwise') return throughPointwise(view, v, values, d, slopes);
  if (layer.pick) return throughMaximum(view, v, node, values, d);
  return throughSum(view, v, node as With<JoinLayer>, values, d);
}

function throughAffine(
  view: View,
  v: number,
  node: With<AffineLayer>,
  values: Coefficients,
  d: Tensor,
): Through {
  const w = operatorAt(view.context, node);
  const after = withConstants(view, v, values, d);
  const patch = view.patches.get(v);
  if (patch) {
    const before = throughPatch(node, w, values, patch);
    return { values: [before.values], d: after, patch: before.patch };
  }
  if (isOneHot(values) && w.rows) return { values: [w.rows(values)], d: after };
  return { values: [w.transpose(dense(view, v, values))], d: after };
}

function throughPointwise(
  view: View,
  v: number,
  values: Coefficients,
  d: Tensor,
  slopes?: Tensor,
): Through {
  const relaxation = view.context.cache.get(v)!.relaxation!;
  const { low, lowOffset, up, upOffset } = relaxation;
  const a = dense(view, v, values);
  const upAt = indicesAt(view, v, up);
  const lower =
    slopes && relaxation.unstable
      ? { low: whereUnstable(relaxation, slopes, view.sample), lowAt: view.sample.map((_, r) => r) }
      : { low: tableAt(view, v, low), lowAt: upAt };
  return {
    values: [relaxRows(a, { ...lower, up: tableAt(view, v, up), upAt })],
    d: lowerDotAt(view, v, a, lowOffset, upOffset, d),
    patch: view.patches.get(v),
  };
}

/** The given lower slopes of unstable neurons, and the relaxation's own elsewhere: [rows, ...]. */
function whereUnstable({ low, unstable }: Relaxation, slopes: Tensor, sample: RowIndices): Tensor {
  const { engine, shape } = low;
  const rows = (t: Tensor): Tensor => takeRows(reshape(t, [shape[0]!, t.size / shape[0]!]), sample);
  const open = input(engine, unstable!, shape);
  const fixed = mul(
    low,
    input(
      engine,
      unstable!.map((f) => 1 - f),
      shape,
    ),
  );
  const chosen = add(rows(fixed), mul(reshape(slopes, rows(open).shape), rows(open)));
  return reshape(chosen, [sample.length, ...shape.slice(1)]);
}

function throughMaximum(
  view: View,
  v: number,
  node: GraphNode,
  values: Coefficients,
  d: Tensor,
): Through {
  const { low, lowOffset, up, upOffset, index } = view.context.cache.get(v)!.maxima!;
  const { sample } = view;
  const a = dense(view, v, values);
  const shape = node.inputShapes[0]!;
  const columns = sizeOf(node.shape);
  const best = relaxRows(a, { low, lowAt: sample, up, upAt: sample });
  const flat = reshape(best, [sample.length, columns]);
  const back = addColumns(flat, { index, columns, at: sample, width: sizeOf(shape) });
  return {
    values: [reshape(back, [sample.length, ...shape])],
    d: lowerDot(a, lowOffset, upOffset, sample, d),
  };
}

function throughSum(
  view: View,
  v: number,
  node: With<JoinLayer>,
  values: Coefficients,
  d: Tensor,
): Through {
  const { layer, inputShapes, options } = node;
  const after = withConstants(view, v, values, d);
  const patch = view.patches.get(v);
  // Only a sum rounds, and all its inputs have the coefficients of the output.
  if (layer.roundings(inputShapes.length) > 0 && (patch || isOneHot(values)))
    return { values: inputShapes.map(() => values), d: after, patch };
  return { values: layer.transpose!(dense(view, v, values), inputShapes, options), d: after };
}

/** d + the least that rows of a node can make of its constants. */
function withConstants(view: View, v: number, values: Coefficients, d: Tensor): Tensor {
  const { context, sample } = view;
  const box = context.cache.get(v)!.constants;
  if (!box) return d;
  if (!isOneHot(values)) return lowerDotAt(view, v, values, box.lo, box.hi, d);
  const shared = box.lo.shape[0] === 1;
  const [lo, hi, start] = [box.lo.read(), box.hi.read(), d.read()];
  const columns = sizeOf(box.lo.shape.slice(1));
  const { index, factor } = values;
  const sums = start.map((d0, r) => {
    const [place, f] = [(shared ? 0 : sample[r]! * columns) + index[r]!, factor[r]!];
    const term = f * (f > 0 ? lo[place]! : hi[place]!);
    return roundDown(d0 + term - (Math.abs(d0) + Math.abs(term)) * 2 * F64_U);
  });
  return input(context.engine, sums, [sample.length]);
}

const shapeOf = ({ context: { graph } }: View, v: number): Shape =>
  v < 0 ? graph.network.input : graph.nodes[v]!.shape;

/** Coefficients as a tensor, whatever they are. */
function dense(view: View, v: number, values: Coefficients): Tensor {
  if (!isOneHot(values)) return values;
  const { engine } = view.context;
  const shape = shapeOf(view, v);
  if (view.patches.has(v)) return fitted(view, v, pointsOf(values, engine, shape), POINT) as Tensor;
  return oneHotRows(values, engine, shape);
}
