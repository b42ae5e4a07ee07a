/**
 * The backward walk of linear bounds (linear.ts says what it proves): what each role does to rows of
 * coefficients, and the walk itself. What the nodes' constants are, scene.ts works out.
 */
import type { GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer, Units } from '../nn/layer';
import { add, affine, mul, reshape } from '../tensor/ops/core';
import { addColumns, type Lines, lowerDot, relaxRows } from '../tensor/ops/rows';
import { takeRows } from '../tensor/ops/shape';
import { sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { leastOver } from './balls';
import type { With } from './domain';
import type { Box } from './interval';
import type { Relaxation } from './relaxations';
import { roundDown, roundUp, U } from './rounding';
import { behind, boxOf, paramsOf, prepare, type Scene, samplesOf, sizes } from './scene';

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

/** A lower bound of every row over the set of inputs, [rows]. Rows are of the output of `target`. */
export function walk(scene: Scene, target: number, rows: Rows, slopes?: LowerSlopes): Tensor {
  const { at } = rows;
  prepare(scene, target);
  const pending = new Map<number, Coefficients>([[target, rows.values]]);
  let d = lostToUnderflow(scene, target, at);
  for (let v = target; v >= 0; v--) {
    const values = pending.get(v);
    if (!values) continue;
    pending.delete(v);
    const node = scene.graph.nodes[v]!;
    const through = pass(scene, v, { at, values }, d, slopes?.get(v));
    d = through.d;
    for (const [k, i] of node.inputs.entries()) {
      const [mine, other] = [through.values[k]!, pending.get(i)];
      const total = other ? add(dense(scene, i, other), dense(scene, i, mine)) : mine;
      if (other && scene.sound) d = lessMergeError(boxOf(scene, i), total as Tensor, at, d);
      pending.set(i, total);
    }
  }
  const last = dense(scene, -1, pending.get(-1)!);
  return leastOver(scene.set, last, { at, d, sound: scene.sound });
}

/** A sum of two coefficients is off by u of its size. */
function lessMergeError(box: Box, total: Tensor, at: Lines, d: Tensor): Tensor {
  const hi = affine(sizes(box), U, 2 ** -148);
  return lowerDot(total, affine(hi, -1, 0), hi, at, d);
}

function lostToUnderflow(scene: Scene, target: number, at: Lines): Tensor {
  const rows = at.length;
  if (!scene.sound) return filled(scene.engine, [rows], 0);
  const lost = new Float64Array(samplesOf(scene));
  for (const v of behind(scene.graph, target))
    scene.locals.get(v)!.spill.forEach((value, i) => {
      lost[i]! += value;
    });
  return input(
    scene.engine,
    Float32Array.from({ length: rows }, (_, r) => -roundUp(lost[at[r]!]! * (1 + 1e-9))),
    [rows],
  );
}

interface Through {
  /** By input of the node. */
  readonly values: readonly Coefficients[];
  readonly d: Tensor;
}

/** Takes rows of a node's output to its inputs. */
function pass(scene: Scene, v: number, rows: Rows, d: Tensor, slopes?: Tensor): Through {
  const node = scene.graph.nodes[v]!;
  const { layer } = node;
  if (layer.role === 'affine') return throughAffine(scene, v, node as With<AffineLayer>, rows, d);
  if (layer.role === 'pointwise') return throughPointwise(scene, v, rows, d, slopes);
  if (layer.pick) return throughMaximum(scene, v, node, rows, d);
  return throughSum(scene, v, node as With<JoinLayer>, rows, d);
}

function throughAffine(
  scene: Scene,
  v: number,
  node: With<AffineLayer>,
  { at, values }: Rows,
  d: Tensor,
): Through {
  const [{ layer, options }, p] = [node, paramsOf(scene, node)];
  const after = withConstants(scene, v, { at, values }, d);
  const shape = node.inputShapes[0]!;
  if (isUnits(values) && layer.rows)
    return { values: [layer.rows(values, p, options, shape)], d: after };
  const back = layer.transpose(dense(scene, v, values), p, options, shape);
  return { values: [back], d: after };
}

function throughPointwise(
  scene: Scene,
  v: number,
  { at, values }: Rows,
  d: Tensor,
  slopes?: Tensor,
): Through {
  const relaxation = scene.locals.get(v)!.relaxation!;
  const { low, lowOffset, up, upOffset } = relaxation;
  const a = dense(scene, v, values);
  const lower =
    slopes && relaxation.free
      ? { low: whereFree(relaxation, slopes, at), lowAt: at.map((_, r) => r) }
      : { low, lowAt: at };
  return {
    values: [relaxRows(a, { ...lower, up, upAt: at })],
    d: lowerDot(a, lowOffset, upOffset, at, d),
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
  scene: Scene,
  v: number,
  node: GraphNode,
  { at, values }: Rows,
  d: Tensor,
): Through {
  const { low, lowOffset, up, upOffset, index } = scene.locals.get(v)!.maxima!;
  const a = dense(scene, v, values);
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
  scene: Scene,
  v: number,
  node: With<JoinLayer>,
  { at, values }: Rows,
  d: Tensor,
): Through {
  const { layer, inputShapes, options } = node;
  const after = withConstants(scene, v, { at, values }, d);
  // Only a sum rounds, and all its inputs have the coefficients of the output.
  if (isUnits(values) && layer.terms(inputShapes.length) > 0)
    return { values: inputShapes.map(() => values), d: after };
  return { values: layer.transpose!(dense(scene, v, values), inputShapes, options), d: after };
}

/** d + the least that rows of a node can make of its constants. */
function withConstants(scene: Scene, v: number, { at, values }: Rows, d: Tensor): Tensor {
  const box = scene.locals.get(v)!.constants;
  if (!box) return d;
  const shared = box.lo.shape[0] === 1;
  if (!isUnits(values)) return lowerDot(values, box.lo, box.hi, shared ? at.map(() => 0) : at, d);
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

/** Coefficients as a tensor, whatever they are. */
function dense({ engine, graph }: Scene, at: number, values: Coefficients): Tensor {
  if (!isUnits(values)) return values;
  const shape = at < 0 ? graph.network.input : graph.nodes[at]!.shape;
  const columns = sizeOf(shape);
  const rows = new Float32Array(values.index.length * columns);
  values.index.forEach((place, r) => {
    rows[r * columns + place] = values.factor[r]!;
  });
  return input(engine, rows, [values.index.length, ...shape]);
}
