/**
 * Abstract domains: a domain says how its elements (values, boxes, ...) go through a layer of each of the three
 * roles; `propagate` takes an element forward through the graph. Layers and domains know only the roles, so
 * every new layer works in all domains, and every new domain with all layers.
 */
import { expect } from '../errors';
import type { Graph, GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer, PointwiseLayer } from '../nn/layer';
import { nodeParams } from '../nn/model';
import { type LinearOperator, type Params, tensorOf } from '../nn/operator';
import type { Weight } from '../sparse/weight';
import type { SumOptions } from '../tensor/ops/product';
import type { RandomKey } from '../tensor/ops/random';
import { Tensor } from '../tensor/tensor';

/** A graph node whose layer is known to be of type L, that is of one role. */
export type NodeWith<L> = GraphNode & { readonly layer: L };

/** An abstract domain with elements E: one transformer per role. */
export interface Domain<E> {
  affine(node: NodeWith<AffineLayer>, w: LinearOperator, x: E): E;
  pointwise(node: NodeWith<PointwiseLayer>, x: E): E;
  join(node: NodeWith<JoinLayer>, xs: readonly E[]): E;
}

/**
 * State of one forward computation, which all domains share. In training the value domain goes first: layers
 * that depend on the batch (batch norm, dropout) make their operators from its values, and the other domains
 * then use the same statistics and masks, so that bounds are of the network that is trained.
 */
export interface Pass {
  /** Set while training: keys the random draws of this batch. */
  readonly training?: { readonly key: RandomKey };
  /** Whether convolutions may use Winograd's algorithm: in training alone. Sound bounds refuse it. */
  readonly allowWinograd: boolean;
  /** Operators of the affine nodes that were met so far. */
  readonly operators: Map<GraphNode, LinearOperator>;
  /** Statistics of this batch by full parameter name. */
  readonly statistics: Map<string, Tensor>;
  /** New running statistics by full parameter name, to be stored after the step. */
  readonly updates: Map<string, Tensor>;
}

export function newPass(
  training?: { readonly key: RandomKey },
  { allowWinograd = false }: SumOptions = {},
): Pass {
  const maps = { operators: new Map(), statistics: new Map(), updates: new Map() };
  const context = { allowWinograd, ...maps };
  return training ? { ...context, training } : context;
}

/** Throws for an operator that may use Winograd's algorithm: sound bounds count the roundings of direct sums. */
export function refuseWinograd(w: LinearOperator): void {
  expect(!w.allowWinograd, 'sound bounds', 'direct sums', "convolutions that may be Winograd's");
}

export interface PropagateOptions<E> {
  readonly pass?: Pass;
  /** Stop in front of this node and return its first input. */
  readonly before?: GraphNode;
  /** Called with the first input of every node before the node is interpreted. */
  readonly observe?: (node: GraphNode, x: E) => void;
}

/** Propagates an element from the input to the output (or to the first input of `before`). */
export function propagate<E>(
  graph: Graph,
  params: ReadonlyMap<string, Weight>,
  domain: Domain<E>,
  input: E,
  { pass = newPass(), before, observe }: PropagateOptions<E> = {},
): E {
  const values: E[] = [];
  for (const node of graph.nodes) {
    const xs = node.inputs.map((i) => (i < 0 ? input : values[i]!));
    if (node === before) return xs[0]!;
    observe?.(node, xs[0]!);
    values.push(interpret(node, params, domain, xs, pass));
  }
  return values.at(-1)!;
}

/** Derives a node's own random key from its name, so that nodes draw independently. */
function keyOf(key: RandomKey, node: GraphNode): RandomKey {
  let hash = 0;
  for (const char of node.name) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) >>> 0;
  return { ...key, seed: key.seed + hash };
}

/** Applies the domain to one node: its output element from its input elements. */
export function interpret<E>(
  node: GraphNode,
  params: ReadonlyMap<string, Weight>,
  domain: Domain<E>,
  xs: readonly E[],
  pass: Pass,
): E {
  const { layer } = node;
  if (layer.role === 'pointwise') return domain.pointwise(node as NodeWith<PointwiseLayer>, xs[0]!);
  if (layer.role === 'join') return domain.join(node as NodeWith<JoinLayer>, xs);
  const affine = node as NodeWith<AffineLayer>;
  return domain.affine(affine, operatorIn(pass, affine, params, xs[0]), xs[0]!);
}

/**
 * The operator of an affine node, made once per pass. In training `x` is the layer's input value, which layers
 * that depend on the batch need.
 */
export function operatorIn(
  pass: Pass,
  node: NodeWith<AffineLayer>,
  params: ReadonlyMap<string, Weight>,
  x?: unknown,
): LinearOperator {
  const known = pass.operators.get(node);
  if (known) return known;
  const { layer, options, inputShapes } = node;
  const own = nodeParams(node, params);
  const p = layer.derive || layer.deriveInBatch ? derived(pass, node, own, x) : own;
  const made = layer.operator(p, options, inputShapes[0]!, pass);
  pass.operators.set(node, made);
  return made;
}

function derived(pass: Pass, node: NodeWith<AffineLayer>, own: Params, x: unknown): Params {
  const { layer, options, name } = node;
  const tensors = Object.entries(own).map(([local, t]) => [local, tensorOf(t)] as const);
  const given = Object.fromEntries(tensors);
  if (!pass.training || !(x instanceof Tensor) || !layer.deriveInBatch)
    return layer.derive?.(given, options) ?? given;
  const batch = { x, key: keyOf(pass.training.key, node) };
  const { params, statistics, updates } = layer.deriveInBatch(given, options, batch);
  for (const [local, t] of Object.entries(statistics ?? {}))
    pass.statistics.set(`${name}.${local}`, t);
  for (const [local, t] of Object.entries(updates ?? {})) pass.updates.set(`${name}.${local}`, t);
  return params;
}
