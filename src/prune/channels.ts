/**
 * Which channels of a network are one and the same: what must go together when a filter goes.
 *
 * A channel is a position on the first axis of a sample (a feature map, or a unit of a flat layer).
 * Convolutions and dense layers make new channels from all of their inputs' channels; other layers
 * hand each one on by itself, so a channel reaches from its maker to its consumers. A residual sum
 * ties its inputs channel by channel: the tied ones are one channel with several makers (Li et al.
 * 2016, section 3.3). Flattening repeats a channel for every pixel of its plane.
 */
import { lookup } from '../errors';
import type { Graph, GraphNode } from '../nn/graph';
import { sizeOf } from '../tensor/shape';

/** How channels go through a layer; all that pruning knows of kinds of layers. */
interface Flow {
  /** `fixed`: what it reads and what it makes stays, as it mixes or reorders single values. */
  readonly way: 'make' | 'pass' | 'repeat' | 'join' | 'fixed';
  /** Of makers: the option that holds the number of channels. */
  readonly count?: string;
  /** Options that hold one number a channel. */
  readonly lists?: readonly string[];
}

const pass: Flow = { way: 'pass' };
const fixed: Flow = { way: 'fixed' };
const make = (count: string): Flow => ({ way: 'make', count });
/** Passes where a condition on the options leaves the channels alone. */
const passIf =
  (apart: (o: GraphNode['options']) => boolean, otherwise = fixed) =>
  ({ options }: GraphNode): Flow =>
    apart(options) ? pass : otherwise;
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/**
 * By layer kind, or by its options; pointwise layers pass by their role. Several inputs of a passing
 * layer are tied.
 */
const FLOWS: Readonly<Record<string, Flow | ((node: GraphNode) => Flow)>> = {
  dense: make('units'),
  conv2d: ({ options }) => ((options.groups ?? 1) === 1 ? make('channels') : fixed),
  flatten: { way: 'repeat' },
  concat: passIf((o) => (o.axis ?? 0) !== 0, { way: 'join' }),
  reshape: fixed,
  permute: fixed,
  elementwise: fixed,
  select: passIf((o) => (o.axis ?? 0) !== 0),
  reduce: passIf((o) => !listOf(o.axes).includes(0)),
  pad: passIf((o) => listOf(o.before)[0] === 0 && listOf(o.after)[0] === 0),
  add: pass,
  'max-pool': pass,
  'avg-pool': pass,
  'batch-norm': pass,
  scale: pass,
  dropout: pass,
  normalise: { way: 'pass', lists: ['mean', 'std'] },
};

export function flowOf(node: GraphNode): Flow {
  if (node.layer.role === 'pointwise') return pass;
  const flow = lookup(FLOWS, node.kind, `channels of ${node.name}`);
  return typeof flow === 'function' ? flow(node) : flow;
}

/** The second axis of a layer's parameters, which holds one column a channel of its input. */
const width = ({ params }: GraphNode): number =>
  Object.values(params).reduce((most, { shape }) => Math.max(most, shape[1] ?? 1), 1);

/** Layers whose channels are tied, one with another. */
export interface Group {
  /** Positions of the makers among the nodes. */
  readonly makers: readonly number[];
  /** The channels that may go, ascending. */
  readonly channels: readonly number[];
}

/** Channels are whole numbers without further meaning. */
export interface Channels {
  /** By node: the channel at each position of the first axis of its output. */
  readonly outputs: readonly (readonly number[])[];
  /** By node: the same of its first input; for fixed layers, any fixed ones, one for each column. */
  readonly inputs: readonly (readonly number[])[];
  /** Tied to the network's input or output, or to a fixed layer; they stay. */
  readonly fixed: ReadonlySet<number>;
  /** In the order of their first makers; without those that have nothing to remove. */
  readonly groups: readonly Group[];
}

/** The channels of a network. Raises an error for a kind of layer that is not in the table. */
export function channelsOf(graph: Graph): Channels {
  const same = disjointSets();
  /** By channel: the node that made it, -1 for the network's input. */
  const makers: number[] = [];
  const fresh = (count: number, maker: number): number[] =>
    Array.from({ length: count }, () => makers.push(maker) - 1);
  const source = fresh(graph.network.input[0] ?? 1, -1);
  const raw: number[][] = [];
  const inputsOf = (node: GraphNode): number[][] =>
    node.inputs.map((i) => (i < 0 ? source : raw[i]!));
  const held = [...source];
  graph.nodes.forEach((node, at) => {
    const inputs = inputsOf(node);
    const { way } = flowOf(node);
    if (way === 'make') raw.push(fresh(node.shape[0]!, at));
    else if (way === 'fixed') {
      raw.push(fresh(node.shape[0]!, -1));
      held.push(...inputs.flat(), ...raw[at]!);
    } else if (way === 'join') raw.push(inputs.flat());
    else if (way === 'repeat') raw.push(repeat(inputs[0]!, sizeOf(node.shape)));
    else {
      for (const other of inputs.slice(1))
        for (const [i, channel] of other.entries()) same.tie(inputs[0]![i]!, channel);
      raw.push(inputs[0]!);
    }
  });
  const outputs = raw.map((ids) => ids.map(same.find));
  const inputs = graph.nodes.map((node, at) =>
    flowOf(node).way === 'fixed'
      ? new Array<number>(width(node)).fill(outputs[at]![0]!)
      : inputsOf(node)[0]!.map(same.find),
  );
  const kept = new Set([...held.map(same.find), ...outputs.at(-1)!]);
  return { outputs, inputs, fixed: kept, groups: groupsOf(makers, same.find, kept) };
}

/** Every channel as often as it takes to fill `size` places, one after the other. */
function repeat(channels: readonly number[], size: number): number[] {
  const plane = size / channels.length;
  return channels.flatMap((channel) => new Array<number>(plane).fill(channel));
}

/** Joins the makers that share a channel. */
function groupsOf(
  makers: readonly number[],
  find: (channel: number) => number,
  fixed: ReadonlySet<number>,
): Group[] {
  const shared = disjointSets();
  makers.forEach((maker, channel) => {
    shared.tie(maker + 1, makers[find(channel)]! + 1);
  });
  const groups = new Map<number, { makers: Set<number>; channels: Set<number> }>();
  makers.forEach((maker, channel) => {
    if (maker < 0) return;
    const key = shared.find(maker + 1);
    const group = groups.get(key) ?? { makers: new Set(), channels: new Set() };
    groups.set(key, group);
    group.makers.add(maker);
    if (!fixed.has(find(channel))) group.channels.add(find(channel));
  });
  return [...groups.values()]
    .filter((group) => group.channels.size > 0)
    .map((group) => ({
      makers: [...group.makers],
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
