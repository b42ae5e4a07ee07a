/**
 * Projected gradient ascent of a loss of the input: what FGSM, PGD and adversarial training share.
 */
import type { Norm } from '../domain/balls';
import { logits } from '../domain/classifier';
import type { AnyModel } from '../nn/model';
import {
  add,
  affine,
  div,
  greater,
  maximum,
  minimum,
  mul,
  reshape,
  sub,
  sum,
  sumTo,
} from '../tensor/ops/core';
import { abs, clamp, sqrt, square } from '../tensor/ops/elementwise';
import { crossEntropy } from '../tensor/ops/loss';
import type { SumOptions } from '../tensor/ops/product';
import { normal, type RandomKey, uniform } from '../tensor/ops/random';
import { largest } from '../tensor/ops/rows';
import { gradients } from '../tensor/tape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { marginsOf } from './attack';

export interface Ball {
  /** Clean images [n, ...]. */
  readonly x: Tensor;
  readonly eps: number;
  readonly norm: Norm;
}

/**
 * `moved` brought into the ball and [0, 1]: to the nearest point for L-infinity and, within [0, 1], for
 * L2; for L1 towards x, which is further than need be.
 */
export function project({ x, eps, norm }: Ball, moved: Tensor): Tensor {
  if (norm === 'linf') {
    const inside = minimum(maximum(moved, affine(x, 1, -eps)), affine(x, 1, eps));
    return clamp(inside, 0, 1);
  }
  const boxed = clamp(moved, 0, 1);
  const delta = sub(boxed, x);
  const length = norm === 'l2' ? rowNorms(delta) : rowSums(abs(delta));
  // A little less than the radius, as x + delta is rounded.
  const most = filled(x.engine, [1], (1 - 1e-6) * eps);
  const factor = minimum(filled(x.engine, [1], 1), div(most, length));
  return add(x, mul(delta, factor));
}

/** A random point of the ball: uniform for L-infinity, else a uniform direction and radius. */
export function randomStart(ball: Ball, key: RandomKey): Tensor {
  const { x, eps, norm } = ball;
  if (norm === 'linf') return project(ball, add(x, uniform(x.engine, x.shape, key, -eps, eps)));
  const direction = normal(x.engine, x.shape, key);
  const radius = uniform(x.engine, [x.shape[0]!, 1], { ...key, stream: key.stream + 1000 }, 0, eps);
  const length = norm === 'l2' ? rowNorms(direction) : rowSums(abs(direction));
  const scale = div(reshape(radius, length.shape), length);
  return project(ball, add(x, mul(direction, scale)));
}

/**
 * One step of the given length up the cross entropy of the model, projected; and the logits before.
 *
 * Probabilities of a network that is surer than float32 can tell round to 0 and 1, and gradients of
 * the cross entropy vanish or lose the label's part; logits with a margin above `SURE` are scaled
 * down to it, which changes no decision (Carlini and Wagner 2017 on why this matters).
 */
export function ascend(
  model: AnyModel,
  ball: Ball,
  at: Tensor,
  labels: ArrayLike<number>,
  length: number,
  sums?: SumOptions,
): { readonly next: Tensor; readonly z: Tensor } {
  const { engine } = model;
  const { result, gradients: found } = gradients(engine, [at], () => {
    const z = logits(model, at, sums);
    const scales = marginsOf(z, labels).map((m) => (Math.abs(m) > SURE ? SURE / Math.abs(m) : 1));
    const tempered = mul(z, input(engine, scales, [labels.length, 1]));
    return { loss: sum(crossEntropy(tempered, labels)), z };
  });
  return { next: moveUp(ball, at, found[0]!, length), z: result.z };
}

/** `at` moved by the given length up the gradient g, projected. */
export function moveUp(ball: Ball, at: Tensor, g: Tensor, length: number): Tensor {
  return project(ball, add(at, affine(WAYS[ball.norm](g), length, 0)));
}

/** The longest way up within a unit ball; for L1 shared by all pixels of at least half the steepest slope. */
const WAYS: Readonly<Record<Norm, (g: Tensor) => Tensor>> = {
  linf: signOrZero,
  l2: (g) => div(g, rowNorms(g)),
  l1: (g) => {
    const top = reshape(largest(g), rowShape(g));
    const steep = mul(signOrZero(g), greater(abs(g), affine(top, 0.5, 0)));
    return div(steep, rowSums(abs(steep)));
  },
};

/** Margins of logits up to this one keep gradients of full precision: exp(-10) is 760 roundings. */
const SURE = 10;

/** The sign of each element, 0 for NaN: a gradient that overflowed leads nowhere. */
function signOrZero(g: Tensor): Tensor {
  const zero = filled(g.engine, [1], 0);
  return sub(greater(g, zero), greater(zero, g));
}

const rowShape = (t: Tensor): number[] => t.shape.map((size, axis) => (axis === 0 ? size : 1));

/** The sum of each sample, [n, 1, ...], of sizes, kept above zero. */
const rowSums = (t: Tensor): Tensor => affine(sumTo(t, rowShape(t)), 1, 1e-12);

/** L2 norm of each sample, [n, 1, ...], kept above zero. */
const rowNorms = (t: Tensor): Tensor => affine(sqrt(sumTo(square(t), rowShape(t))), 1, 1e-12);
