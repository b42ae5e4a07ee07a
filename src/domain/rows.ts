/**
 * Lower bounds of linear functions of the outputs over boxes: rows of a specification matrix C (margins
 * z_y - z_j, or what a property names).
 *
 * Where the last layer is affine its rows are merged with those of C and the product is bounded over
 * the box in front of it, as one step of a backward pass, which is tighter than bounds of the outputs put
 * into C (Gowal et al. 2018). Where it is not, the same is done with the identity in its place.
 *
 * Rounding: docs/numerics.md, lemma 7. Cost: the transposed layer once for every row of C, two small
 * products, and with `sound` one `applyAbs` more.
 */
import type { Graph, GraphNode } from '../nn/graph';
import type { AffineLayer } from '../nn/layer';
import { operatorOf } from '../nn/model';
import type { Weight } from '../sparse/weight';
import { add, affine, expand, mul, reshape, sub, sumTo } from '../tensor/ops/core';
import { abs } from '../tensor/ops/elementwise';
import { toInfSup, toMidRad } from '../tensor/ops/interval';
import { matmul } from '../tensor/ops/product';
import { takeRows } from '../tensor/ops/shape';
import { type Shape, sizeOf } from '../tensor/shape';
import { input, type Tensor } from '../tensor/tensor';
import { type Pass, propagate, type With } from './domain';
import { type Box, type IntervalOptions, interval, overflowGuard } from './interval';
import { EXACT, mergedError, mergedUnderflow, OUTWARD, UNDERFLOW } from './rounding';

/** Specification matrices, one after the other; every sample has the rows of one of them. */
export interface SpecificationRows {
  /** [matrices * count, outputs]. */
  readonly matrix: Tensor;
  /** Rows of one matrix. */
  readonly count: number;
  /** The matrix of each sample; the first where left out. */
  readonly of?: ArrayLike<number> | undefined;
  /** Most non-zeros of a row. */
  readonly nonzeros: number;
  /** True if all numbers are 0, 1 or -1, so that no product with them rounds. */
  readonly signs: boolean;
}

export interface MarginOptions extends IntervalOptions {
  readonly pass?: Pass;
  readonly observe?: (node: GraphNode, x: Box) => void;
}

type Network = { readonly graph: Graph; readonly params: ReadonlyMap<string, Weight> };

/** The last node, where it is affine: its rows are bounded together with those of C. */
export function lastAffine(graph: Graph): With<AffineLayer> | undefined {
  const last = graph.nodes.at(-1)!;
  return last.layer.role === 'affine' && !last.layer.derive && !last.layer.onlyInTraining
    ? (last as With<AffineLayer>)
    : undefined;
}

/**
 * Lower bounds of every sample's rows, [n, count], from the box in front of `lastAffine`, or of the outputs
 * where there is none.
 */
export function rowBounds(
  { graph, params }: Network,
  box: Box,
  { matrix, count, of, nonzeros, signs }: SpecificationRows,
  sound: boolean,
): Tensor {
  const last = lastAffine(graph);
  const [n, total] = [box.lo.shape[0]!, matrix.shape[0]!];
  const inputs = box.lo.size / n;
  const w = last && operatorOf(last, params);
  const merged = w
    ? reshape(w.transpose(reshape(matrix, [total, ...graph.output])), [total, inputs])
    : matrix;
  const bias = w?.bias;
  const offsets = bias && reshape(matmul(matrix, column(bias, graph.output)), [total]);
  const [c, r] = toMidRad(box.lo, box.hi, sound ? OUTWARD : EXACT).map((t) =>
    reshape(t, [n, inputs]),
  ) as [Tensor, Tensor];
  const centre = matmul(c, merged, { tb: true, bias: offsets });
  const lower = sub(centre, matmul(r, abs(merged), { tb: true }));
  const own = (all: Tensor): Tensor =>
    of ? takeRows(reshape(all, [(n * total) / count, count]), ownRows(of, total / count)) : all;
  if (!sound) return own(lower);
  const magnitude = add(abs(c), r);
  const sizes = w
    ? reshape(w.applyAbs(reshape(magnitude, box.lo.shape), bias && abs(bias)), [
        n,
        matrix.shape[1]!,
      ])
    : magnitude;
  // Numbers other than 1 make products underflow, by a share of themselves and of the inputs, and can hide
  // sums that overflow.
  const padded = signs ? sizes : add(affine(sizes, 1, UNDERFLOW), overflowGuard(sizes));
  const behind = matmul(padded, abs(matrix), { tb: true });
  const lost = signs
    ? behind
    : add(behind, affine(sumTo(magnitude, [n, 1]), mergedUnderflow(inputs), 0));
  const error = mergedError({ length: w?.accumulationLength ?? 0, nonzeros, inputs });
  return own(toInfSup(lower, lost, OUTWARD, error)[0]);
}

/**
 * Lower bounds of z_y - z_j for every class j over a box of inputs, [n, classes] with 0 at j = y.
 * `pass` and `observe` are those of `propagate`.
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
  return marginsFrom({ graph, params }, at, labels, sound);
}

/** Margins from the box in front of `lastAffine`, or of the outputs where there is none. */
export function marginsFrom(
  network: Network,
  at: Box,
  labels: ArrayLike<number>,
  sound: boolean,
): Tensor {
  const [n, k] = [labels.length, sizeOf(network.graph.output)];
  const { engine } = at.lo;
  const own = [...new Set(Array.from(labels))];
  const matrix = input(engine, differences(own, k), [own.length * k, k]);
  const of = Array.from(labels, (label) => own.indexOf(label));
  const rows = { matrix, count: k, of, nonzeros: 2, signs: true };
  const margins = rowBounds(network, at, rows, sound);
  if (!sound) return margins;
  // The error of z_y - z_y is none.
  const others = new Float32Array(n * k).fill(1);
  for (let i = 0; i < n; i++) others[i * k + labels[i]!] = 0;
  return mul(margins, input(engine, others, [n, k]));
}

/** [labels * k, k]: row i k + j is e_y - e_j for the i-th label y. */
function differences(labels: readonly number[], k: number): Float32Array {
  const rows = new Float32Array(labels.length * k * k);
  labels.forEach((y, i) => {
    for (let j = 0; j < k; j++) {
      rows[(i * k + j) * k + y]! += 1;
      rows[(i * k + j) * k + j]! -= 1;
    }
  });
  return rows;
}

/** A bias of one number a channel (or a value) as a column with one for each output. */
export function column(bias: Tensor, output: Shape): Tensor {
  if (bias.size === sizeOf(output)) return reshape(bias, [bias.size, 1]);
  const channels = reshape(bias, [bias.size, ...output.slice(1).map(() => 1)]);
  return reshape(expand(channels, output), [sizeOf(output), 1]);
}

/** Positions of each sample's own among the bounds of every sample on every matrix. */
const ownRows = (of: ArrayLike<number>, matrices: number): Int32Array =>
  Int32Array.from(of, (matrix, i) => i * matrices + matrix);
