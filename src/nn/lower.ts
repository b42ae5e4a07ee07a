/**
 * The canonical form of a trained network: dropout gone, batch norm and input normalisation turned
 * into `scale` nodes, and a scale folded into the convolution or dense layer before it where that has no
 * other reader and nothing is lost by it. What is evaluated, attacked and certified is this form, in the
 * library and at the edge, so a certificate speaks of exactly the network that runs.
 *
 * Folding rounds: certificates count it where `isCounted` says so, and so hold for the product and the
 * scale as two layers as well (docs/numerics.md, lemma 6). Elsewhere the scale stays a node. A bias far
 * larger than what it makes with the shift is the case in point: there the two layers round away what the
 * folded one keeps.
 */
import { add, mul, reshape } from '../tensor/ops/core';
import { keep, step, type Tensor } from '../tensor/tensor';
import {
  compile,
  type Graph,
  type GraphNode,
  INPUT,
  type Network,
  type NodeSpec,
  readers,
} from './graph';
import type { TensorParams } from './layer';
import { type Model, nodeParams } from './model';

/** The least and the largest size of a weight's numbers that are not 0; Infinity and 0 of none. */
export type Sizes = readonly [least: number, largest: number];

export interface LowerOptions {
  /** Sizes of the numbers of a parameter, by its full name. Default: those of its tensor. */
  readonly sizes?: (name: string) => Sizes;
}

interface Lowered {
  spec: NodeSpec;
  /** Whether it is a dense layer or a convolution. */
  readonly product: boolean;
  readonly params: Record<string, Tensor>;
  /** Whether a scale, and whether a shift, is folded in: one of each is counted. */
  scaled: boolean;
  shifted: boolean;
}

/** The canonical model. Its tensors are its own: free it with `freeModel`. */
export function lower(model: Model, options: LowerOptions = {}): Model {
  const { graph, engine } = model;
  const reads = readers(graph);
  const alias = new Map<string, string>();
  const nameOf = (i: number): string => {
    const name = i < 0 ? INPUT : graph.nodes[i]!.name;
    return alias.get(name) ?? name;
  };
  /** Whether each node has one reader, and so has, where it is a dropout, what it passes on. */
  const isSole: boolean[] = [];
  graph.nodes.forEach((node, i) => {
    isSole.push(reads[i] === 1 && (!isIdentity(node) || isSole[node.inputs[0]!] === true));
  });
  const sizes = options.sizes ?? ((name: string) => sizesOf(model.params.get(name)!.read()));
  const nodes = new Map<string, Lowered>();
  const params = new Map<string, Tensor>();
  engine.arena.enter();
  try {
    for (const node of graph.nodes) {
      const inputs = node.inputs.map(nameOf);
      const before = nodes.get(inputs[0]!);
      const own = derivedParams(node, nodeParams(node, model.params));
      if (isIdentity(node)) alias.set(node.name, inputs[0]!);
      else if (
        isScale(node) &&
        before &&
        isSole[node.inputs[0]!] &&
        foldInto(before, own, () => sizes(`${before.spec.name}.weight`))
      )
        alias.set(node.name, inputs[0]!);
      else {
        const layer = isScale(node) ? 'scale' : node.kind;
        const kept = layer === 'scale' ? {} : node.options;
        const spec = { name: node.name, layer, options: kept, inputs };
        const product = node.structure?.conv !== undefined;
        nodes.set(node.name, { spec, product, params: { ...own }, scaled: false, shifted: false });
      }
    }
    for (const [name, { params: own }] of nodes)
      for (const [local, t] of Object.entries(own)) params.set(`${name}.${local}`, kept(t));
  } finally {
    engine.arena.leave();
  }
  const specs = [...nodes.values()].map((node) => node.spec);
  const last = nameOf(graph.nodes.length - 1);
  // The output is that of the last node, which may be another than the one that goes on alone.
  if (specs.at(-1)?.name !== last) specs.push(passedOn(graph, last));
  const network: Network = { ...graph.network, nodes: specs };
  return { engine, graph: compile(network), params };
}

/** A node under the name of the graph's last one, whose layer is gone, that gives a value as it is. */
function passedOn({ nodes, output }: Graph, from: string): NodeSpec {
  const options = { shape: output };
  return { name: nodes.at(-1)!.name, layer: 'reshape', options, inputs: [from] };
}

/** Whether there is nothing to lower. */
export const isCanonical = ({ nodes }: Graph): boolean =>
  !nodes.some((node) => isIdentity(node) || isScale(node));

/** Whether only training makes anything else than its input of what a node gives. */
const isIdentity = ({ layer }: GraphNode): boolean =>
  layer.role === 'affine' && layer.onlyInTraining === true;

const isScale = ({ structure }: GraphNode): boolean => structure?.perChannel === true;

function derivedParams(node: GraphNode, params: TensorParams): TensorParams {
  const { layer, options } = node;
  if (layer.role !== 'affine' || !layer.derive) return params;
  return layer.derive(params, options);
}

/** Makes y = scale (W x + b) + shift of y = W x + b, by row of W, where that is counted. */
function foldInto(target: Lowered, { scale, shift }: TensorParams, sizes: () => Sizes): boolean {
  if (!target.product) return false;
  const { weight, bias } = target.params;
  const [factors, shifts] = [scale!.read(), shift!.read()];
  const [scaled, shifted] = [factors.some((s) => s !== 1), shifts.some((t) => t !== 0)];
  if ((scaled && target.scaled) || (shifted && target.shifted)) return false;
  if (!isCounted({ factors, shifts, bias: bias?.read(), sizes: sizes() })) return false;
  const rows = [scale!.size, ...weight!.shape.slice(1).map(() => 1)];
  target.params.weight = mul(weight!, reshape(scale!, rows));
  target.params.bias = bias ? add(mul(bias, scale!), shift!) : shift!;
  target.spec = { ...target.spec, options: { ...target.spec.options, bias: true } };
  target.scaled ||= scaled;
  target.shifted ||= shifted;
  return true;
}

interface Fold {
  readonly factors: Float32Array;
  readonly shifts: Float32Array;
  readonly bias: Float32Array | undefined;
  /** Sizes of the weights' numbers. */
  readonly sizes: Sizes;
}

/** A smaller scale may hide an overflow in front of it (docs/numerics.md, "Overflow"). */
const LEAST_SCALE = 2 ** -24;
const NORMAL = 2 ** -126;
const LARGE = 2 ** 100;

/**
 * Whether all that folding rounds is small beside the folded weights and bias: scale b and shift do not
 * cancel, no weight becomes denormal, nothing overflows, and no scale is so small, or 0, that sums too
 * large for float32 would be hidden.
 */
function isCounted({ factors, shifts, bias, sizes: [least, largest] }: Fold): boolean {
  return factors.every((scale, i) => {
    const [size, own] = [Math.abs(scale), Math.fround(scale * (bias?.[i] ?? 0))];
    const cancels = own * shifts[i]! < 0;
    const bounded = size >= LEAST_SCALE && size * least >= NORMAL && size * largest <= LARGE;
    return bounded && !cancels && Math.abs(own) + Math.abs(shifts[i]!) <= LARGE;
  });
}

export function sizesOf(values: Float32Array): Sizes {
  let [least, largest] = [Infinity, 0];
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (size !== 0 && !(size >= least)) least = size;
    if (!(size <= largest)) largest = size;
  }
  return [least, largest];
}

function kept(t: Tensor): Tensor {
  return step(t.engine, () => keep(t.engine, t.shape, t.read()));
}
