/**
 * The backward walk of linear bounds (linear.ts says what it proves): what each role does to rows of
 * coefficients, what its constants can come to, and the walk itself.
 */
import type { Graph, GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer, Params, PointwiseLayer, Units } from '../nn/layer';
import { nodeParams } from '../nn/model';
import type { Engine } from '../runtime/engine';
import { add, affine, expand, maximum, mul, reshape, sumTo } from '../tensor/ops/core';
import { abs } from '../tensor/ops/elementwise';
import { toEnds } from '../tensor/ops/interval';
import { addColumns, type Lines, lowerDot, relaxRows } from '../tensor/ops/rows';
import { takeRows } from '../tensor/ops/shape';
import { sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { type InputSet, leastOver } from './balls';
import type { Pass, With } from './domain';
import { type Box, full, OUTWARD, refusal } from './interval';
import { type MaxLines, maxLines } from './maxima';
import { type Relaxation, relax, type Slopes } from './relaxations';
import { gamma, roundDown, roundUp, tiny, U } from './rounding';

/** A network over a set of inputs, with boxes of its values as far as they are known. */
export interface Scene {
  readonly engine: Engine;
  readonly graph: Graph;
  readonly params: ReadonlyMap<string, Tensor>;
  readonly pass: Pass;
  readonly set: InputSet;
  readonly sound: boolean;
  readonly slopes: Slopes;
  /** By position of the node: the box of its output, [n, ...shape]. */
  readonly boxes: Box[];
  /** What the walk needs of a node, made once (`prepare`). */
  readonly locals: Map<number, Local>;
}

/** Coefficients [rows, ...shape], or rows that are multiples of unit vectors. */
export type Coefficients = Tensor | Units;

/** Linear functions of one node's values; row r is of sample `at[r]`. */
export interface Rows {
  readonly at: Int32Array;
  readonly values: Coefficients;
}

/** By position of a pointwise node: lower slopes [rows, ...shape], taken where a kink is crossed. */
export type LowerSlopes = ReadonlyMap<number, Tensor>;

interface Local {
  /** The box of the node's constants: [n, ...shape], or [1, ...shape] where samples share it. */
  readonly constants?: Box | undefined;
  readonly relaxation?: Relaxation;
  readonly maxima?: MaxLines;
  /** By sample: what products that underflow can come to in all, whatever the coefficients. */
  readonly spill: Float64Array;
}

export const boxOf = ({ boxes, set }: Scene, at: number): Box => (at < 0 ? set.box : boxes[at]!);
export const samplesOf = ({ set }: Scene): number => set.box.lo.shape[0]!;
const isUnits = (c: Coefficients): c is Units => 'factor' in c;

/** Positions of the nodes behind a target, itself included, and so of all that a walk meets. */
export function behind({ nodes }: Graph, target: number): number[] {
  const seen = new Set([target]);
  for (let v = target; v >= 0; v--)
    if (seen.has(v)) for (const i of nodes[v]!.inputs) if (i >= 0) seen.add(i);
  return [...seen].sort((a, b) => a - b);
}

/** What walks from a target need, made now: before the step() of a chunk, which would free it. */
export function prepare(scene: Scene, target: number): void {
  for (const v of behind(scene.graph, target))
    if (!scene.locals.has(v)) scene.locals.set(v, localOf(scene, v));
}

function localOf(scene: Scene, v: number): Local {
  const { sound, slopes } = scene;
  const node = scene.graph.nodes[v]!;
  const { layer, options } = node;
  const box = boxOf(scene, node.inputs[0]!);
  if (layer.role === 'pointwise') {
    const relaxation = relax(node as With<PointwiseLayer>, box, { sound, slopes });
    return { relaxation, spill: spillOf(scene, node, 1) };
  }
  if (layer.role === 'affine') {
    const terms = backTermsOf(node, layer);
    return { constants: affineConstants(scene, node, layer), spill: spillOf(scene, node, terms) };
  }
  if (!layer.pick)
    return { constants: sumConstants(scene, node, layer), spill: spillOf(scene, node, 0) };
  const maxima = maxLines(layer.pick(box.lo, box.hi, options), box, sound);
  return { maxima, spill: spillOf(scene, node, maxima.overlap) };
}

const backTermsOf = (node: GraphNode, layer: AffineLayer): number =>
  layer.backTerms?.(node.inputShapes[0]!, node.options) ?? sizeOf(node.shape) + 2;

export const paramsOf = ({ pass, params }: Scene, node: GraphNode): Params =>
  pass.effective.get(node) ?? nodeParams(node, params);

/** max(|lo|, |hi|). */
const sizes = ({ lo, hi }: Box): Tensor => maximum(abs(lo), abs(hi));

/** Underflow in `terms` products behind every coefficient of the node's inputs: 2^-149 each. */
function spillOf(scene: Scene, node: GraphNode, terms: number): Float64Array {
  const n = samplesOf(scene);
  const spill = new Float64Array(n);
  if (!scene.sound || terms === 0) return spill;
  for (const at of node.inputs) {
    const { lo, hi } = boxOf(scene, at);
    const rows = [n, sizeOf(lo.shape.slice(1))];
    // |lo| + |hi| is at least the greater; sums are rounded once.
    const sums = [lo, hi].map((t) => sumTo(reshape(abs(t), rows), [n, 1]).read());
    for (let i = 0; i < n; i++)
      spill[i]! += (sums[0]![i]! + sums[1]![i]!) * (terms + 3) * 2 ** -149;
  }
  return spill;
}

/**
 * [b - D, b + D] with D >= (gamma(terms) + gamma(backTerms)) (|W| X + |b|), X >= |x|: the rounding of
 * the network's run of this layer, and that of the walk's transposed product.
 */
function affineConstants(scene: Scene, node: GraphNode, layer: AffineLayer): Box | undefined {
  const [shape, p] = [node.inputShapes[0]!, paramsOf(scene, node)];
  const bias = layer.bias?.(p);
  const flat = bias && reshape(full(bias, node.shape), [1, ...node.shape]);
  if (!scene.sound) return flat && { lo: flat, hi: flat };
  const terms = layer.terms(shape, node.options);
  const back = backTermsOf(node, layer);
  if (terms === 0 && back === 0) return undefined;
  const reach = sizes(boxOf(scene, node.inputs[0]!));
  const size = layer.applyAbs(reach, p, node.options, bias && abs(bias));
  const share = (gamma(terms) + gamma(back)) * (1 + 2 * gamma(terms + 8));
  const error = add(affine(size, roundUp(share), tiny(2 * terms)), refusal(size));
  const centre = flat ? expand(flat, error.shape) : filled(scene.engine, error.shape, 0);
  const [lo, hi] = toEnds(centre, error, OUTWARD);
  return { lo, hi };
}

/** [-D, D] of a join that rounds: D >= gamma(terms) * the sum of the inputs' sizes. */
function sumConstants(scene: Scene, node: GraphNode, layer: JoinLayer): Box | undefined {
  const terms = layer.terms(node.inputs.length);
  if (!scene.sound || terms === 0) return undefined;
  const size = layer.combine(
    node.inputs.map((i) => sizes(boxOf(scene, i))),
    node.options,
  );
  const share = roundUp(gamma(terms) * (1 + 2 * gamma(terms + 8)));
  const hi = add(affine(size, share, 2 ** -148), refusal(size));
  return { lo: affine(hi, -1, 0), hi };
}

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

/** The pointwise nodes behind a target whose lower slopes are free somewhere. */
export function freeNodes(scene: Scene, target: number): [number, Relaxation][] {
  prepare(scene, target);
  return behind(scene.graph, target).flatMap((v): [number, Relaxation][] => {
    const { relaxation } = scene.locals.get(v)!;
    return relaxation?.free?.some((f) => f > 0) ? [[v, relaxation]] : [];
  });
}
