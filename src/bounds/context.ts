/**
 * Bounding context: a network over a set of inputs as backward bounds see it. It holds the boxes of its
 * values and, for every node, what a backward pass reads there, worked out once: relaxations of pointwise
 * nodes and maxima, and the box of what constants and roundings can come to (docs/numerics.md, "Linear
 * bounds").
 */

import type { InputSet } from '../domain/balls';
import { type NodeWith, operatorIn, type Pass } from '../domain/domain';
import { type Box, overflowGuard } from '../domain/interval';
import {
  affineShare,
  OUTWARD,
  PRODUCT_UNDERFLOW,
  sumShare,
  U,
  UNDERFLOW,
  underflowError,
} from '../domain/rounding';
import { biasColumn } from '../domain/rows';
import type { Graph, GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer, PointwiseLayer } from '../nn/layer';
import type { LinearOperator } from '../nn/operator';
import type { Engine } from '../runtime/engine';
import type { Weight } from '../sparse/weight';
import { add, affine, maximum, minimum, neg, reshape, sumTo } from '../tensor/ops/core';
import { abs } from '../tensor/ops/elementwise';
import { toInfSup } from '../tensor/ops/interval';
import { filled, input, type Tensor } from '../tensor/tensor';
import { type MaxRelaxation, relaxMaximum } from './maxima';
import { type Relaxation, relax, type Slopes } from './relaxations';

/**
 * Phase of an unstable ReLU neuron of one sample, the split constraint of branch and bound: the pre-activation
 * at `neuron` (by position in the sample) of node `node` (by position) is at least 0 where the phase is active,
 * and at most 0 where it is not.
 */
export interface Phase {
  readonly node: number;
  readonly neuron: number;
  readonly active: boolean;
}

/** Phases of every sample. */
export type Phases = readonly (readonly Phase[])[];

/** A network over a set of inputs, with boxes of its values as far as they are known. */
export interface BoundContext {
  readonly engine: Engine;
  readonly graph: Graph;
  readonly params: ReadonlyMap<string, Weight>;
  readonly pass: Pass;
  readonly set: InputSet;
  readonly phases?: Phases | undefined;
  readonly sound: boolean;
  readonly slopes: Slopes;
  /** Boxes of the nodes' outputs, [n, ...shape], by position. */
  readonly boxes: Box[];
  /** Node cache by position: what a backward pass needs of a node, made once (`prepare`). */
  readonly cache: Map<number, NodeCache>;
  /** Targets of backward passes that are prepared. */
  readonly prepared: Set<number>;
  /** Rounding error of adding up the coefficients that several readers of a node send back, by its position. */
  readonly mergeErrors: Map<number, Box>;
}

interface NodeCache {
  /** The box of the node's constants: [n, ...shape], or [1, ...shape] where samples share it. */
  readonly constants?: Box | undefined;
  /** |W| |x| + |b| of an affine node, at least the size of its output but for a rounding; [n, ...shape]. */
  readonly size?: Tensor | undefined;
  readonly relaxation?: Relaxation;
  readonly maxima?: MaxRelaxation;
  /** Upper bound by sample of what all products of a row lose at the node by underflow, whatever the coefficients. */
  readonly underflow: Float64Array;
}

export const boxOf = ({ boxes, set }: BoundContext, at: number): Box =>
  at < 0 ? set.box : boxes[at]!;
export const samplesOf = ({ set }: BoundContext): number => set.box.lo.shape[0]!;

/** Memoises a function of graphs, which are immutable. */
export function ofGraph<T>(make: (graph: Graph) => T): (graph: Graph) => T {
  const known = new WeakMap<Graph, T>();
  return (graph) => {
    const found = known.get(graph) ?? make(graph);
    known.set(graph, found);
    return found;
  };
}

const ancestorsByTarget = ofGraph(() => new Map<number, readonly number[]>());

/** Positions of a target's ancestors, itself included, in ascending order: the nodes that a backward pass visits. */
export function ancestors(graph: Graph, target: number): readonly number[] {
  const known = ancestorsByTarget(graph).get(target);
  if (known) return known;
  const seen = new Set([target]);
  for (let v = target; v >= 0; v--)
    if (seen.has(v)) for (const i of graph.nodes[v]!.inputs) if (i >= 0) seen.add(i);
  const found = [...seen].sort((a, b) => a - b);
  ancestorsByTarget(graph).set(target, found);
  return found;
}

/** Computes what backward passes from a target read, before the step() of a chunk, which would free it. */
export function prepare(context: BoundContext, target: number): void {
  if (context.prepared.has(target)) return;
  context.prepared.add(target);
  const seen = new Set<number>();
  for (const v of ancestors(context.graph, target)) {
    if (!context.cache.has(v)) context.cache.set(v, cacheOf(context, v));
    for (const i of context.graph.nodes[v]!.inputs) {
      if (context.sound && seen.has(i) && !context.mergeErrors.has(i))
        context.mergeErrors.set(i, mergeError(context, i));
      seen.add(i);
    }
  }
}

/**
 * The box of node v cut by the phases there. It holds for every execution whose values keep to them
 * (docs/numerics.md, "Phases"); where none does the ends may cross.
 */
export function cutByPhases({ phases, engine }: BoundContext, v: number, box: Box): Box {
  if (!phases?.some((some) => some.some(({ node }) => node === v))) return box;
  const { shape, size } = box.lo;
  const lo = new Float32Array(size).fill(Number.NEGATIVE_INFINITY);
  const hi = new Float32Array(size).fill(Number.POSITIVE_INFINITY);
  cutEnds(phases, v, { lo, hi });
  return {
    lo: maximum(box.lo, input(engine, lo, shape)),
    hi: minimum(box.hi, input(engine, hi, shape)),
  };
}

/** Cuts ends [samples, neurons] of node v by phases, in place. */
export function cutEnds(
  phases: Phases,
  v: number,
  { lo, hi }: { readonly lo: Float32Array; readonly hi: Float32Array },
): void {
  phases.forEach((some, i) => {
    for (const { node, neuron, active } of some) {
      const at = i * (lo.length / phases.length) + neuron;
      if (node === v && active) lo[at] = Math.max(lo[at]!, 0);
      else if (node === v) hi[at] = Math.min(hi[at]!, 0);
    }
  });
}

/** Error of a sum of two coefficients, a share u of it, as a box of constants: [-u X, u X] with X >= |x|. */
function mergeError(context: BoundContext, at: number): Box {
  const hi = affine(magnitudeOf(context, at), U, UNDERFLOW);
  return { lo: affine(hi, -1, 0), hi };
}

function cacheOf(context: BoundContext, v: number): NodeCache {
  const { sound, slopes, cache } = context;
  const node = context.graph.nodes[v]!;
  const { layer, options } = node;
  const from = node.inputs[0]!;
  const box = boxOf(context, from);
  if (layer.role === 'pointwise') {
    const relaxation = relax(node as NodeWith<PointwiseLayer>, box, { sound, slopes });
    return { relaxation, underflow: underflowOf(context, node, 1, cache.get(from)?.size) };
  }
  if (layer.role === 'affine') {
    const w = operatorAt(context, node as NodeWith<AffineLayer>);
    const magnitude = sound ? magnitudeOf(context, from) : box.hi;
    const found = affineConstants(context, node, w, magnitude);
    const underflow = underflowOf(context, node, w.transposeAccumulationLength, magnitude);
    return { ...found, underflow };
  }
  if (!layer.pick)
    return {
      constants: sumConstants(context, node, layer),
      underflow: underflowOf(context, node, 0),
    };
  const maxima = relaxMaximum(layer.pick(box.lo, box.hi, options), box, sound);
  return { maxima, underflow: underflowOf(context, node, maxima.overlap) };
}

export const operatorAt = (
  { pass, params }: BoundContext,
  node: NodeWith<AffineLayer>,
): LinearOperator => operatorIn(pass, node, params);

/** At least |x| for every x of a node's box. */
function magnitudeOf(context: BoundContext, at: number): Tensor {
  const { lo, hi } = boxOf(context, at);
  const { layer } = context.graph.nodes[at] ?? {};
  const isPositive = layer?.role === 'pointwise' && layer.isReLU;
  return isPositive ? hi : maximum(hi, neg(lo));
}

/**
 * Underflow error of `length` products behind every coefficient of the node's inputs. `magnitude` is at
 * least |x|, but for the roundings of a sum.
 */
function underflowOf(
  context: BoundContext,
  node: GraphNode,
  length: number,
  magnitude?: Tensor,
): Float64Array {
  const n = samplesOf(context);
  const underflow = new Float64Array(n);
  if (!context.sound || length === 0) return underflow;
  for (const at of node.inputs) {
    const sizes = magnitude ?? magnitudeOf(context, at);
    // A size and a sum are rounded, which is less than three products more.
    const sums = sumTo(reshape(sizes, [n, sizes.size / n]), [n, 1]).read();
    const vanished = (sizes.size / n) * UNDERFLOW;
    for (let i = 0; i < n; i++)
      underflow[i]! += (sums[i]! + vanished) * (length + 3) * PRODUCT_UNDERFLOW;
  }
  return underflow;
}

/**
 * [b - D, b + D] with D >= (gamma(length) + gamma(transposed length)) (|W| X + |b|), X >= |x|: the rounding
 * of the network's run of this layer, and that of the pass's transposed product.
 */
function affineConstants(
  context: BoundContext,
  node: GraphNode,
  w: LinearOperator,
  magnitude: Tensor,
): Pick<NodeCache, 'constants' | 'size'> | undefined {
  const { bias, accumulationLength: length, transposeAccumulationLength: transposeLength } = w;
  const flat = bias && reshape(biasColumn(bias, node.shape), [1, ...node.shape]);
  if (!context.sound) return flat && { constants: { lo: flat, hi: flat } };
  if (length === 0 && transposeLength === 0) return undefined;
  const size = w.applyAbs(magnitude, bias && abs(bias));
  const centre = flat ?? filled(context.engine, [1, ...node.shape], 0);
  const error = [affineShare(length, transposeLength), underflowError(2 * length)] as const;
  const [lo, hi] = toInfSup(centre, size, OUTWARD, error);
  return { constants: { lo, hi }, size };
}

/** [-D, D] of a join that rounds: D >= gamma(roundings) * the sum of the inputs' sizes. */
function sumConstants(context: BoundContext, node: GraphNode, layer: JoinLayer): Box | undefined {
  const roundings = layer.roundings(node.inputs.length);
  if (!context.sound || roundings === 0) return undefined;
  const size = layer.combine(
    node.inputs.map((i) => magnitudeOf(context, i)),
    node.options,
  );
  const hi = add(affine(size, sumShare(roundings), UNDERFLOW), overflowGuard(size));
  return { lo: affine(hi, -1, 0), hi };
}

/** The pointwise ancestors of a target that have unstable neurons, whose lower slopes may be optimised. */
export function unstableNodes(context: BoundContext, target: number): [number, Relaxation][] {
  prepare(context, target);
  return ancestors(context.graph, target).flatMap((v): [number, Relaxation][] => {
    const { relaxation } = context.cache.get(v)!;
    return relaxation?.unstable?.some((f) => f > 0) ? [[v, relaxation]] : [];
  });
}
