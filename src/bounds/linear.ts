/**
 * Backward linear bounds (CROWN, Zhang et al. 2018; Fast-Lin, Weng et al. 2018; the dual of Wong and
 * Kolter 2018), for every role and any graph, differentiable.
 *
 * A list of *rows* is bounded: row r is a linear function of one node's values for the sample
 * `sample[r]`. A backward pass keeps, for the nodes reached, coefficients A and a number d with
 *
 *     row . (values at the target) >= sum over nodes of A . (values there) + d
 *
 * A node turns its coefficients into those of its inputs, and adds to d the least its constants can
 * come to: of an affine node A <- W^T A and its bias; of a pointwise node the lower line where A > 0 and
 * the upper where A < 0; of a sum A to each input; of a maximum the two lines of its best entry. All
 * constants are boxes [p, q], so one kernel, `lowerDot`, adds every one of them, and the last step over a
 * box of inputs is the same again. An upper bound is the lower bound of the negated row.
 *
 * With `sound` the box of constants of a node also holds what rounding can do there, to the pass's own
 * product and to the network's run (docs/numerics.md, "Linear bounds"): one `applyAbs` a node.
 *
 * Cost: one transposed layer a row; hidden bounds make a row or two of every neuron that is not stable.
 */

import type { InputSet } from '../domain/balls';
import { interpret, newPass, type Pass, type With } from '../domain/domain';
import { type Box, interval } from '../domain/interval';
import type { Graph, GraphNode } from '../nn/graph';
import type { PointwiseLayer } from '../nn/layer';
import type { AnyModel } from '../nn/model';
import type { OneHotRows } from '../nn/operator';
import { maximum, minimum, neg, reshape } from '../tensor/ops/core';
import { slice } from '../tensor/ops/shape';
import { type Parts, whole } from '../tensor/parts';
import { type Shape, sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';
import { backwardPass, type Coefficients, type LowerSlopes, type Rows } from './backward';
import {
  type BoundContext,
  behind,
  boxOf,
  cutByPhases,
  ofGraph,
  type Phases,
  prepare,
  samplesOf,
} from './context';
import { type Patches, patchesOf } from './patches';
import { isLoose, type Slopes } from './relaxations';

/**
 * Source of the boxes that relaxations need. interval: interval bounds (CROWN-IBP, Zhang et al. 2020).
 * unstable: linear bounds of the values that intervals leave unstable, the better of both. all: linear
 * bounds of every value and nothing else, CROWN of the textbook.
 */
export type HiddenBounds = 'interval' | 'unstable' | 'all';

export interface LinearOptions {
  /** Count all roundings. Bounds without it are for training and for comparison with other tools. */
  readonly sound: boolean;
  /** Default adaptive. */
  readonly slopes?: Slopes;
  /** Default unstable. */
  readonly hidden?: HiddenBounds;
  /** Forward context of a training step; sets the parameters that layers really use. */
  readonly pass?: Pass;
  /**
   * Bytes of scratch memory that rows may take at once; more rows go in chunks. null: all at once, and
   * only so do gradients flow. Default 4 MiB, which stays in a core's cache.
   */
  readonly chunk?: number | null;
  /** Phases that values are limited to, by sample; bounds then hold for executions that keep to them. */
  readonly phases?: Phases | undefined;
  /** Lower slopes for the bounds of a hidden node's values (of all, low ends first); needs chunk null. */
  readonly hiddenSlopes?: (target: number) => LowerSlopes | undefined;
}

export const CHUNK = 4 * 2 ** 20;

/** A network over a set of inputs with boxes of all hidden values: what `lowerBounds` reads. */
export interface Hidden extends BoundContext {
  readonly chunk: number | null;
  readonly hiddenSlopes?: LinearOptions['hiddenSlopes'];
}

/**
 * Boxes of every hidden value: an interval pass, in which linear bounds take the place of intervals
 * (or sharpen them) in front of every layer that is not affine. Runs inside `step()`.
 */
export const hiddenBounds = (model: AnyModel, set: InputSet, options: LinearOptions): Hidden =>
  whole(hiddenBoundsInParts(model, set, options));

/** `hiddenBounds` in parts: of a chunk of rows at most. */
export function* hiddenBoundsInParts(
  { engine, graph, params }: AnyModel,
  set: InputSet,
  {
    sound,
    slopes = 'adaptive',
    hidden = 'unstable',
    pass = newPass(),
    chunk = CHUNK,
    phases,
    hiddenSlopes,
  }: LinearOptions,
): Parts<Hidden> {
  const context: Hidden = {
    ...{ engine, graph, params, pass, set, phases, sound, slopes, chunk },
    ...{ boxes: [], cache: new Map(), prepared: new Set(), mergeErrors: new Map() },
    ...(hiddenSlopes && { hiddenSlopes }),
  };
  const domain = interval({ sound });
  const [wanted, tight] = [needsBoxes(graph), tightNodes(graph)];
  for (const [v, node] of graph.nodes.entries()) {
    const inputs = node.inputs.map((i) => boxOf(context, i));
    const cut = (box: Box): Box => cutByPhases(context, v, box);
    context.boxes.push(cut(interpret(node, params, domain, inputs, pass)));
    if (!wanted.has(v)) continue;
    // Intervals know nothing of a ball's norm; linear bounds of a first layer are exact in it.
    if (tight.has(v) && set.ball) context.boxes[v] = cut(yield* sharpened(context, v, 'all'));
    else if (!tight.has(v) && hidden !== 'interval')
      context.boxes[v] = cut(yield* sharpened(context, v, hidden));
  }
  return context;
}

/**
 * Lower bounds of rows, [rows]: each a linear function of the network's output (or of an earlier node,
 * by position) of sample `sample[r]`. In chunks, unless gradients flow.
 */
export const lowerBounds = (context: Hidden, rows: Rows, options: RowOptions = {}): Tensor =>
  whole(lowerBoundsInParts(context, rows, options));

export interface RowOptions {
  /** Position of the node that rows are of; default the last. */
  readonly target?: number;
  readonly slopes?: LowerSlopes;
}

/** `lowerBounds` in parts, a chunk each. */
export function* lowerBoundsInParts(
  context: Hidden,
  rows: Rows,
  { target = context.graph.nodes.length - 1, slopes }: RowOptions = {},
): Parts<Tensor> {
  const { engine, chunk } = context;
  if (chunk === null) return backwardPass(context, target, rows, { slopes });
  prepare(context, target);
  const isWhole = !('factor' in rows.values);
  const patches = isWhole ? undefined : patchesOf(context.graph, target, context.set);
  const size = Math.max(1, Math.floor(chunk / rowBytes(context.graph, target, patches)));
  const found = new Float32Array(rows.sample.length);
  for (let from = 0; from < found.length; from += size) {
    const to = Math.min(from + size, found.length);
    const part = step(engine, () =>
      backwardPass(context, target, partOf(rows, from, to), { patches }).read(),
    );
    found.set(part, from);
    yield;
  }
  return input(engine, found, [found.length]);
}

/** Bytes of scratch that a backward pass takes for one row. */
export function rowBytes(graph: Graph, target: number, patches?: Patches): number {
  /** Where there are patches, two rows of a table come to every row at most. */
  const sizeAt = (v: number, shape: Shape): number => {
    const patch = patches?.get(v);
    return patch ? 3 * shape[0]! * sizeOf(patch.size) : sizeOf(shape);
  };
  const floats = behind(graph, target).map((v) => {
    const { layer, inputs, inputShapes } = graph.nodes[v]!;
    const before = inputShapes.reduce((sum, shape, k) => sum + sizeAt(inputs[k]!, shape), 0);
    return layer.role === 'join' ? 3 * before : before;
  });
  return 4 * floats.reduce((a, b) => a + b, sizeAt(target, graph.nodes[target]!.shape));
}

function partOf({ sample, values }: Rows, from: number, to: number): Rows {
  const part = (c: Coefficients): Coefficients =>
    'factor' in c
      ? { index: c.index.subarray(from, to), factor: c.factor.subarray(from, to) }
      : slice(c, 0, from, to);
  return { sample: sample.subarray(from, to), values: part(values) };
}

/** Positions of the nodes in front of a layer with a relaxation, which needs their boxes. */
export const needsBoxes = ofGraph(({ nodes }): ReadonlySet<number> => {
  const needs = ({ layer }: GraphNode): boolean =>
    layer.role === 'pointwise' || (layer.role === 'join' && layer.pick !== undefined);
  return new Set(nodes.filter(needs).flatMap(({ inputs }) => inputs));
});

/**
 * Nodes behind at most one layer that mixes values: over a box of inputs their intervals are exact.
 * (Layers that mix none have sums of one product behind every coefficient.)
 */
export const tightNodes = ofGraph((graph): ReadonlySet<number> => {
  const tight = new Set<number>();
  const unstable = new Set([-1]);
  graph.nodes.forEach(({ layer, structure, inputs }, v) => {
    const from = inputs[0]!;
    if (layer.role === 'join') return;
    const mixes = structure !== undefined && structure.transposeAccumulationLength > 1;
    if (unstable.has(from)) tight.add(v);
    if (unstable.has(from) && !mixes) unstable.add(v);
    if (tight.has(from) && !mixes) tight.add(v);
  });
  return tight;
});

/** The box of a node by linear bounds of its values, each by itself. */
function* sharpened(context: Hidden, v: number, hidden: HiddenBounds): Parts<Box> {
  if (context.chunk === null) return sharpenedAll(context, v, hidden);
  const { engine } = context;
  const { shape } = context.boxes[v]!.lo;
  const [lo, hi] = [context.boxes[v]!.lo.read(), context.boxes[v]!.hi.read()];
  const places = inOrder(context.graph.nodes[v]!.shape, lo.length).filter(
    hidden === 'all' ? () => true : unstable(context, v, lo, hi),
  );
  if (places.length === 0) return context.boxes[v]!;
  const size = sizeOf(shape.slice(1));
  const twice = Int32Array.from({ length: 2 * places.length }, (_, r) => places[r >> 1]!);
  const units: OneHotRows = {
    index: twice.map((place) => place % size),
    factor: Float32Array.from(twice, (_, r) => (r % 2 === 0 ? 1 : -1)),
  };
  const sample = twice.map((place) => Math.floor(place / size));
  const rows = { sample, values: units };
  const bounds = (yield* lowerBoundsInParts(context, rows, { target: v })).read();
  places.forEach((place, r) => {
    const [low, high] = [bounds[2 * r]!, -bounds[2 * r + 1]!];
    lo[place] = hidden === 'all' ? low : Math.max(lo[place]!, low);
    hi[place] = hidden === 'all' ? high : Math.min(hi[place]!, high);
  });
  return { lo: input(engine, lo, shape), hi: input(engine, hi, shape) };
}

/** Positions of `count` values; those of one place of the planes of a sample follow each other. */
function inOrder(shape: Shape, count: number): Int32Array {
  const size = sizeOf(shape);
  const channels = shape.length === 3 ? shape[0]! : 1;
  const area = size / channels;
  return Int32Array.from({ length: count }, (_, k) => {
    const [first, rest] = [k - (k % size), k % size];
    return first + (rest % channels) * area + Math.floor(rest / channels);
  });
}

/** Predicate of values, by position, whose box leaves the two lines of a layer behind them apart. */
function unstable(
  { graph }: BoundContext,
  v: number,
  lo: Float32Array,
  hi: Float32Array,
): (place: number) => boolean {
  const after = graph.nodes.filter(({ inputs }) => inputs.includes(v));
  return (i) => {
    const [low, high] = [lo[i]!, hi[i]!];
    return (
      high > low &&
      after.some((node) => {
        const { layer } = node;
        if (layer.role === 'pointwise') return isLoose(node as With<PointwiseLayer>, low, high);
        return layer.role === 'join' && layer.pick !== undefined;
      })
    );
  };
}

/** The box of a node by linear bounds of all its values at once, in operations through which gradients flow. */
function sharpenedAll(context: Hidden, v: number, hidden: HiddenBounds): Box {
  const { engine } = context;
  const { lo, hi } = context.boxes[v]!;
  const n = samplesOf(context);
  const size = sizeOf(lo.shape.slice(1));
  const values = new Float32Array(2 * n * size * size);
  const sample = Int32Array.from({ length: 2 * n * size }, (_, r) => Math.floor(r / size) % n);
  sample.forEach((_, r) => {
    values[r * size + (r % size)] = r < n * size ? 1 : -1;
  });
  const rows = { sample, values: input(engine, values, [sample.length, ...lo.shape.slice(1)]) };
  const slopes = context.hiddenSlopes?.(v);
  const bounds = lowerBounds(context, rows, { target: v, ...(slopes && { slopes }) });
  const half = sample.length / 2;
  const low = reshape(slice(bounds, 0, 0, half), lo.shape);
  const high = reshape(neg(slice(bounds, 0, half, 2 * half)), lo.shape);
  return hidden === 'all' ? { lo: low, hi: high } : { lo: maximum(lo, low), hi: minimum(hi, high) };
}
