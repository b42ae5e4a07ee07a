/**
 * Backward linear bounds (CROWN, Zhang et al. 2018; Fast-Lin, Weng et al. 2018; the dual of Wong and
 * Kolter 2018), for every role and any graph, differentiable.
 *
 * A list of *rows* is bounded: row r is a linear function of one node's values for the sample
 * `sample[r]`. A backward pass keeps, for the nodes reached, coefficients A and a constant term d with
 *
 *     row . (values at the target) >= sum over nodes of A . (values there) + d
 *
 * A node turns its coefficients into those of its inputs, and adds to d the minimum of what its constants
 * contribute: of an affine node A <- W^T A and its bias; of a pointwise node the lower line where A > 0 and
 * the upper where A < 0; of a sum A to each input; of a maximum the two lines in its best entry (maxima.ts). All
 * constants are boxes [p, q], so one kernel, `lowerDot`, adds every one of them, and also does the last step,
 * concretisation over the box of inputs. An upper bound is the lower bound of the negated row.
 *
 * With `sound` the box of constants of a node also covers the rounding errors there, of the pass's own
 * product and of the network's execution (docs/numerics.md, "Linear bounds"): one `applyAbs` per node.
 *
 * Cost: one transposed layer per row. Hidden bounds take two rows, a lower and an upper bound, for every neuron
 * that is bounded.
 */

import type { InputSet } from '../domain/balls';
import { interpret, type NodeWith, newPass, type Pass } from '../domain/domain';
import { type Box, interval } from '../domain/interval';
import type { Graph, GraphNode } from '../nn/graph';
import type { PointwiseLayer } from '../nn/layer';
import type { AnyModel } from '../nn/model';
import type { OneHotRows } from '../nn/operator';
import { add, maximum, minimum, neg, reshape, sub } from '../tensor/ops/core';
import { addColumns, takeColumns } from '../tensor/ops/rows';
import { slice } from '../tensor/ops/shape';
import { type Parts, whole } from '../tensor/parts';
import { type Shape, sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';
import { backwardPass, type Coefficients, type LowerSlopes, type Rows } from './backward';
import {
  ancestors,
  type BoundContext,
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
 * How the intermediate bounds (boxes of hidden values) that relaxations need are computed. interval: by IBP
 * (CROWN-IBP, Zhang et al. 2020). unstable: by linear bounds too for the neurons that IBP leaves unstable, and
 * intersected. all: by linear bounds alone, for every neuron, as in CROWN's paper.
 */
export type HiddenMethod = 'interval' | 'unstable' | 'all';

export interface LinearOptions {
  /** Cover all rounding errors. Bounds without it are for training and for comparison with other tools. */
  readonly sound: boolean;
  /** Default adaptive. */
  readonly slopes?: Slopes;
  /** Default unstable. */
  readonly hidden?: HiddenMethod;
  /** Forward pass of the training step, whose batch statistics and dropout masks the bounds then use. */
  readonly pass?: Pass;
  /**
   * Bytes of scratch memory for one backward pass; more rows are bounded in chunks. null: all rows at once,
   * which gradients need. Default 4 MiB, which stays in a core's cache.
   */
  readonly chunk?: number | null;
  /** Split constraints on neurons (their ReLU phases), by sample; bounds then hold for executions that satisfy them. */
  readonly phases?: Phases | undefined;
  /**
   * Lower slopes (alpha) for the backward pass that bounds the values of a hidden node: for each sample rows of
   * its lower bounds, then of its upper ones. Needs chunk null.
   */
  readonly hiddenSlopes?: (target: number) => LowerSlopes | undefined;
}

export const CHUNK = 4 * 2 ** 20;

/** A network over a set of inputs, with bounds of all hidden values: made by `hiddenBounds`, read by `lowerBounds`. */
export interface BoundedNetwork extends BoundContext {
  readonly chunk: number | null;
  readonly hiddenSlopes?: LinearOptions['hiddenSlopes'];
}

/**
 * Bounds every hidden value: an interval pass, in which linear bounds replace (or tighten) the boxes in front
 * of every pointwise layer and maximum, as `hidden` says. Runs inside `step()`.
 */
export const hiddenBounds = (
  model: AnyModel,
  set: InputSet,
  options: LinearOptions,
): BoundedNetwork => whole(hiddenBoundsInParts(model, set, options));

/** `hiddenBounds` as a generator that yields after each chunk of rows, so that other work can run in between. */
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
): Parts<BoundedNetwork> {
  const context: BoundedNetwork = {
    ...{ engine, graph, params, pass, set, phases, sound, slopes, chunk },
    ...{ boxes: [], cache: new Map(), prepared: new Set(), mergeErrors: new Map() },
    ...(hiddenSlopes && { hiddenSlopes }),
  };
  const domain = interval({ sound });
  const [wanted, exact] = [preActivations(graph), exactNodes(graph)];
  for (const [v, node] of graph.nodes.entries()) {
    const inputs = node.inputs.map((i) => boxOf(context, i));
    const cut = (box: Box): Box => cutByPhases(context, v, box);
    context.boxes.push(cut(interpret(node, params, domain, inputs, pass)));
    if (!wanted.has(v)) continue;
    // An L2 or L1 ball is only a box to intervals; linear bounds of a first layer are exact for its norm.
    if (exact.has(v) && set.ball) context.boxes[v] = cut(yield* tightened(context, v, 'all'));
    else if (!exact.has(v) && hidden !== 'interval')
      context.boxes[v] = cut(yield* tightened(context, v, hidden));
  }
  return context;
}

/**
 * Lower bounds of rows, [rows]: each a linear function of the network's output (or of an earlier node,
 * by position) of sample `sample[r]`. In chunks, unless gradients flow.
 */
export const lowerBounds = (
  context: BoundedNetwork,
  rows: Rows,
  options: RowOptions = {},
): Tensor => whole(lowerBoundsInParts(context, rows, options));

export interface RowOptions {
  /** Position of the node that rows are of; default the last. */
  readonly target?: number;
  readonly slopes?: LowerSlopes;
}

/** `lowerBounds` as a generator that yields after each chunk. */
export function* lowerBoundsInParts(
  context: BoundedNetwork,
  rows: Rows,
  { target = context.graph.nodes.length - 1, slopes }: RowOptions = {},
): Parts<Tensor> {
  const { engine, chunk } = context;
  if (chunk === null) return backwardPass(context, target, rows, { slopes });
  prepare(context, target);
  const isDense = !('factor' in rows.values);
  const patches = isDense ? undefined : patchesOf(context.graph, target, context.set);
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

/** Bytes of scratch memory that a backward pass takes per row. */
export function rowBytes(graph: Graph, target: number, patches?: Patches): number {
  /** Values that a row takes at a node: those of its patch, with at most two rows of a table, or all. */
  const sizeAt = (v: number, shape: Shape): number => {
    const patch = patches?.get(v);
    return patch ? 3 * shape[0]! * sizeOf(patch.size) : sizeOf(shape);
  };
  const floats = ancestors(graph, target).map((v) => {
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

/** Positions of the nodes whose values are pre-activations: inputs of a layer with a relaxation, which needs their boxes. */
export const preActivations = ofGraph(({ nodes }): ReadonlySet<number> => {
  const needs = ({ layer }: GraphNode): boolean =>
    layer.role === 'pointwise' || (layer.role === 'join' && layer.pick !== undefined);
  return new Set(nodes.filter(needs).flatMap(({ inputs }) => inputs));
});

/**
 * Positions of the nodes whose interval bounds are exact over a box of inputs: at most one layer between them
 * and the input sums over several values, so intervals lose no dependency.
 */
export const exactNodes = ofGraph((graph): ReadonlySet<number> => {
  const exact = new Set<number>();
  // Nodes each of whose values is still a function of one input.
  const unmixed = new Set([-1]);
  graph.nodes.forEach(({ layer, structure, inputs }, v) => {
    const from = inputs[0]!;
    if (layer.role === 'join') return;
    const mixes = structure !== undefined && structure.transposeAccumulationLength > 1;
    if (unmixed.has(from)) exact.add(v);
    if (unmixed.has(from) && !mixes) unmixed.add(v);
    if (exact.has(from) && !mixes) exact.add(v);
  });
  return exact;
});

/** The box of a node by linear bounds of those of its values that `hidden` asks for, in chunks. */
function* tightened(context: BoundedNetwork, v: number, hidden: HiddenMethod): Parts<Box> {
  if (context.chunk === null) return tightenedAll(context, v, hidden);
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

/** Positions of `count` values, pixel by pixel: all channels of one pixel of a sample, then those of the next. */
function inOrder(shape: Shape, count: number): Int32Array {
  const size = sizeOf(shape);
  const channels = shape.length === 3 ? shape[0]! : 1;
  const area = size / channels;
  return Int32Array.from({ length: count }, (_, k) => {
    const [first, rest] = [k - (k % size), k % size];
    return first + (rest % channels) * area + Math.floor(rest / channels);
  });
}

/** Returns whether a value, by position, is unstable: over its box a later layer's relaxation is not exact. */
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
        if (layer.role === 'pointwise') return isLoose(node as NodeWith<PointwiseLayer>, low, high);
        return layer.role === 'join' && layer.pick !== undefined;
      })
    );
  };
}

/**
 * The box of a node by linear bounds of its values at once, in operations through which gradients flow: of all
 * values, or where bounds are met with the box only of those that are unstable in some sample. Rows of a sample
 * stand together, and are as many for each, as layers with random masks need.
 */
function tightenedAll(context: BoundedNetwork, v: number, hidden: HiddenMethod): Box {
  const { engine } = context;
  const { lo, hi } = context.boxes[v]!;
  const n = samplesOf(context);
  const size = sizeOf(lo.shape.slice(1));
  const slopes = context.hiddenSlopes?.(v);
  const places = hidden === 'all' || slopes ? undefined : unstablePlaces(context, v);
  const columns = places?.length ?? size;
  if (columns === 0) return { lo, hi };
  const values = new Float32Array(2 * n * columns * size);
  const sample = Int32Array.from({ length: 2 * n * columns }, (_, r) =>
    Math.floor(r / (2 * columns)),
  );
  sample.forEach((_, r) => {
    const column = r % columns;
    values[r * size + (places?.[column] ?? column)] = r % (2 * columns) < columns ? 1 : -1;
  });
  const rows = { sample, values: input(engine, values, [sample.length, ...lo.shape.slice(1)]) };
  const bounds = lowerBounds(context, rows, { target: v, ...(slopes && { slopes }) });
  const both = reshape(bounds, [n, 2 * columns]);
  const low = slice(both, 1, 0, columns);
  const high = neg(slice(both, 1, columns, 2 * columns));
  if (hidden === 'all') return { lo: reshape(low, lo.shape), hi: reshape(high, lo.shape) };
  if (!places)
    return { lo: maximum(lo, reshape(low, lo.shape)), hi: minimum(hi, reshape(high, lo.shape)) };
  const moved = (end: Tensor, met: (own: Tensor) => Tensor): Tensor => {
    const at = { index: places, columns, at: new Int32Array(n), width: size };
    const own = takeColumns(reshape(end, [n, size]), at);
    return add(end, reshape(addColumns(sub(met(own), own), at), end.shape));
  };
  return { lo: moved(lo, (own) => maximum(own, low)), hi: moved(hi, (own) => minimum(own, high)) };
}

/** Positions in a sample of the values of node v that are unstable in some sample. */
function unstablePlaces(context: BoundContext, v: number): Int32Array {
  const { lo, hi } = context.boxes[v]!;
  const isUnstable = unstable(context, v, lo.read(), hi.read());
  const size = sizeOf(lo.shape.slice(1));
  const found = new Set<number>();
  for (let i = 0; i < lo.size; i++) if (isUnstable(i)) found.add(i % size);
  return Int32Array.from([...found].sort((a, b) => a - b));
}
