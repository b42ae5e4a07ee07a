/**
 * The canonical form of a trained network: dropout gone, batch norm and input normalisation turned
 * into `scale` nodes and folded into the convolution or dense layer before them where that is their
 * only reader. What is evaluated, attacked and certified is this form, so a certificate speaks of
 * exactly the network that runs.
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
import type { Params } from './layer';
import { type Model, nodeParams } from './model';

interface Lowered {
  spec: NodeSpec;
  readonly params: Record<string, Tensor>;
}

/** The canonical model. Its tensors are its own: free it with `freeModel`. */
export function lower(model: Model): Model {
  const { graph, engine } = model;
  const reads = readers(graph);
  const alias = new Map<string, string>();
  const nameOf = (i: number): string => {
    const name = i < 0 ? INPUT : graph.nodes[i]!.name;
    return alias.get(name) ?? name;
  };
  /** Whether each node has one reader, and so has, where it is a dropout, what it passes on. */
  const isSole: boolean[] = [];
  graph.nodes.forEach(({ kind, inputs }, i) => {
    isSole.push(reads[i] === 1 && (kind !== 'dropout' || isSole[inputs[0]!] === true));
  });
  const nodes = new Map<string, Lowered>();
  const params = new Map<string, Tensor>();
  engine.arena.enter();
  try {
    for (const node of graph.nodes) {
      const inputs = node.inputs.map(nameOf);
      const before = nodes.get(inputs[0]!);
      const own = effectiveParams(node, nodeParams(node, model.params));
      if (node.kind === 'dropout') alias.set(node.name, inputs[0]!);
      else if (isScale(node) && before && canFold(before) && isSole[node.inputs[0]!]) {
        foldInto(before, own);
        alias.set(node.name, inputs[0]!);
      } else {
        const layer = isScale(node) ? 'scale' : node.kind;
        const options = layer === 'scale' ? {} : node.options;
        nodes.set(node.name, {
          spec: { name: node.name, layer, options, inputs },
          params: { ...own },
        });
      }
    }
    for (const [name, { params: own }] of nodes)
      for (const [local, t] of Object.entries(own)) params.set(`${name}.${local}`, kept(t));
  } finally {
    engine.arena.leave();
  }
  const specs = [...nodes.values()].map((node) => node.spec);
  const network: Network = { ...graph.network, nodes: specs };
  return { engine, graph: compile(network), params };
}

/** Whether there is nothing to lower. */
export const isCanonical = ({ nodes }: Graph): boolean =>
  !nodes.some((node) => node.kind === 'dropout' || isScale(node));

const isScale = (node: GraphNode): boolean =>
  node.kind === 'batch-norm' || node.kind === 'normalise' || node.kind === 'scale';

const canFold = (node: Lowered): boolean =>
  node.spec.layer === 'conv2d' || node.spec.layer === 'dense';

function effectiveParams(node: GraphNode, params: Params): Params {
  const { layer, options } = node;
  if (layer.role !== 'affine' || !layer.effective) return params;
  return layer.effective(params, options).params;
}

/** y = scale (W x + b) + shift, by row of W. */
function foldInto(target: Lowered, { scale, shift }: Params): void {
  const { weight, bias } = target.params;
  const rows = [scale!.size, ...weight!.shape.slice(1).map(() => 1)];
  target.params.weight = mul(weight!, reshape(scale!, rows));
  target.params.bias = bias ? add(mul(bias, scale!), shift!) : shift!;
  target.spec = { ...target.spec, options: { ...target.spec.options, bias: true } };
}

function kept(t: Tensor): Tensor {
  return step(t.engine, () => keep(t.engine, t.shape, t.read()));
}
