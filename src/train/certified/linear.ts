/** Linear bounds of training: margins of a batch, and the fused bound of the loss itself. */
import { type BoundContext, boxOf } from '../../bounds/context';
import {
  type BoundedNetwork,
  hiddenBounds,
  type LinearOptions,
  lowerBounds,
} from '../../bounds/linear';
import { inputSet } from '../../domain/balls';
import type { Box } from '../../domain/interval';
import { lastAffine, marginSpecification, rowBounds } from '../../domain/rows';
import {
  add,
  affine,
  div,
  lincomb,
  maximum,
  mean,
  mul,
  neg,
  reshape,
  sub,
  sumTo,
} from '../../tensor/ops/core';
import { exp, log } from '../../tensor/ops/elementwise';
import { sizeOf } from '../../tensor/shape';
import { filled, input, type Tensor } from '../../tensor/tensor';
import type { RobustContext } from './family';
import type { Hidden } from './terms';

/** The network over the balls of a batch, through whose bounds gradients flow. */
export const boundedBatch = (
  { model, x, radius, pass }: RobustContext,
  options: Pick<LinearOptions, 'hidden' | 'slopes'>,
): BoundedNetwork =>
  hiddenBounds(model, inputSet(x, radius, { sound: false }), {
    ...{ sound: false, chunk: null, pass },
    ...options,
  });

/** The boxes in front of the pointwise nodes. */
export const hiddenOf = (context: BoundContext): Hidden[] =>
  context.graph.nodes
    .filter(({ layer }) => layer.role === 'pointwise')
    .map((node) => ({ node, box: boxOf(context, node.inputs[0]!) }));

/** The box in front of the last layer where that is affine, and else of the outputs. */
export const lastBoxOf = (context: BoundContext): Box => {
  const last = lastAffine(context.graph);
  return boxOf(context, last ? last.inputs[0]! : context.graph.nodes.length - 1);
};

/**
 * Mean of the logarithm of an upper bound of sum_j exp(z_j - z_y), the fused form of the loss (Xu et al. 2020,
 * arXiv 2002.12920, section 4): the exponentials by their chords over the interval bounds [l, u] of z_j - z_y,
 * whose sum is one row of the network. Of the sums, `beta` is that bound and the rest the one of intervals,
 * sum_j exp(u_j).
 */
export function fusedLoss(context: BoundedNetwork, labels: Int32Array, beta: number): Tensor {
  const { engine, graph } = context;
  const [n, k] = [labels.length, sizeOf(graph.output)];
  const specification = marginSpecification(engine, labels, k);
  const at = lastBoxOf(context);
  const u = neg(rowBounds(context, at, specification, false));
  const others = { ...specification, matrix: neg(specification.matrix) };
  const l = rowBounds(context, at, others, false);
  // All exponentials are divided by exp(most), a constant, so that none overflows.
  const most = input(engine, largestOf(u.read(), k), [n, 1]);
  const [low, high] = [exp(sub(l, most)), exp(sub(u, most))];
  const isOther = input(engine, otherClasses(labels, k), [n, k]);
  const least = filled(engine, [1], 1e-4);
  const slope = mul(isOther, div(sub(high, low), maximum(sub(u, l), least)));
  const offsets = mul(isOther, sub(low, mul(slope, l)));
  const isLabel = affine(isOther, -1, 1);
  const rows = sub(mul(isLabel, sumTo(slope, [n, 1])), slope);
  const sample = Int32Array.from({ length: n }, (_, i) => i);
  const values = reshape(rows, [n, ...graph.output]);
  const lower = reshape(lowerBounds(context, { sample, values }), [n, 1]);
  // The label's own term is exp(0), below which no sum is.
  const own = exp(neg(most));
  const byLine = add(own, sub(sumTo(offsets, [n, 1]), lower));
  const byIntervals = add(own, sumTo(mul(isOther, high), [n, 1]));
  const sums = maximum(lincomb(beta, byLine, 1 - beta, byIntervals), affine(own, 1, 1e-30));
  return mean(add(log(sums), most));
}

/** The largest of each row, at least 0. */
const largestOf = (values: Float32Array, k: number): Float32Array =>
  Float32Array.from({ length: values.length / k }, (_, i) =>
    Math.max(0, ...values.subarray(i * k, (i + 1) * k)),
  );

/** 1 for every class but the label, [n, k]. */
function otherClasses(labels: Int32Array, k: number): Float32Array {
  const others = new Float32Array(labels.length * k).fill(1);
  labels.forEach((label, i) => {
    others[i * k + label] = 0;
  });
  return others;
}
