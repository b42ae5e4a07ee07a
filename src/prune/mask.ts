/** Masks of models and counts of what is left: exact ones, of the weights themselves. */
import { expect } from '../errors';
import { type Graph, paramSpecs } from '../nn/graph';
import { type Model, prunableNames } from '../nn/model';
import type { Mask } from '../nn/parameterisation';
import { type Shape, sizeOf } from '../tensor/shape';
import { step, type Tensor } from '../tensor/tensor';
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

/** Sets weights to +0 where their masks are 0, in place. */
export function applyMasks(model: Model, masks: Masks): void {
  for (const [name, mask] of masks) {
    const weight = parameter(model, name);
    expect(weight.size === mask.length, name, `a mask of ${weight.size} entries`, mask.length);
    weight.write(weight.read().map((w, place) => (mask[place] === 1 ? w : 0)));
  }
}

/** Masks of the prunable weights that are other than 0 now. */
export const nonzeroMasks = ({ graph, params }: Model): Masks =>
  new Map(prunableNames(graph).map((name) => [name, nonzeroMask(params.get(name)!.read())]));

const nonzeroMask = (values: Float32Array): Mask => Uint8Array.from(values, (w) => Number(w !== 0));

/** Entries that a mask keeps. */
export const countKept = (mask: Mask): number => mask.reduce((n, one) => n + one, 0);

/** How many of a network's prunable weights masks take out, and how many there are. */
export function countMasked(graph: Graph, masks: Masks): { zeros: number; total: number } {
  const specs = [...paramSpecs(graph)].filter(([, spec]) => spec.prunable);
  const total = specs.reduce((n, [, { shape }]) => n + sizeOf(shape), 0);
  const zeros = specs.reduce((n, [name]) => {
    const mask = masks.get(name);
    return mask ? n + mask.length - countKept(mask) : n;
  }, 0);
  return { zeros, total };
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

function parameter(model: Model, name: string): Tensor {
  const tensor = model.params.get(name);
  expect(tensor, model.graph.network.name, `the parameter ${name}`, 'none');
  return tensor;
}
