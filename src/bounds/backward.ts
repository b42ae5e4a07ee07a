/**
 * The backward walk of linear bounds (linear.ts says what it proves): what each role does to rows of
 * coefficients, and the walk itself. What the nodes' constants are, scene.ts works out.
 */

import { leastOver } from '../domain/balls';
import type { With } from '../domain/domain';
import { roundDown, roundUp } from '../domain/rounding';
import type { GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer } from '../nn/layer';
import { type Units, unitRows } from '../nn/operator';
import { add, mul, reshape } from '../tensor/ops/core';
import { addColumns, type Lines, lowerDot, relaxRows } from '../tensor/ops/rows';
import { takeRows } from '../tensor/ops/shape';
import { type Shape, sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { behind, operatorAt, prepare, type Scene, samplesOf } from './context';
import {
  POINT,
  pointsOf,
  type Spots,
  spotsOf,
  tableThrough,
  throughWindow,
  type Window,
  type Windows,
  widen,
} from './patches';
import type { Relaxation } from './relaxations';

/** Coefficients [rows, ...shape], or rows that are multiples of unit vectors. */
export type Coefficients = Tensor | Units;

/** Linear functions of one node's values; row r is of sample `at[r]`. */
export interface Rows {
  readonly at: Int32Array;
  readonly values: Coefficients;
}

/** By position of a pointwise node: lower slopes [rows, ...shape], taken where a kink is crossed. */
export type LowerSlopes = ReadonlyMap<number, Tensor>;

const isUnits = (c: Coefficients): c is Units => 'factor' in c;

/** A walk's rows: the sample of each, and how they see the nodes. */
interface View {
  readonly scene: Scene;
  readonly at: Int32Array;
  readonly windows: Windows;
  /** Of rows that are unit vectors, where there are windows. */
  readonly spots: Spots | undefined;
}

/**
 * A lower bound of every row over the set of inputs, [rows]. Rows are of the output of `target`. With
 * `windows` rows of unit vectors are kept as windows where that is less; no gradients flow then.
 */
export function walk(
  scene: Scene,
  target: number,
  { at, values: rows }: Rows,
  {
    slopes,
    windows = WHOLE,
  }: { slopes?: LowerSlopes | undefined; windows?: Windows | undefined } = {},
): Tensor {
  prepare(scene, target);
  const spots =
    isUnits(rows) && windows.size > 0
      ? spotsOf(at, rows, scene.graph.nodes[target]!.shape)
      : undefined;
  const view: View = { scene, at, windows: spots ? windows : WHOLE, spots };
  const pending = new Map<number, Coefficients>([[target, rows]]);
  let d = lostToUnderflow(scene, target, at);
  for (let v = target; v >= 0; v--) {
    const values = pending.get(v);
    if (!values) continue;
    pending.delete(v);
    const node = scene.graph.nodes[v]!;
    const through = pass(view, v, values, d, slopes?.get(v));
    d = through.d;
    for (const [k, i] of node.inputs.entries()) {
      const [mine, other] = [fitted(view, i, through.values[k]!, through.window), pending.get(i)];
      const total = other ? add(dense(view, i, other), dense(view, i, mine)) : mine;
      const error = other && scene.merges.get(i);
      if (error) d = lowerDotAt(view, i, total as Tensor, error.lo, error.hi, d);
      pending.set(i, total);
    }
  }
  const last = dense(view, -1, pending.get(-1)!);
  if (scene.set.ball) return leastOver(scene.set, last, { at, d, sound: scene.sound });
  const { lo, hi } = scene.set.box;
  return lowerDotAt(view, -1, last, lo, hi, d);
}

const WHOLE: Windows = new Map();

/** Coefficients as the walk sees a node. */
function fitted(view: View, v: number, values: Coefficients, window?: Window): Coefficients {
  if (isUnits(values) || !window) return values;
  return widen(values, window, view.windows.get(v), view.spots!, shapeOf(view, v));
}

/** A table over a node's values, [samples or 1, ...shape], as its rows read it. */
const tableAt = ({ windows, spots }: View, v: number, table: Tensor): Tensor =>
  windows.has(v) ? tableThrough(windows.get(v)!, spots!, table) : table;

/** The line of such a table that each row reads. */
function linesAt({ windows, spots, at }: View, v: number, { shape }: Tensor): Lines {
  if (windows.has(v)) return spots!.line;
  return shape[0] === 1 ? at.map(() => 0) : at;
}

function lowerDotAt(view: View, v: number, a: Tensor, low: Tensor, up: Tensor, d: Tensor): Tensor {
  return lowerDot(a, tableAt(view, v, low), tableAt(view, v, up), linesAt(view, v, low), d);
}

function lostToUnderflow(scene: Scene, target: number, at: Lines): Tensor {
  const rows = at.length;
  if (!scene.sound) return filled(scene.engine, [rows], 0);
  const lost = new Float64Array(samplesOf(scene));
  for (const v of behind(scene.graph, target))
    scene.locals.get(v)!.spill.forEach((value, i) => {
      lost[i]! += value;
    });
  const starts = Float32Array.from(lost, (sum) => -roundUp(sum * (1 + 1e-9)));
  const d = new Float32Array(rows);
  for (let r = 0; r < rows; r++) d[r] = starts[at[r]!]!;
  return input(scene.engine, d, [rows]);
}

interface Through {
  /** By input of the node. */
  readonly values: readonly Coefficients[];
  readonly d: Tensor;
  /** What they are windows of, where they are. */
  readonly window?: Window | undefined;
}

/** Takes rows of a node's output to its inputs. */
function pass(view: View, v: number, values: Coefficients, d: Tensor, slopes?: Tensor): Through {
  const node = view.scene.graph.nodes[v]!;
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
  const w = operatorAt(view.scene, node);
  const after = withConstants(view, v, values, d);
  const window = view.windows.get(v);
  if (window) {
    const before = throughWindow(node, w, values, window);
    return { values: [before.values], d: after, window: before.window };
  }
  if (isUnits(values) && w.rows) return { values: [w.rows(values)], d: after };
  return { values: [w.transpose(dense(view, v, values))], d: after };
}

function throughPointwise(
  view: View,
  v: number,
  values: Coefficients,
  d: Tensor,
  slopes?: Tensor,
): Through {
  const relaxation = view.scene.locals.get(v)!.relaxation!;
  const { low, lowOffset, up, upOffset } = relaxation;
  const a = dense(view, v, values);
  const upAt = linesAt(view, v, up);
  const lower =
    slopes && relaxation.free
      ? { low: whereFree(relaxation, slopes, view.at), lowAt: view.at.map((_, r) => r) }
      : { low: tableAt(view, v, low), lowAt: upAt };
  return {
    values: [relaxRows(a, { ...lower, up: tableAt(view, v, up), upAt })],
    d: lowerDotAt(view, v, a, lowOffset, upOffset, d),
    window: view.windows.get(v),
  };
}

/** The given slopes where a kink leaves them free, and the relaxation's own elsewhere: [rows, ...]. */
function whereFree({ low, free }: Relaxation, slopes: Tensor, at: Lines): Tensor {
  const { engine, shape } = low;
  const rows = (t: Tensor): Tensor => takeRows(reshape(t, [shape[0]!, t.size / shape[0]!]), at);
  const open = input(engine, free!, shape);
  const fixed = mul(
    low,
    input(
      engine,
      free!.map((f) => 1 - f),
      shape,
    ),
  );
  const chosen = add(rows(fixed), mul(reshape(slopes, rows(open).shape), rows(open)));
  return reshape(chosen, [at.length, ...shape.slice(1)]);
}

function throughMaximum(
  view: View,
  v: number,
  node: GraphNode,
  values: Coefficients,
  d: Tensor,
): Through {
  const { low, lowOffset, up, upOffset, index } = view.scene.locals.get(v)!.maxima!;
  const { at } = view;
  const a = dense(view, v, values);
  const shape = node.inputShapes[0]!;
  const columns = sizeOf(node.shape);
  const best = relaxRows(a, { low, lowAt: at, up, upAt: at });
  const flat = reshape(best, [at.length, columns]);
  const back = addColumns(flat, { index, columns, at, width: sizeOf(shape) });
  return {
    values: [reshape(back, [at.length, ...shape])],
    d: lowerDot(a, lowOffset, upOffset, at, d),
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
  const window = view.windows.get(v);
  // Only a sum rounds, and all its inputs have the coefficients of the output.
  if (layer.terms(inputShapes.length) > 0 && (window || isUnits(values)))
    return { values: inputShapes.map(() => values), d: after, window };
  return { values: layer.transpose!(dense(view, v, values), inputShapes, options), d: after };
}

/** d + the least that rows of a node can make of its constants. */
function withConstants(view: View, v: number, values: Coefficients, d: Tensor): Tensor {
  const { scene, at } = view;
  const box = scene.locals.get(v)!.constants;
  if (!box) return d;
  if (!isUnits(values)) return lowerDotAt(view, v, values, box.lo, box.hi, d);
  const shared = box.lo.shape[0] === 1;
  const [lo, hi, start] = [box.lo.read(), box.hi.read(), d.read()];
  const columns = sizeOf(box.lo.shape.slice(1));
  const { index, factor } = values;
  const sums = start.map((d0, r) => {
    const [place, f] = [(shared ? 0 : at[r]! * columns) + index[r]!, factor[r]!];
    const term = f * (f > 0 ? lo[place]! : hi[place]!);
    return roundDown(d0 + term - (Math.abs(d0) + Math.abs(term)) * 2 ** -51);
  });
  return input(scene.engine, sums, [at.length]);
}

const shapeOf = ({ scene: { graph } }: View, v: number): Shape =>
  v < 0 ? graph.network.input : graph.nodes[v]!.shape;

/** Coefficients as a tensor, whatever they are. */
function dense(view: View, v: number, values: Coefficients): Tensor {
  if (!isUnits(values)) return values;
  const { engine } = view.scene;
  const shape = shapeOf(view, v);
  if (view.windows.has(v)) return fitted(view, v, pointsOf(values, engine, shape), POINT) as Tensor;
  return unitRows(values, engine, shape);
}
