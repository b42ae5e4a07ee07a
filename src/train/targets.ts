/**
 * Soft labels, one mechanism for all objectives: labels smoothed (Szegedy et al. 2016, arXiv 1512.00567)
 * and a teacher's (Hinton et al. 2015, arXiv 1503.02531) become targets of the cross entropy of logits.
 *
 * Losses of bounds are about the label and no other class; they keep hard labels (`softLabels` of an
 * objective says whether it can do with targets).
 */
import { logits } from '../domain/classifier';
import { expect } from '../errors';
import type { Graph } from '../nn/graph';
import type { AnyModel } from '../nn/model';
import { add, affine, lincomb, mean, mul, reshape, sub, sumTo } from '../tensor/ops/core';
import { crossEntropy, softmax } from '../tensor/ops/loss';
import { takeRows } from '../tensor/ops/shape';
import { sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';
import type { LossContext } from './objective';

/** How labels become targets. */
export interface Labelling {
  /** Share of the label that goes to all classes alike, in [0, 1]. */
  readonly smoothing: number;
  readonly teacher: Teacher | null;
}

export interface Teacher {
  readonly model: AnyModel;
  /** Share of the teacher's probabilities in the targets, in [0, 1], and what its logits are divided by. */
  readonly weight: number;
  readonly temperature: number;
}

/** The targets of a batch, [n, classes], a constant of its loss; undefined where labels stay as they are. */
export function targetsOf(
  labelling: Labelling | undefined,
  x: Tensor,
  labels: Int32Array,
  graph: Graph,
): Tensor | undefined {
  if (!labelling || (labelling.smoothing === 0 && !labelling.teacher)) return undefined;
  const { smoothing, teacher } = labelling;
  const k = sizeOf(graph.output);
  const rows = new Float32Array(labels.length * k).fill(smoothing / k);
  labels.forEach((label, i) => {
    rows[i * k + label]! += 1 - smoothing;
  });
  const hard = input(x.engine, rows, [labels.length, k]);
  if (!teacher) return hard;
  const taught = step(x.engine, () =>
    softmax(affine(logits(teacher.model, x), 1 / teacher.temperature, 0)),
  );
  expect(taught.size === hard.size, 'teacher', `logits [n, ${k}]`, `[${taught.shape}]`);
  return lincomb(1 - teacher.weight, hard, teacher.weight, taught);
}

/** Mean cross entropy of logits [n, classes] against the batch's targets, or its labels. */
export function labelLoss(
  { labels, targets }: Pick<LossContext, 'labels' | 'targets'>,
  z: Tensor,
): Tensor {
  return mean(targets ? softCrossEntropy(z, targets, labels) : crossEntropy(z, labels));
}

/**
 * -sum_j t_j log p_j of each row, p the softmax of logits z and t targets that sum to 1: [n]. It is written
 * about one class of each row, `around`, so that nothing large cancels.
 */
export function softCrossEntropy(z: Tensor, targets: Tensor, around: ArrayLike<number>): Tensor {
  const [n, k] = z.shape as [number, number];
  const rows = Int32Array.from(around, (label, i) => i * k + label);
  const behind = sub(takeRows(reshape(z, [n * k, 1]), rows), z);
  return add(crossEntropy(z, around), reshape(sumTo(mul(targets, behind), [n, 1]), [n]));
}

/** The divergence of Kullback and Leibler of each row, from the softmax of `z` to that of `other`: [n]. */
export function divergence(z: Tensor, other: Tensor, around: ArrayLike<number>): Tensor {
  const p = softmax(z);
  return sub(softCrossEntropy(other, p, around), softCrossEntropy(z, p, around));
}
