/**
 * A network over a set of inputs as backward bounds see it: boxes of its values, and of every node what
 * a walk reads there, worked out once (lines of pointwise nodes and maxima, and the box of what constants
 * and roundings can come to; docs/numerics.md, "Linear bounds").
 */

import type { InputSet } from '../domain/balls';
import { operatorIn, type Pass, type With } from '../domain/domain';
import { type Box, full, OUTWARD, refusal } from '../domain/interval';
import { gamma, roundUp, TINY, tiny, U } from '../domain/rounding';
import type { Graph, GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer, PointwiseLayer } from '../nn/layer';
import type { LinearOperator } from '../nn/operator';
import type { Engine } from '../runtime/engine';
import type { Weight } from '../sparse/weight';
import { add, affine, maximum, neg, reshape, sumTo } from '../tensor/ops/core';
import { abs } from '../tensor/ops/elementwise';
import { toEnds } from '../tensor/ops/interval';
import { filled, type Tensor } from '../tensor/tensor';
import { type MaxLines, maxLines } from './maxima';
import { type Relaxation, relax, type Slopes } from './relaxations';

/** A network over a set of inputs, with boxes of its values as far as they are known. */
export interface Scene {
  readonly engine: Engine;
  readonly graph: Graph;
  readonly params: ReadonlyMap<string, Weight>;
  readonly pass: Pass;
  readonly set: InputSet;
  readonly sound: boolean;
  readonly slopes: Slopes;
  /** By position of the node: the box of its output, [n, ...shape]. */
  readonly boxes: Box[];
  /** What the walk needs of a node, made once (`prepare`). */
  readonly locals: Map<number, Local>;
  /** By position of a node that several read: what adding up two coefficients there can be off. */
  readonly merges: Map<number, Box>;
}

interface Local {
  /** The box of the node's constants: [n, ...shape], or [1, ...shape] where samples share it. */
  readonly constants?: Box | undefined;
  /** Of an affine node: at least the size of its output, to a rounding; [n, ...shape]. */
  readonly size?: Tensor | undefined;
  readonly relaxation?: Relaxation;
  readonly maxima?: MaxLines;
  /** By sample: what products that underflow can come to in all, whatever the coefficients. */
  readonly spill: Float64Array;
}

export const boxOf = ({ boxes, set }: Scene, at: number): Box => (at < 0 ? set.box : boxes[at]!);
export const samplesOf = ({ set }: Scene): number => set.box.lo.shape[0]!;
/** Positions of the nodes behind a target, itself included, and so of all that a walk meets. */
export function behind({ nodes }: Graph, target: number): number[] {
  const seen = new Set([target]);
  for (let v = target; v >= 0; v--)
    if (seen.has(v)) for (const i of nodes[v]!.inputs) if (i >= 0) seen.add(i);
  return [...seen].sort((a, b) => a - b);
}

/** What walks from a target need, made now: before the step() of a chunk, which would free it. */
export function prepare(scene: Scene, target: number): void {
  const seen = new Set<number>();
  for (const v of behind(scene.graph, target)) {
    if (!scene.locals.has(v)) scene.locals.set(v, localOf(scene, v));
    for (const i of scene.graph.nodes[v]!.inputs) {
      if (scene.sound && seen.has(i) && !scene.merges.has(i))
        scene.merges.set(i, mergeError(scene, i));
      seen.add(i);
    }
  }
}

/** A sum of two coefficients is off by u of its size: [-u X, u X]. */
function mergeError(scene: Scene, at: number): Box {
  const hi = affine(reachOf(scene, at), U, TINY);
  return { lo: affine(hi, -1, 0), hi };
}

function localOf(scene: Scene, v: number): Local {
  const { sound, slopes } = scene;
  const node = scene.graph.nodes[v]!;
  const { layer, options } = node;
  const box = boxOf(scene, node.inputs[0]!);
  if (layer.role === 'pointwise') {
    const relaxation = relax(node as With<PointwiseLayer>, box, { sound, slopes });
    return { relaxation, spill: spillOf(scene, node, 1, scene.locals.get(node.inputs[0]!)?.size) };
  }
  if (layer.role === 'affine') {
    const w = operatorAt(scene, node as With<AffineLayer>);
    const reach = sound ? reachOf(scene, node.inputs[0]!) : box.hi;
    const found = affineConstants(scene, node, w, reach);
    return { ...found, spill: spillOf(scene, node, w.transposeAccumulationLength, reach) };
  }
  if (!layer.pick)
    return { constants: sumConstants(scene, node, layer), spill: spillOf(scene, node, 0) };
  const maxima = maxLines(layer.pick(box.lo, box.hi, options), box, sound);
  return { maxima, spill: spillOf(scene, node, maxima.overlap) };
}

export const operatorAt = ({ pass, params }: Scene, node: With<AffineLayer>): LinearOperator =>
  operatorIn(pass, node, params);

/** At least |x| for every x of a node's box. */
function reachOf(scene: Scene, at: number): Tensor {
  const { lo, hi } = boxOf(scene, at);
  const { layer } = scene.graph.nodes[at] ?? {};
  const isPositive = layer?.role === 'pointwise' && layer.rectifies;
  return isPositive ? hi : maximum(hi, neg(lo));
}

/**
 * Underflow in `terms` products behind every coefficient of the node's inputs: 2^-149 each. `reach` is
 * at least |x|, but for the roundings of a sum.
 */
function spillOf(scene: Scene, node: GraphNode, terms: number, reach?: Tensor): Float64Array {
  const n = samplesOf(scene);
  const spill = new Float64Array(n);
  if (!scene.sound || terms === 0) return spill;
  for (const at of node.inputs) {
    const sizes = reach ?? reachOf(scene, at);
    // A size and a sum are rounded, which is less than three terms.
    const sums = sumTo(reshape(sizes, [n, sizes.size / n]), [n, 1]).read();
    const vanished = (sizes.size / n) * TINY;
    for (let i = 0; i < n; i++) spill[i]! += (sums[i]! + vanished) * (terms + 3) * 2 ** -149;
  }
  return spill;
}

/**
 * [b - D, b + D] with D >= (gamma(terms) + gamma(backTerms)) (|W| X + |b|), X >= |x|: the rounding of
 * the network's run of this layer, and that of the walk's transposed product.
 */
function affineConstants(
  scene: Scene,
  node: GraphNode,
  w: LinearOperator,
  reach: Tensor,
): Pick<Local, 'constants' | 'size'> | undefined {
  const { bias } = w;
  const flat = bias && reshape(full(bias, node.shape), [1, ...node.shape]);
  if (!scene.sound) return flat && { constants: { lo: flat, hi: flat } };
  const [terms, back] = [w.accumulationLength, w.transposeAccumulationLength];
  if (terms === 0 && back === 0) return undefined;
  const size = w.applyAbs(reach, bias && abs(bias));
  const share = (gamma(terms) + gamma(back)) * (1 + 2 * gamma(terms + 8));
  const centre = flat ?? filled(scene.engine, [1, ...node.shape], 0);
  const [lo, hi] = toEnds(centre, size, OUTWARD, [roundUp(share), tiny(2 * terms)]);
  return { constants: { lo, hi }, size };
}

/** [-D, D] of a join that rounds: D >= gamma(terms) * the sum of the inputs' sizes. */
function sumConstants(scene: Scene, node: GraphNode, layer: JoinLayer): Box | undefined {
  const terms = layer.terms(node.inputs.length);
  if (!scene.sound || terms === 0) return undefined;
  const size = layer.combine(
    node.inputs.map((i) => reachOf(scene, i)),
    node.options,
  );
  const share = roundUp(gamma(terms) * (1 + 2 * gamma(terms + 8)));
  const hi = add(affine(size, share, TINY), refusal(size));
  return { lo: affine(hi, -1, 0), hi };
}

/** The pointwise nodes behind a target whose lower slopes are free somewhere. */
export function freeNodes(scene: Scene, target: number): [number, Relaxation][] {
  prepare(scene, target);
  return behind(scene.graph, target).flatMap((v): [number, Relaxation][] => {
    const { relaxation } = scene.locals.get(v)!;
    return relaxation?.free?.some((f) => f > 0) ? [[v, relaxation]] : [];
  });
}
