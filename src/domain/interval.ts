/**
 * Boxes: an upper and a lower bound for every value (interval bound propagation, Gowal et al. 2018).
 *
 * Affine layers go through centre and radius: c' = W c + b, r' = |W| r. With `sound` the radius also
 * carries two roundings of that layer: that of c' itself, and that of the network's own float32
 * execution from any point of the box; so the box contains what the network computes, in any
 * summation order, fused or not, and what exact arithmetic would (docs/numerics.md). It costs no
 * extra product: |W| is applied to r (1 + g) + 2 g |c| instead of r.
 */
import type { Graph, GraphNode } from '../nn/graph';
import type { AffineLayer } from '../nn/layer';
import { operatorOf } from '../nn/model';
import type { Weight } from '../sparse/weight';
import { add, affine, expand, lincomb, maximum, mul, reshape, sub } from '../tensor/ops/core';
import { abs, clamp } from '../tensor/ops/elementwise';
import { toCentre, toEnds } from '../tensor/ops/interval';
import { matmul } from '../tensor/ops/product';
import { takeRows } from '../tensor/ops/shape';
import { type Shape, sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { checkDirect, type Domain, type Pass, propagate, type With } from './domain';
import { gamma, roundUp, TINY, tiny, U } from './rounding';

export interface Box {
  readonly lo: Tensor;
  readonly hi: Tensor;
}

export interface IntervalOptions {
  /** Round outwards. Bounds without it are for training and for comparison with other tools. */
  readonly sound: boolean;
}

export const EXACT = { grow: 0, tiny: 0 };
/** Widening that covers the two or three roundings of a change of description. */
export const OUTWARD = { grow: 4 * U, tiny: TINY };

export interface BallOptions extends IntervalOptions {
  /** Where inputs live: the ball is cut to it, or not at all. Default [0, 1]. */
  readonly range?: readonly [lo: number, hi: number] | null;
}

/** The L-infinity ball of radius eps around x, cut to the range of inputs. */
export function ball(x: Tensor, eps: number, { sound, range = [0, 1] }: BallOptions): Box {
  const radius = filled(x.engine, x.shape, sound ? roundUp(eps) : eps);
  const [lo, hi] = toEnds(x, radius, sound ? OUTWARD : EXACT);
  return range ? { lo: clamp(lo, ...range), hi: clamp(hi, ...range) } : { lo, hi };
}

export function interval({ sound }: IntervalOptions): Domain<Box> {
  const way = sound ? OUTWARD : EXACT;
  return {
    affine(_, w, { lo, hi }) {
      if (sound) checkDirect(w);
      if (w.accumulationLength === 0) return { lo: w.apply(lo), hi: w.apply(hi) };
      const { feed, lift, share } = sound ? costOf(w.accumulationLength) : FREE;
      const [c, r] = toCentre(lo, hi, way, feed);
      const bias = sound ? w.bias : undefined;
      const centre = w.apply(c);
      const radius = w.applyAbs(r, bias && affine(abs(bias), share, 0));
      const [l, h] = toEnds(centre, radius, way, lift);
      return { lo: l, hi: h };
    },
    pointwise({ layer, options }, { lo, hi }) {
      const [low, high] = layer.range?.(lo, hi, options) ?? [
        layer.f(lo, options),
        layer.f(hi, options),
      ];
      const box = { lo: low, hi: high };
      if (!sound || layer.error === 0) return box;
      // A range is computed as an execution is, and either may be off.
      const twice = layer.range ? 2 : 1;
      const far = layer.inputError
        ? affine(maximum(abs(lo), abs(hi)), roundUp(twice * layer.inputError * U), TINY)
        : undefined;
      return widen(box, twice * layer.error * U, twice * (layer.absolute ?? 0) * U, far);
    },
    join({ layer, options }, boxes) {
      const lo = layer.combine(
        boxes.map((b) => b.lo),
        options,
      );
      const hi = layer.combine(
        boxes.map((b) => b.hi),
        options,
      );
      const terms = layer.terms(boxes.length);
      if (!sound || terms === 0) return { lo, hi };
      // Terms can cancel, so the error is measured against the sum of their sizes.
      const sizes = boxes.map((b) => maximum(abs(b.lo), abs(b.hi)));
      const size = layer.combine(sizes, options);
      const error = affine(size, roundUp(2 * gamma(terms + 2) + 8 * U), TINY);
      const far = add(error, refusal(size));
      return { lo: toEnds(lo, far, OUTWARD)[0], hi: toEnds(hi, far, OUTWARD)[1] };
    },
  };
}

/** What rounding costs a layer, in the change to centres, in that to ends, and by size of the bias. */
export interface LayerCost {
  readonly feed: readonly [number, number];
  readonly lift: readonly [number, number];
  readonly share: number;
}

export const FREE: LayerCost = { feed: [1, 0], lift: [1, 0], share: 0 };

/** |W| (r (1 + g) + 2 g |c|) + 2 g |b|, scaled by 1 + 2 g and lifted for underflow. */
export function costOf(terms: number): LayerCost {
  const g = gamma(terms + 2) + 8 * U;
  return {
    feed: [roundUp(1 + g), roundUp(2 * g)],
    lift: [roundUp(1 + 2 * g), tiny(2 * terms)],
    share: roundUp(2 * g),
  };
}

/**
 * 0 where a size is below 2^80, NaN beyond: added to a radius it proves nothing where a sum could
 * overflow in some order of execution (docs/numerics.md, "Overflow").
 */
export function refusal(size: Tensor): Tensor {
  const large = affine(size, 2 ** 48, 0);
  return lincomb(1, large, -1, large);
}

/** Both ends moved outwards by a share of their size, by a number, and by what is given. */
function widen(
  { lo, hi }: Box,
  share: number,
  more = 0,
  far = filled(lo.engine, lo.shape, 0),
): Box {
  const way = { grow: roundUp(share + 4 * U), tiny: roundUp(more * (1 + 4 * U) + TINY) };
  return { lo: toEnds(lo, far, way)[0], hi: toEnds(hi, far, way)[1] };
}

export interface MarginOptions extends IntervalOptions {
  readonly pass?: Pass;
  readonly observe?: (node: GraphNode, x: Box) => void;
}

/**
 * Lower bounds of z_y - z_j for every class j over a box, [n, classes] with 0 at j = y.
 *
 * Where the last layer is affine the differences are taken of its rows (as one backward step of
 * linear bounds), which is tighter than differences of the logits' bounds (Gowal et al. 2018).
 */
export function intervalMargins(
  graph: Graph,
  params: ReadonlyMap<string, Weight>,
  box: Box,
  labels: ArrayLike<number>,
  { sound, pass, observe }: MarginOptions,
): Tensor {
  const before = lastAffine(graph);
  const options = { ...(pass && { pass }), ...(observe && { observe }), ...(before && { before }) };
  const at = propagate(graph, params, interval({ sound }), box, options);
  if (before) observe?.(before, at);
  return marginsFrom(graph, params, at, labels, sound);
}

/** The last node, where it is affine: its rows are bounded together with the margins. */
export function lastAffine(graph: Graph): With<AffineLayer> | undefined {
  const last = graph.nodes.at(-1)!;
  return last.layer.role === 'affine' && !last.layer.derive && !last.layer.onlyInTraining
    ? (last as With<AffineLayer>)
    : undefined;
}

/** The same, from the box in front of `lastAffine`, or of the outputs where there is none. */
export function marginsFrom(
  graph: Graph,
  params: ReadonlyMap<string, Weight>,
  at: Box,
  labels: ArrayLike<number>,
  sound: boolean,
): Tensor {
  const [n, k] = [at.lo.shape[0]!, sizeOf(graph.output)];
  const last = lastAffine(graph);
  if (!last) return marginsOfEnds(at, labels, n, k, sound);
  const w = operatorOf(last, params);
  const shape = last.inputShapes[0]!;
  const own = [...new Set(Array.from(labels))];
  const count = own.length * k;
  const classes = reshape(differences(at.lo, own, k), [count, ...graph.output]);
  const rows = w.transpose(classes);
  const flat = reshape(rows, [count, sizeOf(shape)]);
  const [c, r] = toCentre(at.lo, at.hi, sound ? OUTWARD : EXACT);
  const [c2, r2] = [reshape(c, [n, sizeOf(shape)]), reshape(r, [n, sizeOf(shape)])];
  const { bias } = w;
  const shifts = bias && matmul(reshape(classes, [count, k]), full(bias, graph.output));
  const offsets = shifts && reshape(shifts, [count]);
  const centre = matmul(c2, flat, { tb: true, bias: offsets });
  const all = sub(centre, matmul(r2, abs(flat), { tb: true }));
  const numbers = Array.from(labels, (label) => own.indexOf(label));
  const picked = takeRows(reshape(all, [n * own.length, k]), rowsOf(numbers, own.length));
  if (!sound) return picked;
  const reach = add(abs(c), r);
  const sizes = reshape(w.applyAbs(reach, bias && abs(bias)), [n, k]);
  return lessError(picked, sizes, labels, w.accumulationLength);
}

/**
 * Takes off what rounding can do: every sum behind margin (y, j), in these bounds and in the running
 * network, has terms whose sizes add up to at most S_y + S_j, S = |W| (|c| + r) + |b|.
 */
function lessError(
  margins: Tensor,
  sizes: Tensor,
  labels: ArrayLike<number>,
  terms: number,
): Tensor {
  const [n, k] = margins.shape as [number, number];
  const own = takeRows(reshape(sizes, [n * k, 1]), rowsOf(labels, k));
  const both = add(sizes, own);
  const lift = [roundUp(6 * (gamma(terms + 8) + 4 * U)), tiny(8 * terms)] as const;
  const mask = input(margins.engine, others(labels, n, k), [n, k]);
  return mul(toEnds(margins, both, OUTWARD, lift)[0], mask);
}

/** Margins from the bounds of the logits alone. */
function marginsOfEnds(
  { lo, hi }: Box,
  labels: ArrayLike<number>,
  n: number,
  k: number,
  sound: boolean,
): Tensor {
  const own = takeRows(reshape(lo, [n * k, 1]), rowsOf(labels, k));
  const mask = input(lo.engine, others(labels, n, k), [n, k]);
  const margins = sub(own, reshape(hi, [n, k]));
  return mul(sound ? widen({ lo: margins, hi: margins }, 2 * U).lo : margins, mask);
}

/** [labels * k, k]: row i k + j is e_y - e_j for the i-th label y. */
function differences(like: Tensor, labels: readonly number[], k: number): Tensor {
  const rows = new Float32Array(labels.length * k * k);
  labels.forEach((y, i) => {
    for (let j = 0; j < k; j++) {
      rows[(i * k + j) * k + y]! += 1;
      rows[(i * k + j) * k + j]! -= 1;
    }
  });
  return input(like.engine, rows, [labels.length * k, k]);
}

/** A bias of one number a channel (or a value) as a column with one for each output. */
export function full(bias: Tensor, output: Shape): Tensor {
  if (bias.size === sizeOf(output)) return reshape(bias, [bias.size, 1]);
  const channels = reshape(bias, [bias.size, ...output.slice(1).map(() => 1)]);
  return reshape(expand(channels, output), [sizeOf(output), 1]);
}

/** Row i of the picked margins is row i k + label of all. */
function rowsOf(labels: ArrayLike<number>, k: number): Int32Array {
  return Int32Array.from(labels, (label, i) => i * k + label);
}

/** 1 for every class but the sample's own. */
function others(labels: ArrayLike<number>, n: number, k: number): Float32Array {
  const mask = new Float32Array(n * k).fill(1);
  for (let i = 0; i < n; i++) mask[i * k + labels[i]!] = 0;
  return mask;
}
