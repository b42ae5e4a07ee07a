/**
 * SGD with momentum and Adam (Kingma and Ba 2015) on the leaves of a model in training, one fused kernel a
 * leaf.
 */
import type { Leaf } from '../nn/training-model';
import { affine, sum } from '../tensor/ops/core';
import { square } from '../tensor/ops/elementwise';
import { item, keep, type Tensor } from '../tensor/tensor';

export interface OptimizerOptions {
  readonly optimizer: 'adam' | 'sgd';
  /** L2 penalty on weights (not on biases and norms), added to the gradient. */
  readonly weightDecay: number;
  /** SGD's momentum (Nesterov's form is not used); Adam's first decay. */
  readonly momentum: number;
  /** Largest L2 norm of the whole gradient, or null. */
  readonly gradientClip: number | null;
  /** How far leaves climb to where their gradients are taken, as a share of their norms, or null. */
  readonly sharpness?: number | null;
}

export interface Optimizer {
  readonly options: OptimizerOptions;
  leaves: readonly Leaf[];
  /** Kept tensors by `<moment>.<leaf>`. */
  readonly moments: Map<string, Tensor>;
  /** Updates done. */
  steps: number;
}

const BETA2 = 0.999;
const EPSILON = 1e-8;

export function createOptimizer(leaves: readonly Leaf[], options: OptimizerOptions): Optimizer {
  const moments = new Map<string, Tensor>();
  for (const kind of options.optimizer === 'adam' ? ['m', 'v'] : ['v'])
    for (const { name, tensor } of leaves)
      moments.set(`${kind}.${name}`, keep(tensor.engine, tensor.shape));
  return { options, leaves, moments, steps: 0 };
}

export function freeOptimizer({ moments }: Optimizer): void {
  for (const tensor of moments.values()) tensor.free();
}

/**
 * Moves the leaves against their gradients (in the order of `leaves`); where the gradients' norm is not
 * finite it changes nothing and returns false.
 */
export function update(optimizer: Optimizer, gradients: readonly Tensor[], rate: number): boolean {
  const { options, leaves, moments } = optimizer;
  const norm = Math.sqrt(gradients.reduce((total, g) => total + item(sum(square(g))), 0));
  if (!Number.isFinite(norm)) return false;
  const limit = options.gradientClip ?? norm;
  const t = ++optimizer.steps;
  const beta1 = options.momentum;
  const corrections = [1 / (1 - beta1 ** t), 1 / (1 - BETA2 ** t)] as const;
  leaves.forEach(({ name, tensor, decays }, i) => {
    // All scaled down by one factor, so that their common L2 norm is at most the limit.
    const g = norm > limit ? affine(gradients[i]!, limit / norm, 0) : gradients[i]!;
    const moved = [g.size, tensor.ptr, g.ptr] as const;
    const decay = decays ? options.weightDecay : 0;
    const v = moments.get(`v.${name}`)!.ptr;
    if (options.optimizer === 'sgd') tensor.engine.run('sgd', ...moved, v, rate, beta1, decay);
    else {
      const m = moments.get(`m.${name}`)!.ptr;
      const betas = [beta1, BETA2, EPSILON, decay, ...corrections] as const;
      tensor.engine.run('adam', ...moved, m, v, rate, ...betas);
    }
  });
  return true;
}
