/**
 * Optimisers of the leaves of a model in training: a table of rules, by which one leaf is moved against its
 * gradient. Those with kernels of their own are fused; the others are written in ops.
 */
import type { Leaf } from '../nn/training-model';
import { affine, div, lincomb, sum } from '../tensor/ops/core';
import { sqrt, square } from '../tensor/ops/elementwise';
import { assign, item, keep, type Tensor } from '../tensor/tensor';

/** One leaf about to be moved. */
interface Move {
  readonly leaf: Tensor;
  readonly gradient: Tensor;
  moment(name: string): Tensor;
  readonly rate: number;
  /** 0 for leaves that do not decay. */
  readonly decay: number;
  readonly momentum: number;
  /** Updates done, this one included. */
  readonly step: number;
}

interface Rule {
  /** Tensors like the leaf that it keeps, by name; they begin at 0. */
  readonly moments: readonly string[];
  move(at: Move): void;
}

const BETA2 = 0.999;
/** Decay of the mean square in RMSprop. */
const ALPHA = 0.99;
const EPSILON = 1e-8;

const adam = ({ leaf, gradient, moment, rate, decay, momentum, step }: Move): void => {
  const corrections = [1 / (1 - momentum ** step), 1 / (1 - BETA2 ** step)] as const;
  const moments = [moment('m').ptr, moment('v').ptr] as const;
  const settings = [rate, momentum, BETA2, EPSILON, decay, ...corrections] as const;
  leaf.engine.run('adam', leaf.size, leaf.ptr, gradient.ptr, ...moments, ...settings);
};

const sgd = ({ leaf, gradient, rate, decay, momentum }: Move, velocity: Tensor): void => {
  const at = [leaf.size, leaf.ptr, gradient.ptr, velocity.ptr] as const;
  leaf.engine.run('sgd', ...at, rate, momentum, decay);
};

const decayed = ({ leaf, gradient, decay }: Move): Tensor =>
  decay === 0 ? gradient : lincomb(1, gradient, decay, leaf);

/** The rules by name. */
export const optimizers = {
  /** Kingma and Ba 2015, arXiv 1412.6980. */
  adam: { moments: ['m', 'v'], move: adam },
  /** With momentum. */
  sgd: { moments: ['v'], move: (at) => sgd(at, at.moment('v')) },
  /** SGD with Nesterov's momentum, as Sutskever et al. 2013: the velocity is looked at one step ahead. */
  nesterov: {
    moments: ['v'],
    move(at) {
      const [g, velocity] = [decayed(at), at.moment('v')];
      assign(velocity, lincomb(at.momentum, velocity, 1, g));
      const ahead = lincomb(1, g, at.momentum, velocity);
      assign(at.leaf, lincomb(1, at.leaf, -at.rate, ahead));
    },
  },
  /** Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019, arXiv 1711.05101). */
  adamw: {
    moments: ['m', 'v'],
    move(at) {
      if (at.decay > 0) assign(at.leaf, affine(at.leaf, 1 - at.rate * at.decay, 0));
      adam({ ...at, decay: 0 });
    },
  },
  /** Tieleman and Hinton 2012, with momentum of the scaled gradients: `v` is their velocity, `m` the mean square. */
  rmsprop: {
    moments: ['m', 'v'],
    move(at) {
      const [g, squares] = [decayed(at), at.moment('m')];
      assign(squares, lincomb(ALPHA, squares, 1 - ALPHA, square(g)));
      const gradient = div(g, affine(sqrt(squares), 1, EPSILON));
      sgd({ ...at, gradient, decay: 0 }, at.moment('v'));
    },
  },
} as const satisfies Record<string, Rule>;

export type OptimizerName = keyof typeof optimizers;
export const OPTIMIZERS = Object.keys(optimizers) as OptimizerName[];

export interface OptimizerOptions {
  readonly optimizer: OptimizerName;
  /** L2 penalty on weights (not on biases and norms), added to the gradient; of `adamw` apart from it. */
  readonly weightDecay: number;
  /** SGD's momentum, and RMSprop's; Adam's first decay. */
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

export function createOptimizer(leaves: readonly Leaf[], options: OptimizerOptions): Optimizer {
  const moments = new Map<string, Tensor>();
  for (const kind of optimizers[options.optimizer].moments)
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
  const step = ++optimizer.steps;
  const { momentum, weightDecay } = options;
  const rule: Rule = optimizers[options.optimizer];
  leaves.forEach(({ name, tensor: leaf, decays }, i) => {
    // All scaled down by one factor, so that their common L2 norm is at most the limit.
    const gradient = norm > limit ? affine(gradients[i]!, limit / norm, 0) : gradients[i]!;
    const moment = (kind: string): Tensor => moments.get(`${kind}.${name}`)!;
    const decay = decays ? weightDecay : 0;
    rule.move({ leaf, gradient, moment, rate, decay, momentum, step });
  });
  return true;
}
