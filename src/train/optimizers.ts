/**
 * SGD with momentum and Adam (Kingma and Ba 2015), one fused kernel a parameter. A mask is applied
 * inside the step to gradient, moments and weight alike, so pruned weights cannot come back.
 */

import { paramSpecs } from '../nn/graph';
import type { Model } from '../nn/model';
import { trainableNames } from '../nn/model';
import type { OptionalPtr } from '../runtime/kernels';
import type { SparsityPattern } from '../sparse/pattern';
import { affine, mul, sum } from '../tensor/ops/core';
import { square } from '../tensor/ops/elementwise';
import { item, keep, type Tensor } from '../tensor/tensor';
import type { Patterns } from './sparse';

export interface OptimizerOptions {
  readonly optimizer: 'adam' | 'sgd';
  /** L2 penalty on weights (not on biases and norms), added to the gradient. */
  readonly weightDecay: number;
  /** SGD's momentum (Nesterov's form is not used); Adam's first decay. */
  readonly momentum: number;
  /** Largest L2 norm of the whole gradient, or null. */
  readonly gradientClip: number | null;
}

export interface Optimizer {
  readonly options: OptimizerOptions;
  readonly names: readonly string[];
  /** Kept tensors by `<moment>.<parameter>`. */
  readonly moments: ReadonlyMap<string, Tensor>;
  /** Updates done. */
  steps: number;
}

const BETA2 = 0.999;
const EPSILON = 1e-8;

export function createOptimizer(model: Model, options: OptimizerOptions): Optimizer {
  const names = trainableNames(model.graph);
  const moments = new Map<string, Tensor>();
  for (const kind of options.optimizer === 'adam' ? ['m', 'v'] : ['v'])
    for (const name of names)
      moments.set(`${kind}.${name}`, keep(model.engine, model.params.get(name)!.shape));
  return { options, names, moments, steps: 0 };
}

export function freeOptimizer(optimizer: Optimizer): void {
  for (const tensor of optimizer.moments.values()) tensor.free();
}

/** By parameter: what may move. The gradient of a parameter with a pattern is that of its values. */
export interface Masking {
  readonly masks?: ReadonlyMap<string, Tensor> | undefined;
  readonly patterns?: Patterns | undefined;
}

/**
 * Moves the parameters against their gradients (in the order of `names`); where the gradients' norm
 * is not finite it changes nothing and returns false.
 */
export function update(
  optimizer: Optimizer,
  model: Model,
  gradients: readonly Tensor[],
  rate: number,
  { masks, patterns }: Masking = {},
): boolean {
  const { options, names, moments } = optimizer;
  const specs = paramSpecs(model.graph);
  const moves = gradients.map((g, i) => moveOf(g, masks?.get(names[i]!), patterns?.get(names[i]!)));
  const norm = Math.sqrt(moves.reduce((total, { g }) => total + item(sum(square(g))), 0));
  if (!Number.isFinite(norm)) return false;
  const limit = options.gradientClip ?? norm;
  // All scaled down by one factor, so that their common L2 norm is at most the limit.
  const t = ++optimizer.steps;
  const beta1 = options.momentum;
  names.forEach((name, i) => {
    const w = model.params.get(name)!;
    const { g: whole, mask, at } = moves[i]!;
    const g = norm > limit ? affine(whole, limit / norm, 0) : whole;
    const moved = [g.size, w.ptr, g.ptr] as const;
    const decay = specs.get(name)!.prunable ? options.weightDecay : 0;
    const v = moments.get(`v.${name}`)!.ptr;
    if (options.optimizer === 'sgd')
      model.engine.run('sgd', ...moved, v, mask, at, rate, options.momentum, decay, 0);
    else {
      const m = moments.get(`m.${name}`)!.ptr;
      const [c1, c2] = [1 / (1 - beta1 ** t), 1 / (1 - BETA2 ** t)];
      const betas = [beta1, BETA2, EPSILON, decay, c1, c2] as const;
      model.engine.run('adam', ...moved, m, v, mask, at, rate, ...betas);
    }
  });
  return true;
}

/** A gradient, and the weights that it moves. */
interface Move {
  readonly g: Tensor;
  readonly mask: OptionalPtr;
  readonly at: OptionalPtr;
}

/**
 * What is masked is no parameter of the network, so it has no part in the norm. Outside of a pattern
 * weights and moments are 0 and stay so.
 */
function moveOf(g: Tensor, mask: Tensor | undefined, pattern: SparsityPattern | undefined): Move {
  if (pattern) return { g, mask: 0, at: pattern.at };
  return mask ? { g: mul(g, mask), mask: mask.ptr, at: 0 } : { g, mask: 0, at: 0 };
}
