/** A network with its parameters in an engine's kept memory. */
import { expect, lookup } from '../errors';
import type { Engine } from '../runtime/engine';
import { dropSupport } from '../sparse/pattern';
import { sizeOf } from '../tensor/shape';
import { assign, keep, step, type Tensor } from '../tensor/tensor';
import { compile, type Graph, type GraphNode, type Network, paramSpecs } from './graph';
import { type Initialiser, initialise, initialisers } from './init';
import type { Params } from './layer';

export interface Model {
  readonly engine: Engine;
  readonly graph: Graph;
  /** Kept tensors by full name, e.g. `conv2d1.weight`. */
  readonly params: ReadonlyMap<string, Tensor>;
}

/** A new model with drawn weights; the same seed gives the same model. */
export function createModel(
  engine: Engine,
  network: Network,
  { seed = 0, init = 'kaiming' as Initialiser } = {},
): Model {
  lookup(initialisers, init, 'init');
  const graph = compile(network);
  const params = new Map<string, Tensor>();
  for (const [name, spec] of paramSpecs(graph)) {
    const tensor = keep(engine, spec.shape);
    step(engine, () => assign(tensor, initialise(engine, spec, init, seed, params.size)));
    params.set(name, tensor);
  }
  return { engine, graph, params };
}

/** A model with the given weights (row-major). Where one does not fit: an error, and nothing kept. */
export function modelFrom(
  engine: Engine,
  network: Network,
  weights: (name: string) => ArrayLike<number>,
): Model {
  const graph = compile(network);
  const params = new Map<string, Tensor>();
  try {
    for (const [name, spec] of paramSpecs(graph)) {
      const values = weights(name);
      const size = sizeOf(spec.shape);
      expect(values.length === size, `${network.name}.${name}`, `${size} weights`, values.length);
      params.set(name, keep(engine, spec.shape, values));
    }
  } catch (error) {
    for (const tensor of params.values()) tensor.free();
    throw error;
  }
  return { engine, graph, params };
}

/** The tensors of one node by local name, read from any map of full names. */
export function nodeParams(node: GraphNode, params: ReadonlyMap<string, Tensor>): Params {
  const own: Record<string, Tensor> = {};
  for (const local of Object.keys(node.params)) {
    const tensor = params.get(`${node.name}.${local}`);
    expect(tensor, node.name, `the parameter ${local}`, 'none');
    own[local] = tensor;
  }
  return own;
}

/** Names of the parameters an optimiser updates. */
export function trainableNames(graph: Graph): string[] {
  return [...paramSpecs(graph)].filter(([, spec]) => spec.trainable).map(([name]) => name);
}

/** Names of the parameters that pruning ratios count. */
export function prunableNames(graph: Graph): string[] {
  return [...paramSpecs(graph)].filter(([, spec]) => spec.prunable).map(([name]) => name);
}

/** Gives the parameters' memory back; the model is of no use afterwards. */
export function freeModel(model: Model): void {
  for (const tensor of model.params.values()) {
    dropSupport(tensor);
    tensor.free();
  }
}
