/**
 * Backward linear bounds (CROWN, Zhang et al. 2018; Fast-Lin, Weng et al. 2018; the dual of Wong and
 * Kolter 2018), for every role and any graph, differentiable.
 *
 * What is bounded is a list of *rows*: row r is a linear function of one node's values for the sample
 * `at[r]`. Walking the graph backwards keeps, for the nodes reached, coefficients A and a number d with
 *
 *     row . (values at the target) >= sum over nodes of A . (values there) + d
 *
 * A node turns its coefficients into those of its inputs, and adds to d the least its constants can
 * come to: of an affine node A <- W^T A and its bias; of a pointwise node the lower line where A > 0 and
 * the upper where A < 0; of a sum A to each input; of a maximum the two lines of its best entry. All
 * constants are boxes [p, q], so one kernel, `lowerDot`, adds every one of them, and the last step over a
 * box of inputs is the same again. An upper bound is the lower bound of the negated row.
 *
 * With `sound` the box of constants of a node also holds what rounding can do there, to the walk's own
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
import type { Units } from '../nn/operator';
import { maximum, minimum, neg, reshape } from '../tensor/ops/core';
import { addRows, slice } from '../tensor/ops/shape';
import { type Parts, whole } from '../tensor/parts';
import { type Shape, sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';
import { type Coefficients, type LowerSlopes, type Rows, walk } from './backward';
import { behind, boxOf, prepare, type Scene, samplesOf } from './context';
import { type Windows, windowsOf } from './patches';
import { isLoose, type Slopes } from './relaxations';

/**
 * Where the boxes that lines need come from. interval: interval bounds (CROWN-IBP, Zhang et al. 2020).
 * unstable: linear bounds of the values that intervals do not settle, the better of both. all: linear
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
  /** Of a training step; sets the parameters that layers really use. */
  readonly pass?: Pass;
  /**
   * Bytes of scratch memory that rows may take at once; more rows go in chunks. null: all at once, and
   * only so do gradients flow. Default 4 MiB, which stays in a core's cache.
   */
  readonly chunk?: number | null;
  /** Lower slopes for the bounds of a hidden node's values (of all, low ends first); needs chunk null. */
  readonly hiddenSlopes?: (target: number) => LowerSlopes | undefined;
}

export const CHUNK = 4 * 2 ** 20;

/** A network over a set of inputs with boxes of all hidden values: what `lowerBounds` reads. */
export interface Hidden extends Scene {
  readonly chunk: number | null;
  readonly hiddenSlopes?: LinearOptions['hiddenSlopes'];
}

/**
 * Boxes of every hidden value: an interval pass, in which linear bounds take the place of intervals
 * (or sharpen them) in front of every layer that is not affine. Runs inside `step()`.
 */
export const hiddenBounds = (model: AnyModel, set: InputSet, options: LinearOptions): Hidden =>
  whole(hiddenBoundsInParts(model, set, options));

/** The same in parts: of a chunk of rows at most. */
export function* hiddenBoundsInParts(
  { engine, graph, params }: AnyModel,
  set: InputSet,
  {
    sound,
    slopes = 'adaptive',
    hidden = 'unstable',
    pass = newPass(),
    chunk = CHUNK,
    hiddenSlopes,
  }: LinearOptions,
): Parts<Hidden> {
  const scene: Hidden = {
    ...{ engine, graph, params, pass, set, sound, slopes, chunk },
    ...{ boxes: [], locals: new Map(), merges: new Map() },
    ...(hiddenSlopes && { hiddenSlopes }),
  };
  const domain = interval({ sound });
  const [wanted, tight] = [inFrontOfLines(graph), tightNodes(scene)];
  for (const [v, node] of graph.nodes.entries()) {
    const inputs = node.inputs.map((i) => boxOf(scene, i));
    scene.boxes.push(interpret(node, params, domain, inputs, pass));
    if (!wanted.has(v)) continue;
    // Intervals know nothing of a ball's norm; linear bounds of a first layer are exact in it.
    if (tight.has(v) && set.ball) scene.boxes[v] = yield* sharpened(scene, v, 'all');
    else if (!tight.has(v) && hidden !== 'interval')
      scene.boxes[v] = yield* sharpened(scene, v, hidden);
  }
  return scene;
}

/**
 * Lower bounds of rows, [rows]: each a linear function of the network's output (or of an earlier node,
 * by position) of sample `at[r]`. In chunks, unless gradients flow.
 */
export const lowerBounds = (scene: Hidden, rows: Rows, options: RowOptions = {}): Tensor =>
  whole(lowerBoundsInParts(scene, rows, options));

export interface RowOptions {
  /** Position of the node that rows are of; default the last. */
  readonly target?: number;
  readonly slopes?: LowerSlopes;
}

/** The same in parts, a chunk each. */
export function* lowerBoundsInParts(
  scene: Hidden,
  rows: Rows,
  { target = scene.graph.nodes.length - 1, slopes }: RowOptions = {},
): Parts<Tensor> {
  const { engine, chunk } = scene;
  if (chunk === null) return walk(scene, target, rows, { slopes });
  prepare(scene, target);
  const isWhole = !('factor' in rows.values);
  const windows = isWhole ? undefined : windowsOf(scene.graph, target, scene.set);
  const size = Math.max(1, Math.floor(chunk / rowBytes(scene.graph, target, windows)));
  const found = new Float32Array(rows.at.length);
  for (let from = 0; from < found.length; from += size) {
    const to = Math.min(from + size, found.length);
    const part = step(engine, () =>
      walk(scene, target, partOf(rows, from, to), { windows }).read(),
    );
    found.set(part, from);
    yield;
  }
  return input(engine, found, [found.length]);
}

/** Bytes of scratch that a walk takes for one row. */
export function rowBytes(graph: Graph, target: number, windows?: Windows): number {
  /** Where there are windows, two lines of a table come to every row at most. */
  const sizeAt = (v: number, shape: Shape): number => {
    const window = windows?.get(v);
    return window ? 3 * shape[0]! * sizeOf(window.size) : sizeOf(shape);
  };
  const floats = behind(graph, target).map((v) => {
    const { layer, inputs, inputShapes } = graph.nodes[v]!;
    const before = inputShapes.reduce((sum, shape, k) => sum + sizeAt(inputs[k]!, shape), 0);
    return layer.role === 'join' ? 3 * before : before;
  });
  return 4 * floats.reduce((a, b) => a + b, sizeAt(target, graph.nodes[target]!.shape));
}

function partOf({ at, values }: Rows, from: number, to: number): Rows {
  const part = (c: Coefficients): Coefficients =>
    'factor' in c
      ? { index: c.index.subarray(from, to), factor: c.factor.subarray(from, to) }
      : slice(c, 0, from, to);
  return { at: at.subarray(from, to), values: part(values) };
}

/** Lower bounds of z_y - z_j for every class j, [n, classes] with 0 at j = y. */
export function linearMargins(scene: Hidden, labels: ArrayLike<number>): Tensor {
  return marginTable(scene, labels, lowerBounds(scene, marginRows(scene, labels)));
}

/** Numbers of the rows of `marginRows` as [n, classes], with 0 at the label. */
export function marginTable({ graph }: Scene, labels: ArrayLike<number>, rows: Tensor): Tensor {
  const [n, k] = [labels.length, sizeOf(graph.output)];
  const places = Int32Array.from({ length: rows.size }, (_, r) => {
    const [i, j] = [Math.floor(r / (k - 1)), r % (k - 1)];
    return i * k + (j < labels[i]! ? j : j + 1);
  });
  return reshape(addRows(reshape(rows, [rows.size, 1]), places, n * k), [n, k]);
}

/** Rows e_y - e_j for j != y in order, samples one after the other. */
export function marginRows({ engine, graph }: Scene, labels: ArrayLike<number>): Rows {
  const k = sizeOf(graph.output);
  const at = new Int32Array(labels.length * (k - 1));
  const values = new Float32Array(at.length * k);
  for (let i = 0, r = 0; i < labels.length; i++)
    for (let j = 0; j < k; j++) {
      if (j === labels[i]!) continue;
      at[r] = i;
      values[r * k + labels[i]!] = 1;
      values[r * k + j] = -1;
      r++;
    }
  return { at, values: input(engine, values, [at.length, ...graph.output]) };
}

/** Positions of the nodes that a layer with lines reads. */
export function inFrontOfLines({ nodes }: Graph): Set<number> {
  const needs = ({ layer }: GraphNode): boolean =>
    layer.role === 'pointwise' || (layer.role === 'join' && layer.pick !== undefined);
  return new Set(nodes.filter(needs).flatMap(({ inputs }) => inputs));
}

/**
 * Nodes behind at most one layer that mixes values: over a box of inputs their intervals are exact.
 * (Layers that mix none have sums of one product behind every coefficient.)
 */
export function tightNodes({ graph }: Scene): Set<number> {
  const tight = new Set<number>();
  const free = new Set([-1]);
  graph.nodes.forEach(({ layer, structure, inputs }, v) => {
    const from = inputs[0]!;
    if (layer.role === 'join') return;
    const mixes = structure !== undefined && structure.transposeAccumulationLength > 1;
    if (free.has(from)) tight.add(v);
    if (free.has(from) && !mixes) free.add(v);
    if (tight.has(from) && !mixes) tight.add(v);
  });
  return tight;
}

/** The box of a node by linear bounds of its values, each by itself. */
function* sharpened(scene: Hidden, v: number, hidden: HiddenBounds): Parts<Box> {
  if (scene.chunk === null) return sharpenedAll(scene, v, hidden);
  const { engine } = scene;
  const { shape } = scene.boxes[v]!.lo;
  const [lo, hi] = [scene.boxes[v]!.lo.read(), scene.boxes[v]!.hi.read()];
  const places = inOrder(scene.graph.nodes[v]!.shape, lo.length).filter(
    hidden === 'all' ? () => true : unsettled(scene, v, lo, hi),
  );
  if (places.length === 0) return scene.boxes[v]!;
  const size = sizeOf(shape.slice(1));
  const twice = Int32Array.from({ length: 2 * places.length }, (_, r) => places[r >> 1]!);
  const units: Units = {
    index: twice.map((place) => place % size),
    factor: Float32Array.from(twice, (_, r) => (r % 2 === 0 ? 1 : -1)),
  };
  const at = twice.map((place) => Math.floor(place / size));
  const bounds = (yield* lowerBoundsInParts(scene, { at, values: units }, { target: v })).read();
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

/** Whether the box of a value, by position, leaves a layer behind it two lines apart. */
function unsettled(
  { graph }: Scene,
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

/** The same of all values at once, in operations through which gradients flow. */
function sharpenedAll(scene: Hidden, v: number, hidden: HiddenBounds): Box {
  const { engine } = scene;
  const { lo, hi } = scene.boxes[v]!;
  const n = samplesOf(scene);
  const size = sizeOf(lo.shape.slice(1));
  const values = new Float32Array(2 * n * size * size);
  const at = Int32Array.from({ length: 2 * n * size }, (_, r) => Math.floor(r / size) % n);
  at.forEach((_, r) => {
    values[r * size + (r % size)] = r < n * size ? 1 : -1;
  });
  const rows = { at, values: input(engine, values, [at.length, ...lo.shape.slice(1)]) };
  const slopes = scene.hiddenSlopes?.(v);
  const bounds = lowerBounds(scene, rows, { target: v, ...(slopes && { slopes }) });
  const half = at.length / 2;
  const low = reshape(slice(bounds, 0, 0, half), lo.shape);
  const high = reshape(neg(slice(bounds, 0, half, 2 * half)), lo.shape);
  return hidden === 'all' ? { lo: low, hi: high } : { lo: maximum(lo, low), hi: minimum(hi, high) };
}
