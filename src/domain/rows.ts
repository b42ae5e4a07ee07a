/**
 * Lower bounds of linear functions of the outputs over boxes: rows of a specification matrix C (margins
 * z_y - z_j, or what a property names).
 *
 * A last layer that is affine is elided: C W is formed first and bounded over the box of the layer's
 * inputs, as one step of a backward pass, which is tighter than C applied to bounds of the outputs (Gowal et
 * al. 2018). Where the last layer is not affine, C itself is bounded over the box of the outputs.
 *
 * Rounding: docs/numerics.md, lemma 7. Cost: the transposed layer once for every row of C, two small
 * products, and with `sound` one `applyAbs` more.
 */
import type { Graph, GraphNode } from '../nn/graph';
import type { AffineLayer } from '../nn/layer';
import { operatorOf } from '../nn/model';
import type { LinearOperator } from '../nn/operator';
import type { Engine } from '../runtime/engine';
import type { Weight } from '../sparse/weight';
import { add, affine, expand, mul, reshape, sub, sumTo } from '../tensor/ops/core';
import { abs } from '../tensor/ops/elementwise';
import { toInfSup, toMidRad } from '../tensor/ops/interval';
import { matmul } from '../tensor/ops/product';
import { takeRows } from '../tensor/ops/shape';
import { type Shape, sizeOf } from '../tensor/shape';
import { input, type Tensor } from '../tensor/tensor';
import { type NodeWith, type Pass, propagate } from './domain';
import { type Box, type IntervalOptions, interval, overflowGuard } from './interval';
import { EXACT, mergedError, mergedUnderflow, OUTWARD, UNDERFLOW } from './rounding';

/** Stacked specification matrices; each sample is bounded on the rows of one of them (of its label, say). */
export interface SpecificationRows {
  /** [matrices * count, outputs]. */
  readonly matrix: Tensor;
  /** Rows of one matrix. */
  readonly count: number;
  /** Index of the matrix of each sample; left out: the first for all. */
  readonly matrixOf?: ArrayLike<number> | undefined;
  /** Most non-zeros of any row (nnz per row). */
  readonly nnz: number;
  /** True if all entries are -1, 0 or 1, so that no product with them rounds. */
  readonly ternary: boolean;
}

export interface MarginOptions extends IntervalOptions {
  readonly pass?: Pass;
  readonly observe?: (node: GraphNode, x: Box) => void;
}

export type Network = { readonly graph: Graph; readonly params: ReadonlyMap<string, Weight> };

/** The last node, if it is affine: the layer that is elided into C. */
export function lastAffine(graph: Graph): NodeWith<AffineLayer> | undefined {
  const last = graph.nodes.at(-1)!;
  return last.layer.role === 'affine' && !last.layer.derive && !last.layer.onlyInTraining
    ? (last as NodeWith<AffineLayer>)
    : undefined;
}

/**
 * Lower bounds of every sample's rows, [n, count], from the box in front of `lastAffine`, or of the outputs
 * where there is none.
 */
export function rowBounds(
  { graph, params }: Network,
  box: Box,
  { matrix, count, matrixOf, nnz, ternary }: SpecificationRows,
  sound: boolean,
): Tensor {
  const n = box.lo.shape[0]!;
  const inputs = box.lo.size / n;
  const { w, merged, offsets } = mergeRows({ graph, params }, matrix);
  const bias = w?.bias;
  const [c, r] = toMidRad(box.lo, box.hi, sound ? OUTWARD : EXACT).map((t) =>
    reshape(t, [n, inputs]),
  ) as [Tensor, Tensor];
  const centre = matmul(c, merged, { tb: true, bias: offsets });
  const lower = sub(centre, matmul(r, abs(merged), { tb: true }));
  const own = (all: Tensor): Tensor => ownRows(all, { count, matrixOf });
  if (!sound) return own(lower);
  const magnitude = add(abs(c), r);
  const sizes = w
    ? reshape(w.applyAbs(reshape(magnitude, box.lo.shape), bias && abs(bias)), [
        n,
        matrix.shape[1]!,
      ])
    : magnitude;
  // Entries other than -1, 0 and 1 can make products underflow, which costs a share of the entries and of the
  // inputs, and small ones can hide that a sum of the layer overflows.
  const padded = ternary ? sizes : add(affine(sizes, 1, UNDERFLOW), overflowGuard(sizes));
  const behind = matmul(padded, abs(matrix), { tb: true });
  const lost = ternary
    ? behind
    : add(behind, affine(sumTo(magnitude, [n, 1]), mergedUnderflow(inputs), 0));
  const error = mergedError({ length: w?.accumulationLength ?? 0, nnz, inputs });
  return own(toInfSup(lower, lost, OUTWARD, error)[0]);
}

/** Rows C as functions of the inputs of `lastAffine`: C W, [rows, inputs], and C b, [rows], if there is a bias. */
export function mergeRows(
  { graph, params }: Network,
  matrix: Tensor,
): {
  readonly w: LinearOperator | undefined;
  readonly merged: Tensor;
  readonly offsets: Tensor | undefined;
} {
  const last = lastAffine(graph);
  const total = matrix.shape[0]!;
  const w = last && operatorOf(last, params);
  if (!w) return { w, merged: matrix, offsets: undefined };
  const back = w.transpose(reshape(matrix, [total, ...graph.output]));
  const offsets = w.bias && reshape(matmul(matrix, biasColumn(w.bias, graph.output)), [total]);
  return { w, merged: reshape(back, [total, back.size / total]), offsets };
}

/** Numbers of all rows, [n, rows], restricted to those of each sample's own matrix, [n, count]. */
export function ownRows(
  all: Tensor,
  { count, matrixOf }: Pick<SpecificationRows, 'count' | 'matrixOf'>,
): Tensor {
  if (!matrixOf) return all;
  const matrices = all.shape[1]! / count;
  const places = Int32Array.from(matrixOf, (matrix, i) => i * matrices + matrix);
  return takeRows(reshape(all, [all.size / count, count]), places);
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
  const margins = rowBounds(network, at, marginSpecification(engine, labels, k), sound);
  if (!sound) return margins;
  // z_y - z_y is 0 exactly: without its rounding error.
  const others = new Float32Array(n * k).fill(1);
  for (let i = 0; i < n; i++) others[i * k + labels[i]!] = 0;
  return mul(margins, input(engine, others, [n, k]));
}

/** Margins z_y - z_j to every class j, 0 at j = y, as a matrix of each label that occurs. */
export function marginSpecification(
  engine: Engine,
  labels: ArrayLike<number>,
  classes: number,
): SpecificationRows {
  const own = [...new Set(Array.from(labels))];
  const matrix = input(engine, differences(own, classes), [own.length * classes, classes]);
  const matrixOf = Array.from(labels, (label) => own.indexOf(label));
  return { matrix, count: classes, matrixOf, nnz: 2, ternary: true };
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

/** A bias with one number per channel (or per value) as a column [outputs, 1]. */
export function biasColumn(bias: Tensor, output: Shape): Tensor {
  if (bias.size === sizeOf(output)) return reshape(bias, [bias.size, 1]);
  const channels = reshape(bias, [bias.size, ...output.slice(1).map(() => 1)]);
  return reshape(expand(channels, output), [sizeOf(output), 1]);
}
