/**
 * Which channels of a network are one and the same: what must go together when a filter goes.
 *
 * A channel is a position on the first axis of a sample (a feature map, or a unit of a flat layer).
 * Convolutions and dense layers make new channels from all of their inputs' channels; other layers
 * hand each one on by itself, so a channel reaches from its producer to its consumers. A residual sum
 * ties its inputs channel by channel: the tied ones are one channel with several producers (Li et al.
 * 2016, section 3.3). Flattening repeats a channel for every pixel of its plane.
 */
import type { Graph, GraphNode } from '../nn/graph';
import type { ChannelDependency } from '../nn/layer';
import { sizeOf } from '../tensor/shape';

/** How channels go through a node: what its layer says, or what is right for any layer. */
export function dependencyOf({ layer, options }: GraphNode): ChannelDependency {
  const missing = layer.role === 'pointwise' ? 'elementwise' : 'fixed';
  return layer.channelDependency?.(options) ?? { kind: missing };
}

/** Layers whose channels are tied, one with another. */
export interface Group {
  /** Positions of the producers among the nodes. */
  readonly producers: readonly number[];
  /** The channels that may go, ascending. */
  readonly channels: readonly number[];
}

/** Channels are whole numbers without further meaning. */
export interface Channels {
  /** By node: the channel at each position of the first axis of its output. */
  readonly outputs: readonly (readonly number[])[];
  /** By node: the same of its first input. */
  readonly inputs: readonly (readonly number[])[];
  /** Tied to the network's input or output, or to a fixed layer; they stay. */
  readonly fixed: ReadonlySet<number>;
  /** In the order of their first producers; without those that have nothing to remove. */
  readonly groups: readonly Group[];
}

/** The channels of a network. */
export function channelsOf(graph: Graph): Channels {
  const same = disjointSets();
  /** By channel: the node that made it, -1 for the network's input. */
  const producers: number[] = [];
  const fresh = (count: number, producer: number): number[] =>
    Array.from({ length: count }, () => producers.push(producer) - 1);
  const source = fresh(graph.network.input[0] ?? 1, -1);
  const raw: number[][] = [];
  const inputsOf = (node: GraphNode): number[][] =>
    node.inputs.map((i) => (i < 0 ? source : raw[i]!));
  const held = [...source];
  graph.nodes.forEach((node, at) => {
    const inputs = inputsOf(node);
    const { kind } = dependencyOf(node);
    if (kind === 'producer') raw.push(fresh(node.shape[0]!, at));
    else if (kind === 'fixed') {
      raw.push(fresh(node.shape[0]!, -1));
      for (const list of [...inputs, raw[at]!]) for (const channel of list) held.push(channel);
    } else if (kind === 'concat') raw.push(inputs.flat());
    else if (kind === 'flatten') raw.push(flattened(inputs[0]!, sizeOf(node.shape)));
    else {
      for (const other of inputs.slice(1))
        for (const [i, channel] of other.entries()) same.tie(inputs[0]![i]!, channel);
      raw.push(inputs[0]!);
    }
  });
  const outputs = raw.map((ids) => ids.map(same.find));
  const inputs = graph.nodes.map((node) => inputsOf(node)[0]!.map(same.find));
  const kept = new Set([...held.map(same.find), ...outputs.at(-1)!]);
  return { outputs, inputs, fixed: kept, groups: groupsOf(producers, same.find, kept) };
}

/** Every channel as often as it takes to fill `size` places, one after the other. */
function flattened(channels: readonly number[], size: number): number[] {
  const plane = size / channels.length;
  return channels.flatMap((channel) => new Array<number>(plane).fill(channel));
}

/** Joins the producers that share a channel. */
function groupsOf(
  producers: readonly number[],
  find: (channel: number) => number,
  fixed: ReadonlySet<number>,
): Group[] {
  const shared = disjointSets();
  producers.forEach((producer, channel) => {
    shared.tie(producer + 1, producers[find(channel)]! + 1);
  });
  const groups = new Map<number, { producers: Set<number>; channels: Set<number> }>();
  producers.forEach((producer, channel) => {
    if (producer < 0) return;
    const key = shared.find(producer + 1);
    const group = groups.get(key) ?? { producers: new Set(), channels: new Set() };
    groups.set(key, group);
    group.producers.add(producer);
    if (!fixed.has(find(channel))) group.channels.add(find(channel));
  });
  return [...groups.values()]
    .filter((group) => group.channels.size > 0)
    .map((group) => ({
      producers: [...group.producers],
      channels: [...group.channels].sort((a, b) => a - b),
    }));
}

/** Union-find over whole numbers >= 0; a set goes by its smallest member. */
function disjointSets() {
  const parents = new Map<number, number>();
  const find = (x: number): number => {
    let root = x;
    for (let up = parents.get(root); up !== undefined; up = parents.get(root)) root = up;
    if (root !== x) parents.set(x, root);
    return root;
  };
  const tie = (a: number, b: number): void => {
    const [p, q] = [find(a), find(b)];
    if (p !== q) parents.set(Math.max(p, q), Math.min(p, q));
  };
  return { find, tie };
}
