/**
 * Projected gradient ascent of a loss of the input: what FGSM, PGD and adversarial training share.
 */
import { logits } from '../domain/classifier';
import type { Model } from '../nn/model';
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
import { clamp, sqrt, square } from '../tensor/ops/elementwise';
import { crossEntropy } from '../tensor/ops/loss';
import { normal, type RandomKey, uniform } from '../tensor/ops/random';
import { gradients } from '../tensor/tape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { marginsOf, type Norm } from './attack';

export interface Ball {
  /** Clean images [n, ...]. */
  readonly x: Tensor;
  readonly eps: number;
  readonly norm: Norm;
}

/** `x` moved to the nearest point of the ball that is in [0, 1]. */
export function project({ x, eps, norm }: Ball, moved: Tensor): Tensor {
  if (norm === 'linf') {
    const inside = minimum(maximum(moved, affine(x, 1, -eps)), affine(x, 1, eps));
    return clamp(inside, 0, 1);
  }
  const boxed = clamp(moved, 0, 1);
  const delta = sub(boxed, x);
  const length = rowNorms(delta);
  const factor = minimum(filled(x.engine, [1], 1), div(filled(x.engine, [1], eps), length));
  return add(x, mul(delta, factor));
}

/** A random point of the ball: uniform for L-infinity, a uniform direction and radius for L2. */
export function randomStart(ball: Ball, key: RandomKey): Tensor {
  const { x, eps, norm } = ball;
  if (norm === 'linf') return project(ball, add(x, uniform(x.engine, x.shape, key, -eps, eps)));
  const direction = normal(x.engine, x.shape, key);
  const radius = uniform(x.engine, [x.shape[0]!, 1], { ...key, stream: key.stream + 1000 }, 0, eps);
  const scale = div(reshape(radius, rowNorms(direction).shape), rowNorms(direction));
  return project(ball, add(x, mul(direction, scale)));
}

/**
 * One step of the given length up the cross entropy of the model, projected; and the logits before.
 *
 * Where the network is surer than float32 can tell, probabilities round to 0 and 1 and gradients of
 * the cross entropy vanish or lose the label's part; logits with a margin above `SURE` are scaled
 * down to it, which changes no decision (Carlini and Wagner 2017 on why this matters).
 */
export function ascend(
  model: Model,
  ball: Ball,
  at: Tensor,
  labels: ArrayLike<number>,
  length: number,
): { readonly next: Tensor; readonly z: Tensor } {
  const { engine } = model;
  const { result, gradients: found } = gradients(engine, [at], () => {
    const z = logits(model, at);
    const scales = marginsOf(z, labels).map((m) => (Math.abs(m) > SURE ? SURE / Math.abs(m) : 1));
    const tempered = mul(z, input(engine, scales, [labels.length, 1]));
    return { loss: sum(crossEntropy(tempered, labels)), z };
  });
  const g = found[0]!;
  const way = ball.norm === 'linf' ? signOrZero(g) : div(g, rowNorms(g));
  return { next: project(ball, add(at, affine(way, length, 0))), z: result.z };
}

/** Margins of logits up to this one keep gradients of full precision: exp(-10) is 760 roundings. */
const SURE = 10;

/** The sign of each element, 0 for NaN: a gradient that overflowed leads nowhere. */
function signOrZero(g: Tensor): Tensor {
  const zero = filled(g.engine, [1], 0);
  return sub(greater(g, zero), greater(zero, g));
}

/** L2 norm of each sample, [n, 1, ...], kept above zero. */
function rowNorms(t: Tensor): Tensor {
  const shape = t.shape.map((size, axis) => (axis === 0 ? size : 1));
  return affine(sqrt(sumTo(square(t), shape)), 1, 1e-12);
}
