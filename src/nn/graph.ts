/**
 * A network is plain data: named nodes, each a layer with options and the names of its inputs.
 * `compile` checks it and works out shapes and parameters.
 */
import { expect, lookup } from '../errors';
import { parseOptions } from '../options';
import { type Shape, sizeOf } from '../tensor/shape';
import type { Layer, ParamSpec } from './layer';
import { layers } from './layers/registry';
import type { LinearStructure } from './operator';

/** The name by which nodes refer to the network's input. */
export const INPUT = 'input';

export interface NodeSpec {
  readonly name: string;
  /** Key of the layer registry. */
  readonly layer: string;
  readonly options?: Readonly<Record<string, unknown>>;
  /** Names of earlier nodes, or `input`; defaults to the node before. */
  readonly inputs?: readonly string[];
}

/** JSON-able. Nodes are in topological order; the last one is the output. */
export interface Network {
  readonly name: string;
  /** Shape of one input sample: [c, h, w] or [features]. */
  readonly input: Shape;
  readonly nodes: readonly NodeSpec[];
}

export interface GraphNode {
  readonly name: string;
  readonly kind: string;
  readonly layer: Layer;
  /** Checked and completed by the layer's own schema. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Positions of the inputs among the nodes; -1 is the network's input. */
  readonly inputs: readonly number[];
  readonly inputShapes: readonly Shape[];
  readonly shape: Shape;
  /** By local name; the full name is `<node>.<local>`. */
  readonly params: Readonly<Record<string, ParamSpec>>;
  /** Of affine layers: what is known of the operator without parameters. */
  readonly structure?: LinearStructure;
}

export interface Graph {
  readonly network: Network;
  readonly nodes: readonly GraphNode[];
  readonly output: Shape;
}

/** Checks a network; raises an EspalierError that names it and the node at fault. */
export function compile(network: Network): Graph {
  const at = new Map<string, number>([[INPUT, -1]]);
  const nodes: GraphNode[] = [];
  checkSize(network.input, `${network.name}.${INPUT}`);
  expect(network.nodes.length > 0, network.name, 'at least one node', 'none');
  network.nodes.forEach((spec, index) => {
    nodes.push(compileNode(network, spec, index, at, nodes));
    at.set(spec.name, index);
  });
  return { network, nodes, output: nodes.at(-1)!.shape };
}

function compileNode(
  network: Network,
  spec: NodeSpec,
  index: number,
  at: ReadonlyMap<string, number>,
  nodes: readonly GraphNode[],
): GraphNode {
  const who = `${network.name}.${spec.name}`;
  expect(/^[\w-]+$/.test(spec.name) && !at.has(spec.name), who, 'a new plain name', spec.name);
  const layer = lookup(layers, spec.layer, who);
  const options = parseOptions(layer.options, spec.options ?? {}, who) as GraphNode['options'];
  const names = spec.inputs ?? [network.nodes[index - 1]?.name ?? INPUT];
  const inputs = names.map((name) => at.get(name) ?? -2);
  const missing = names[inputs.indexOf(-2)];
  expect(missing === undefined, who, 'inputs among the earlier nodes', `"${missing}"`);
  const joins = layer.role === 'join';
  expect(joins || inputs.length === 1, who, 'one input', `${inputs.length}`);
  const inputShapes = inputs.map((i) => (i < 0 ? network.input : nodes[i]!.shape));
  const shape = checkSize(layer.shape(inputShapes, options, who), who);
  const params = layer.params?.(inputShapes, options) ?? {};
  const structure = layer.role === 'affine' && layer.operator({}, options, inputShapes[0]!);
  return {
    ...{ name: spec.name, kind: spec.layer, layer, options, inputs, inputShapes, shape, params },
    ...(structure && { structure }),
  };
}

/** More values than the memory of any engine holds, and few enough to be counted. */
const MOST_VALUES = 2 ** 32;

/** The shape of a sample. Layers that join what they are given twice grow beyond all numbers. */
function checkSize(shape: Shape, who: string): Shape {
  expect(sizeOf(shape) <= MOST_VALUES, who, `at most ${MOST_VALUES} values`, `[${shape}]`);
  return shape;
}

/** Every parameter of the network by full name, in order. */
export function paramSpecs(graph: Graph): Map<string, ParamSpec> {
  const specs = new Map<string, ParamSpec>();
  for (const node of graph.nodes)
    for (const [local, spec] of Object.entries(node.params))
      specs.set(`${node.name}.${local}`, spec);
  return specs;
}

/** How many nodes read each node's output; the network's own output counts as one reader. */
export function readers(graph: Graph): number[] {
  const counts = graph.nodes.map(() => 0);
  for (const node of graph.nodes) for (const i of node.inputs) if (i >= 0) counts[i]!++;
  counts[counts.length - 1]!++;
  return counts;
}

/** A chain of layers, each named by its kind and number: conv2d1, relu1, ... */
export function sequential(
  name: string,
  input: Shape,
  chain: readonly (readonly [layer: string, options?: Readonly<Record<string, unknown>>])[],
): Network {
  const seen = new Map<string, number>();
  const nodes = chain.map(([layer, options]) => {
    const count = (seen.get(layer) ?? 0) + 1;
    seen.set(layer, count);
    return { name: `${layer}${count}`, layer, ...(options ? { options } : {}) };
  });
  return { name, input, nodes };
}

/** Multiply-adds of one sample's forward pass, and the values made. */
export const workOf = ({ nodes }: Graph): number =>
  nodes.reduce((sum, { layer, inputShapes, shape, options }) => {
    const macs = 'macs' in layer ? (layer.macs?.(inputShapes[0]!, shape, options) ?? 0) : 0;
    return sum + macs + sizeOf(shape);
  }, 1);
