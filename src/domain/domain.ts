/**
 * A domain says what the three roles do to its kind of element; `propagate` walks the graph. Layers
 * and domains know nothing of each other, so each new one works with all of the other kind.
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

/** A node whose layer is known to be of one role. */
export type With<L> = GraphNode & { readonly layer: L };

export interface Domain<E> {
  affine(node: With<AffineLayer>, w: LinearOperator, x: E): E;
  pointwise(node: With<PointwiseLayer>, x: E): E;
  join(node: With<JoinLayer>, xs: readonly E[]): E;
}

/**
 * One forward computation. While training, layers that depend on the batch (batch norm, dropout)
 * take what they need from the value pass, which must come first; other domains then see the same
 * operators.
 */
export interface Pass {
  /** Set while training: keys the random draws of this batch. */
  readonly training?: { readonly key: RandomKey };
  /** Whether convolutions may be Winograd's: true in training alone. Sound bounds refuse it. */
  readonly allowWinograd: boolean;
  readonly operators: Map<GraphNode, LinearOperator>;
  /** New running statistics by full parameter name, to be stored after the step. */
  readonly updates: Map<string, Tensor>;
}

export function newPass(
  training?: { readonly key: RandomKey },
  { allowWinograd = false }: SumOptions = {},
): Pass {
  const context = { allowWinograd, operators: new Map(), updates: new Map() };
  return training ? { ...context, training } : context;
}

/** Throws where an operator's sums may be others than its own products, which sound bounds count. */
export function checkDirect(w: LinearOperator): void {
  expect(!w.allowWinograd, 'sound bounds', 'direct sums', "convolutions that may be Winograd's");
}

export interface PropagateOptions<E> {
  readonly pass?: Pass;
  /** Stop in front of this node and return its first input. */
  readonly before?: GraphNode;
  /** Sees the first input of every node. */
  readonly observe?: (node: GraphNode, x: E) => void;
}

/** The element at the output (or in front of `before`) for an element at the input. */
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

/** Each node draws from its own rows of the stream. */
function keyOf(key: RandomKey, node: GraphNode): RandomKey {
  let hash = 0;
  for (const char of node.name) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) >>> 0;
  return { ...key, seed: key.seed + hash };
}

/** The element that the domain makes of one node. */
export function interpret<E>(
  node: GraphNode,
  params: ReadonlyMap<string, Weight>,
  domain: Domain<E>,
  xs: readonly E[],
  pass: Pass,
): E {
  const { layer } = node;
  if (layer.role === 'pointwise') return domain.pointwise(node as With<PointwiseLayer>, xs[0]!);
  if (layer.role === 'join') return domain.join(node as With<JoinLayer>, xs);
  const affine = node as With<AffineLayer>;
  return domain.affine(affine, operatorIn(pass, affine, params, xs[0]), xs[0]!);
}

/**
 * The operator of an affine node in a forward computation. While training `x` is the value in front of
 * layers that depend on the batch.
 */
export function operatorIn(
  pass: Pass,
  node: With<AffineLayer>,
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

function derived(pass: Pass, node: With<AffineLayer>, own: Params, x: unknown): Params {
  const { layer, options, name } = node;
  const tensors = Object.entries(own).map(([local, t]) => [local, tensorOf(t)] as const);
  const given = Object.fromEntries(tensors);
  if (!pass.training || !(x instanceof Tensor) || !layer.deriveInBatch)
    return layer.derive?.(given, options) ?? given;
  const batch = { x, key: keyOf(pass.training.key, node) };
  const { params, updates } = layer.deriveInBatch(given, options, batch);
  for (const [local, t] of Object.entries(updates ?? {})) pass.updates.set(`${name}.${local}`, t);
  return params;
}
