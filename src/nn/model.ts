/** A network with its parameters in an engine's kept memory. */
import { expect, fail, lookup } from '../errors';
import type { Engine } from '../runtime/engine';
import { isSparse, type Weight } from '../sparse/weight';
import { sizeOf } from '../tensor/shape';
import { assign, keep, step, Tensor } from '../tensor/tensor';
import { compile, type Graph, type GraphNode, type Network, paramSpecs } from './graph';
import { type Initialiser, initialise, initialisers } from './init';
import type { LinearOperator } from './operator';

export interface Model<W extends Weight = Tensor> {
  readonly engine: Engine;
  readonly graph: Graph;
  /** Kept parameters by full name, e.g. `conv2d1.weight`. */
  readonly params: ReadonlyMap<string, W>;
}

/** A model whose weights may be sparse: what is evaluated, attacked and verified. */
export type AnyModel = Model<Weight>;

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
export function nodeParams<W extends Weight>(
  node: GraphNode,
  params: ReadonlyMap<string, W>,
): Readonly<Record<string, W>> {
  const own: Record<string, W> = {};
  for (const local of Object.keys(node.params)) {
    const weight = params.get(`${node.name}.${local}`);
    expect(weight, node.name, `the parameter ${local}`, 'none');
    own[local] = weight;
  }
  return own;
}

/** The operator of an affine node. */
export function operatorOf(node: GraphNode, params: ReadonlyMap<string, Weight>): LinearOperator {
  const { layer, options, inputShapes } = node;
  if (layer.role !== 'affine') return fail(node.name, 'an affine layer', `a ${layer.role}`);
  return layer.operator(nodeParams(node, params), options, inputShapes[0]!);
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
export function freeModel(model: AnyModel & { readonly made?: Made }): void {
  for (const made of model.made?.values() ?? []) made?.free();
  for (const weight of model.params.values()) {
    if (!isSparse(weight)) {
      weight.free();
      continue;
    }
    weight.pattern.free();
    weight.values.free();
    if (weight.dense instanceof Tensor) weight.dense.free();
  }
}

/** What was made for a frozen model, by what it is. */
export type Made = Map<string, { free(): void } | undefined>;
