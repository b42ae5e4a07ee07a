/**
 * Backward pass of CROWN (linear.ts has the theory): propagates rows of linear coefficients from a target
 * node back to the input, one rule per role, and concretises them over the set of inputs. `values` are
 * coefficients and `d` is the constant term (the bias of the linear bound) of every row. Relaxations and
 * constants of the nodes are those of the bounding context (context.ts).
 */

import { concretise } from '../domain/balls';
import type { NodeWith } from '../domain/domain';
import { F64_MANY, F64_U, roundDown, roundUp } from '../domain/rounding';
import type { GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer } from '../nn/layer';
import { type OneHotRows, oneHotRows } from '../nn/operator';
import { add, mul, reshape } from '../tensor/ops/core';
import { addColumns, lowerDot, type Pair, type RowIndices, relaxRows } from '../tensor/ops/rows';
import { takeRows } from '../tensor/ops/shape';
import { type Shape, sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { ancestors, type BoundContext, operatorAt, prepare, samplesOf } from './context';
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

/** Rows of a specification matrix: row r is a linear function of one node's values for sample `sample[r]`. */
export interface Rows {
  readonly sample: Int32Array;
  readonly values: Coefficients;
}

/** Lower slopes (the alpha of alpha-CROWN) of unstable neurons, [rows, ...shape], by position of the pointwise node. */
export type LowerSlopes = ReadonlyMap<number, Tensor>;

/** The two lines of every neuron, row by row, [rows, ...shape] each, by position of the pointwise node. */
export type RowRelaxations = ReadonlyMap<number, Lines>;
export type Lines = Pick<Relaxation, 'low' | 'lowOffset' | 'up' | 'upOffset'>;

export interface BackwardOptions {
  readonly slopes?: LowerSlopes | undefined;
  readonly patches?: Patches | undefined;
  /** Relaxations in place of the context's. */
  readonly relaxations?: RowRelaxations | undefined;
  /**
   * Sees the coefficients of every node (-1: the input) once they are complete, and returns those that go on:
   * the same, or lower ones where the node's value is at least 0 and higher ones where it is at most 0.
   */
  readonly visit?: ((v: number, values: Tensor) => Tensor) | undefined;
}

const isOneHot = (c: Coefficients): c is OneHotRows => 'factor' in c;

/** What is fixed during one pass: the sample of each row, and which nodes keep coefficients as patches. */
interface View {
  readonly context: BoundContext;
  readonly sample: Int32Array;
  readonly patches: Patches;
  /** Positions of one-hot rows, where there are patches. */
  readonly positions: PatchPositions | undefined;
}

/**
 * Lower bounds of rows of the output of `target` over the set of inputs: [rows]. With `patches` the
 * coefficients of one-hot rows are kept as patches where these are smaller; no gradients flow then.
 */
export function backwardPass(
  context: BoundContext,
  target: number,
  { sample, values: rows }: Rows,
  { slopes, patches = NO_PATCHES, relaxations, visit }: BackwardOptions = {},
): Tensor {
  prepare(context, target);
  const positions =
    isOneHot(rows) && patches.size > 0
      ? positionsOf(sample, rows, context.graph.nodes[target]!.shape)
      : undefined;
  const view: View = { context, sample, patches: positions ? patches : NO_PATCHES, positions };
  const pending = new Map<number, Coefficients>([[target, rows]]);
  let d = underflowStart(context, target, sample);
  for (let v = target; v >= 0; v--) {
    const found = pending.get(v);
    if (!found) continue;
    pending.delete(v);
    const values = visit ? visit(v, dense(view, v, found)) : found;
    const node = context.graph.nodes[v]!;
    const through = throughNode(view, v, values, d, linesAt(view, v, slopes, relaxations));
    d = through.d;
    for (const [k, i] of node.inputs.entries()) {
      const [mine, other] = [asSeenAt(view, i, through.values[k]!, through.patch), pending.get(i)];
      const total = other ? add(dense(view, i, other), dense(view, i, mine)) : mine;
      const error = other && context.mergeErrors.get(i);
      if (error) d = lowerDotAt(view, i, total as Tensor, error.lo, error.hi, d);
      pending.set(i, total);
    }
  }
  const reached = dense(view, -1, pending.get(-1)!);
  const last = visit ? visit(-1, reached) : reached;
  if (context.set.ball) return concretise(context.set, last, { sample, d, sound: context.sound });
  const { lo, hi } = context.set.box;
  return lowerDotAt(view, -1, last, lo, hi, d);
}

const NO_PATCHES: Patches = new Map();

/** Coefficients in the form that the pass keeps at node v: the patch there, or all values of the node. */
function asSeenAt(view: View, v: number, values: Coefficients, patch?: Patch): Coefficients {
  if (isOneHot(values) || !patch) return values;
  return widen(values, patch, view.patches.get(v), view.positions!, shapeOf(view, v));
}

/** A table over the values of node v, [samples or 1, ...shape], in the form that coefficients have there. */
const tableAt = ({ patches, positions }: View, v: number, table: Tensor): Tensor =>
  patches.has(v) ? tableThrough(patches.get(v)!, positions!, table) : table;

/** Index of each row into such a table. */
function indicesAt({ patches, positions, sample }: View, v: number, { shape }: Tensor): RowIndices {
  if (patches.has(v)) return positions!.index;
  return shape[0] === 1 ? sample.map(() => 0) : sample;
}

/** d + the minimum of a . x over the box [low, up] of node v: max(a, 0) . low + min(a, 0) . up. */
function lowerDotAt(view: View, v: number, a: Tensor, low: Tensor, up: Tensor, d: Tensor): Tensor {
  return lowerDot(a, tableAt(view, v, low), tableAt(view, v, up), indicesAt(view, v, low), d);
}

/** Initial constants d, [rows]: minus an upper bound of what underflow can lose in all products of the pass, so that the bound stays sound. */
function underflowStart(context: BoundContext, target: number, sample: RowIndices): Tensor {
  const rows = sample.length;
  if (!context.sound) return filled(context.engine, [rows], 0);
  const lost = new Float64Array(samplesOf(context));
  for (const v of ancestors(context.graph, target))
    context.cache.get(v)!.underflow.forEach((value, i) => {
      lost[i]! += value;
    });
  const starts = Float32Array.from(lost, (sum) => -roundUp(sum * (1 + F64_MANY)));
  const d = new Float32Array(rows);
  for (let r = 0; r < rows; r++) d[r] = starts[sample[r]!]!;
  return input(context.engine, d, [rows]);
}

/** Result of taking rows through one node. */
interface Through {
  /** Coefficients by input of the node. */
  readonly values: readonly Coefficients[];
  readonly d: Tensor;
  /** The patch that the coefficients cover, if they do not cover all values. */
  readonly patch?: Patch | undefined;
}

/** Propagates rows from a node's output back to its inputs. */
function throughNode(
  view: View,
  v: number,
  values: Coefficients,
  d: Tensor,
  lines?: RowLines,
): Through {
  const node = view.context.graph.nodes[v]!;
  const { layer } = node;
  if (layer.role === 'affine')
    return throughAffine(view, v, node as NodeWith<AffineLayer>, values, d);
  if (layer.role === 'pointwise') return throughPointwise(view, v, values, d, lines!);
  if (layer.pick) return throughMaximum(view, v, node, values, d);
  return throughSum(view, v, node as NodeWith<JoinLayer>, values, d);
}

function throughAffine(
  view: View,
  v: number,
  node: NodeWith<AffineLayer>,
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

/** Lines of a pointwise node with each row's index into them. */
interface RowLines extends Pair {
  readonly lowOffset: Tensor;
  readonly upOffset: Tensor;
  readonly offsetAt: RowIndices;
}

/** The lines that the rows take at node v, undefined where it is not pointwise. */
function linesAt(
  view: View,
  v: number,
  slopes?: LowerSlopes,
  relaxations?: RowRelaxations,
): RowLines | undefined {
  const own = view.context.cache.get(v)!.relaxation;
  if (!own) return undefined;
  const each = view.sample.map((_, r) => r);
  const given = relaxations?.get(v);
  if (given) return { ...given, lowAt: each, upAt: each, offsetAt: each };
  const at = indicesAt(view, v, own.up);
  const chosen = own.unstable && slopes?.get(v);
  const [low, up] = [chosen ? own.low : tableAt(view, v, own.low), tableAt(view, v, own.up)];
  const offsets = {
    lowOffset: tableAt(view, v, own.lowOffset),
    upOffset: tableAt(view, v, own.upOffset),
  };
  const lines = { low, lowAt: at, up, upAt: at, ...offsets, offsetAt: at };
  return chosen ? { ...lines, low: whereUnstable(own, chosen, view.sample), lowAt: each } : lines;
}

function throughPointwise(
  view: View,
  v: number,
  values: Coefficients,
  d: Tensor,
  lines: RowLines,
): Through {
  const a = dense(view, v, values);
  return {
    values: [relaxRows(a, lines)],
    d: lowerDot(a, lines.lowOffset, lines.upOffset, lines.offsetAt, d),
    patch: view.patches.get(v),
  };
}

/** Lower slopes by row, [rows, ...shape]: the given ones for unstable neurons, the relaxation's own for the others. */
function whereUnstable({ low, unstable }: Relaxation, slopes: Tensor, sample: RowIndices): Tensor {
  const { engine, shape } = low;
  const rows = (t: Tensor): Tensor => takeRows(reshape(t, [shape[0]!, t.size / shape[0]!]), sample);
  const isUnstable = input(engine, unstable!, shape);
  const fixed = mul(
    low,
    input(
      engine,
      unstable!.map((f) => 1 - f),
      shape,
    ),
  );
  const chosen = add(rows(fixed), mul(reshape(slopes, rows(isUnstable).shape), rows(isUnstable)));
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
  node: NodeWith<JoinLayer>,
  values: Coefficients,
  d: Tensor,
): Through {
  const { layer, inputShapes, options } = node;
  const after = withConstants(view, v, values, d);
  const patch = view.patches.get(v);
  // A join that rounds is a sum: every input gets the coefficients of the output, unchanged.
  if (layer.roundings(inputShapes.length) > 0 && (patch || isOneHot(values)))
    return { values: inputShapes.map(() => values), d: after, patch };
  return { values: layer.transpose!(dense(view, v, values), inputShapes, options), d: after };
}

/** d + the minimum of the rows over the box of the node's constants (its bias and, where sound, rounding errors). */
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

/** Coefficients as a tensor: one-hot rows are written out. */
function dense(view: View, v: number, values: Coefficients): Tensor {
  if (!isOneHot(values)) return values;
  const { engine } = view.context;
  const shape = shapeOf(view, v);
  if (view.patches.has(v))
    return asSeenAt(view, v, pointsOf(values, engine, shape), POINT) as Tensor;
  return oneHotRows(values, engine, shape);
}
