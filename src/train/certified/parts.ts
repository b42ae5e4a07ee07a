/** Parts of robust losses: margins by intervals, logits at a point, and samples of a batch. */
import { newPass, type Pass, propagate } from '../../domain/domain';
import type { Box } from '../../domain/interval';
import { intervalMargins } from '../../domain/rows';
import { value } from '../../domain/value';
import type { GraphNode } from '../../nn/graph';
import type { AnyModel } from '../../nn/model';
import { affine, mean, reshape } from '../../tensor/ops/core';
import { crossEntropy } from '../../tensor/ops/loss';
import { takeRows } from '../../tensor/ops/shape';
import { STREAMS, uniform } from '../../tensor/philox';
import type { Tensor } from '../../tensor/tensor';
import type { LossContext } from '../objective';
import type { RobustContext } from './family';
import type { Hidden } from './terms';

/** Mean cross entropy of the worst logits that lower bounds [n, classes] of z_y - z_j allow. */
export const worstLoss = (margins: Tensor, labels: ArrayLike<number>): Tensor =>
  mean(crossEntropy(affine(margins, -1, 0), labels));

/** Interval bounds of the margins over a box, and the hidden boxes where they are wanted. */
export function byIntervals(
  { model, labels, pass, watch }: RobustContext,
  box: Box,
): { readonly margins: Tensor; readonly hidden: readonly Hidden[] } {
  const hidden: Hidden[] = [];
  const observe = (node: GraphNode, at: Box): void => {
    if (node.layer.role === 'pointwise') hidden.push({ node, box: at });
  };
  const options = watch ? { sound: false, pass, observe } : { sound: false, pass };
  const margins = intervalMargins(model.graph, model.params, box, labels, options);
  return { margins, hidden };
}

/** Logits at a point, with the batch statistics and dropout masks of the clean images. */
export const logitsAt = ({ model, pass }: LossContext, at: Tensor): Tensor =>
  propagate(model.graph, model.params, value, at, { pass });

/** Two uniform draws for each sample of a batch, by its seed, epoch and position in the training set. */
function drawsOf({ seed, epoch, index }: LossContext): Float64Array[] {
  return Array.from(index, (i) => uniform(seed + Math.floor(epoch), STREAMS.samples, i, 2));
}

/** Whether a batch is one of a share of all, at random. */
export const isDrawn = (context: LossContext, share: number): boolean =>
  drawsOf(context)[0]![1]! < share;

/** `count` samples of the batch at random, or all; as a context of their own. */
export function someSamples(context: RobustContext, count: number | null): RobustContext {
  const { model, x, labels, index, clean, pass } = context;
  const n = labels.length;
  if (count === null || count >= n) return context;
  const draws = drawsOf(context);
  const places = [...draws.keys()].sort((a, b) => draws[a]![0]! - draws[b]![0]!).slice(0, count);
  const rows = (t: Tensor): Tensor =>
    reshape(takeRows(reshape(t, [n, t.size / n]), places), [count, ...t.shape.slice(1)]);
  const part = {
    ...{ ...context, x: rows(x), clean: rows(clean) },
    labels: Int32Array.from(places, (i) => labels[i]!),
    index: Int32Array.from(places, (i) => index[i]!),
  };
  return { ...part, pass: passOf(model, part.x, part.index, pass) };
}

/** The pass of some samples: statistics are those of their batch, random masks their own ones. */
function passOf({ graph, params }: AnyModel, x: Tensor, index: Int32Array, pass: Pass): Pass {
  if (!pass.training) return pass;
  const part = newPass({ key: { ...pass.training.key, index } }, pass);
  const isOwn = ({ layer }: GraphNode): boolean =>
    layer.role === 'affine' && layer.onlyInTraining === true;
  if (!graph.nodes.some(isOwn)) return { ...part, operators: pass.operators };
  for (const [node, operator] of pass.operators)
    if (!isOwn(node)) part.operators.set(node, operator);
  propagate(graph, params, value, x, { pass: part });
  return part;
}
