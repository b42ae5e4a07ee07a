/**
 * Finds channels (feature maps, units) that do not matter and removes them physically: those that
 * nobody reads, as all weights that read them are zero or belong to channels that go too, and those
 * that are constant, as all their own weights are zero, whose value moves into the biases of their
 * readers. A residual sum ties its partners, so a channel goes from all of them or stays.
 *
 * A constant is found without knowing a layer's name: a domain propagates which values depend on the
 * input, |W| r through affine layers, and one run of the network says what the others are. It moves
 * where that is exact: if what the reader makes of it is the same at every pixel, so not through
 * zero padding unless it is 0.
 *
 * The result computes what the model computes, to rounding. Cost: two runs on one sample, one run of
 * the reading layer for every constant other than 0, and a pass over the weights a round.
 */
import { type Domain, propagate } from '../domain/domain';
import { value } from '../domain/value';
import { compile, type GraphNode } from '../nn/graph';
import type { AffineLayer } from '../nn/layer';
import { type Model, nodeParams } from '../nn/model';
import { filled, input, keep, step, type Tensor } from '../tensor/tensor';
import { type Channels, channelsOf, dependencyOf } from './channels';
import { shrink } from './shrink';

export interface WithoutDead {
  /** A new model, even where nothing goes; the caller frees it. */
  readonly model: Model;
  /** Channels that went, by the path of the layer that makes them; layers that keep all are absent. */
  readonly removed: ReadonlyMap<string, number>;
}

/** The model without channels that do not matter; every layer keeps at least one. */
export function removeDead(model: Model): WithoutDead {
  const channels = channelsOf(model.graph);
  const producers = producersOf(model, channels);
  const dead = deadChannels(producers, channels);
  const removed = new Map<string, number>();
  for (const { node, rows } of producers) {
    const gone = rows.filter((channel) => dead.has(channel)).length;
    if (gone > 0) removed.set(node.name, gone);
  }
  const biases = new Map<string, Float32Array>();
  for (const producer of producers) {
    const bias = movedBias(model, producer, dead);
    if (bias) biases.set(producer.node.name, bias);
  }
  const { network } = model.graph;
  const nodes = network.nodes.map((spec) =>
    biases.has(spec.name) ? { ...spec, options: { ...spec.options, bias: true } } : spec,
  );
  const moved = [...biases].map(
    ([name, bias]) => [`${name}.bias`, keep(model.engine, [bias.length], bias)] as const,
  );
  const graph = compile({ ...network, nodes });
  const folded: Model = { ...model, graph, params: new Map([...model.params, ...moved]) };
  try {
    return { model: shrink(folded, dead, channels), removed };
  } finally {
    for (const [, t] of moved) t.free();
  }
}

/** A layer that makes channels out of those it reads. */
interface Producer {
  readonly node: GraphNode;
  /** Channels of its weight's rows and columns. */
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  /** By row: the channels it reads by a weight other than 0. */
  readonly reads: readonly ReadonlySet<number>[];
  /** One sample of its input: the values, and by channel whether all are constant and can move. */
  readonly values: Float32Array;
  readonly movable: ReadonlySet<number>;
}

/** 1 where a value depends on the network's input, else 0. */
const dependence: Domain<Tensor> = {
  affine: (_, w, r) => marks(w.applyAbs(r)),
  pointwise: (_, r) => r,
  join: ({ layer, options }, rs) => marks(layer.combine(rs, options)),
};

const marks = (r: Tensor): Tensor =>
  input(
    r.engine,
    r.read().map((x) => (x === 0 ? 0 : 1)),
    r.shape,
  );

function producersOf(model: Model, channels: Channels): Producer[] {
  const { engine, graph, params } = model;
  const inputs = <E extends Tensor>(domain: Domain<E>, start: E): Map<GraphNode, Float32Array> => {
    const seen = new Map<GraphNode, Float32Array>();
    const observe = (node: GraphNode, x: E): unknown =>
      dependencyOf(node).kind === 'producer' && seen.set(node, x.read());
    propagate(graph, params, domain, start, { observe });
    return seen;
  };
  const shape = [1, ...graph.network.input];
  const values = step(engine, () => inputs(value, filled(engine, shape, 0.5)));
  const depends = step(engine, () => inputs(dependence, filled(engine, shape, 1)));
  return graph.nodes.flatMap((node, at) => {
    if (dependencyOf(node).kind !== 'producer') return [];
    const rows = channels.outputs[at]!;
    const columns = channels.inputs[at]!;
    const reads = readsOf(params.get(`${node.name}.weight`)!, columns);
    const partial = { node, rows, columns, reads, values: values.get(node)! };
    return [{ ...partial, movable: movableOf(model, partial, depends.get(node)!) }];
  });
}

function readsOf(weight: Tensor, columns: readonly number[]): Set<number>[] {
  const [height = 1] = weight.shape;
  const area = weight.size / height / columns.length;
  const values = weight.read();
  return Array.from({ length: height }, (_, row) => {
    const start = row * columns.length * area;
    return new Set(
      columns.filter((_channel, j) => {
        const from = start + j * area;
        for (let i = from; i < from + area; i++) if (values[i] !== 0) return true;
        return false;
      }),
    );
  });
}

/** Channels a producer reads that are constant and that it turns into the same number at every pixel. */
function movableOf(
  model: Model,
  producer: Omit<Producer, 'movable'>,
  depends: Float32Array,
): Set<number> {
  const { columns, values } = producer;
  const plane = values.length / columns.length;
  const all = (test: (i: number) => boolean): Set<number> => {
    const not = new Set(columns.filter((_, j) => !range(j * plane, plane).every(test)));
    return new Set(columns.filter((channel) => !not.has(channel)));
  };
  const constant = all((i) => depends[i] === 0 && Number.isFinite(values[i]));
  const zero = all((i) => values[i] === 0);
  return new Set(
    [...constant].filter(
      (channel) => zero.has(channel) || isEven(contribution(model, producer, new Set([channel]))),
    ),
  );
}

const range = (from: number, length: number): number[] =>
  Array.from({ length }, (_, i) => from + i);

interface Contribution {
  readonly rows: number;
  readonly values: Float32Array;
  /** By value: the sum of what its terms measure, to which its rounding is relative. */
  readonly sizes: Float32Array;
}

/** What a producer's weights, without its bias, make of some channels, the others being 0. */
function contribution(
  model: Model,
  { node, columns, values, rows }: Omit<Producer, 'movable'>,
  some: ReadonlySet<number>,
): Contribution {
  const { engine, params } = model;
  const plane = values.length / columns.length;
  const layer = node.layer as AffineLayer;
  const x = values.map((v, i) => (some.has(columns[Math.floor(i / plane)]!) ? v : 0));
  const { bias: _, ...weights } = nodeParams(node, params);
  const w = layer.operator(weights, node.options, node.inputShapes[0]!);
  const shape = [1, ...node.inputShapes[0]!];
  const through = (way: 'apply' | 'applyAbs', given: Float32Array): Float32Array =>
    step(engine, () => w[way](input(engine, given, shape)).read());
  const sizes = through('applyAbs', x.map(Math.abs));
  return { rows: rows.length, values: through('apply', x), sizes };
}

/** Whether each row has one number, to the rounding of sums taken in different orders. */
function isEven({ rows, values, sizes }: Contribution): boolean {
  const plane = values.length / rows;
  return values.every((v, i) => {
    const first = i - (i % plane);
    return Math.abs(v - values[first]!) <= 1e-6 * Math.max(sizes[i]!, sizes[first]!);
  });
}

/**
 * The largest set of channels of which each is, for every layer that reads it, movable or unread by
 * the rows that stay. Channels that a layer must keep to have any are taken out of it.
 */
function deadChannels(producers: readonly Producer[], { groups }: Channels): Set<number> {
  const dead = new Set(groups.flatMap((group) => group.channels));
  const wake = (): boolean => {
    let woken = false;
    for (const { rows, reads, movable } of producers)
      rows.forEach((row, r) => {
        if (dead.has(row)) return;
        for (const channel of reads[r]!)
          if (!movable.has(channel) && dead.delete(channel)) woken = true;
      });
    return woken;
  };
  for (;;) {
    while (wake());
    // The last first: what its one channel reads may be all that an earlier layer needs to keep.
    const empty = producers.findLast(({ rows }) => rows.every((row) => dead.has(row)));
    if (!empty) return dead;
    dead.delete(empty.rows[0]!);
  }
}

/** A producer's bias with the constants that go, or undefined where none of them adds anything. */
function movedBias(
  model: Model,
  producer: Producer,
  dead: ReadonlySet<number>,
): Float32Array | undefined {
  const { node, movable } = producer;
  const going = new Set([...movable].filter((channel) => dead.has(channel)));
  if (going.size === 0) return undefined;
  const { rows, values } = contribution(model, producer, going);
  if (values.every((v) => v === 0)) return undefined;
  const old = model.params.get(`${node.name}.bias`)?.read();
  const plane = values.length / rows;
  return Float32Array.from({ length: rows }, (_, r) => (old?.[r] ?? 0) + values[r * plane]!);
}
