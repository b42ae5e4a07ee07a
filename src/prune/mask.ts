/**
 * Masks at work: putting them on weights, counting what is left, and asserting that zeros stayed
 * zeros. All counts are exact and come from the count_nonzero kernel.
 */
import { expect } from '../errors';
import type { Graph } from '../nn/graph';
import type { Model } from '../nn/model';
import { affine, mul } from '../tensor/ops/core';
import { type Shape, sizeOf } from '../tensor/shape';
import { assign, step, type Tensor } from '../tensor/tensor';
import type { Masks } from './strategy';

/** Weights of one prunable parameter. */
export interface LayerSparsity {
  /** The layer's path in the model. */
  readonly name: string;
  readonly shape: Shape;
  readonly weights: number;
  readonly nonzero: number;
  /** Fraction kept, in [0, 1]. */
  readonly density: number;
}

export interface Sparsity {
  /** Share of the prunable weights that is gone, in [0, 1]; 0 where there are none. */
  readonly sparsity: number;
  readonly weights: number;
  readonly nonzero: number;
  readonly layers: readonly LayerSparsity[];
}

/** Elements that are not zero (of either sign); NaN counts as one. */
export function countNonzero(tensor: Tensor): number {
  const { engine } = tensor;
  return step(engine, () => {
    const at = engine.arena.alloc(4);
    engine.run('count_nonzero', tensor.size, tensor.ptr, at);
    return engine.memory.i32(at, 1)[0]!;
  });
}

/** Multiplies weights by their masks, in place; what goes becomes +0. */
export function applyMasks(model: Model, masks: Masks): void {
  // Adding +0 turns the -0 of a negative weight into +0, as the optimisers' kernels write it.
  for (const [weight, mask] of pairs(model, masks))
    step(model.engine, () => assign(weight, affine(mul(weight, mask), 1, 0)));
}

/**
 * Raises an EspalierError, naming the parameter, where it has more non-zeros than its mask has ones
 * or any outside of it. Cost: one product and three counts, memory bound.
 */
export function assertMasked(model: Model, masks: Masks): void {
  for (const [weight, mask, name] of pairs(model, masks)) {
    const ones = countNonzero(mask);
    const nonzero = countNonzero(weight);
    const inside = step(model.engine, () => countNonzero(mul(weight, mask)));
    expect(nonzero <= ones, name, `at most the ${ones} non-zeros of its mask`, nonzero);
    expect(nonzero === inside, name, 'no weight outside of its mask', nonzero - inside);
  }
}

/**
 * The prunable weights that are not zero, in all and by layer. For a network that lost whole filters
 * give the graph it had before as `dense`: sizes are those of `dense`.
 */
export function sparsityOf(model: Model, dense: Graph = model.graph): Sparsity {
  const layers = dense.nodes.flatMap((node) =>
    Object.entries(node.params)
      .filter(([, spec]) => spec.prunable)
      .map(([local, { shape }]): LayerSparsity => {
        const weights = sizeOf(shape);
        const nonzero = countNonzero(parameter(model, `${node.name}.${local}`));
        return { name: node.name, shape, weights, nonzero, density: nonzero / weights };
      }),
  );
  const weights = layers.reduce((total, layer) => total + layer.weights, 0);
  const nonzero = layers.reduce((total, layer) => total + layer.nonzero, 0);
  return { sparsity: weights === 0 ? 0 : 1 - nonzero / weights, weights, nonzero, layers };
}

export function freeMasks(masks: Masks): void {
  for (const mask of masks.values()) mask.free();
}

function pairs(model: Model, masks: Masks): [weight: Tensor, mask: Tensor, name: string][] {
  return [...masks].map(([name, mask]) => {
    const weight = parameter(model, name);
    expect(weight.size === mask.size, name, `a mask of shape [${weight.shape}]`, `[${mask.shape}]`);
    return [weight, mask, name];
  });
}

function parameter(model: Model, name: string): Tensor {
  const tensor = model.params.get(name);
  expect(tensor, model.graph.network.name, `the parameter ${name}`, 'none');
  return tensor;
}
