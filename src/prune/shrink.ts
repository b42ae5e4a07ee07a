/**
 * Physical removal of channels: a smaller network that computes what the larger one computes where
 * nothing reads the removed channels.
 *
 * A removed filter takes along its bias, its entries in batch norms and other vectors a channel, the
 * columns of its consumers' weights, and its residual partners (Li et al. 2016, section 3). That does
 * not change the function if those columns are zero; zero filters alone would not do, as they still
 * emit their bias.
 */
import { expect } from '../errors';
import type { GraphNode, Network } from '../nn/graph';
import { type Model, modelFrom } from '../nn/model';
import type { Mask } from '../nn/parameterisation';
import { type Shape, sizeOf } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { type Channels, channelsOf, dependencyOf } from './channels';
import type { Masks } from './strategy';

const pick = (list: unknown, at: readonly number[]): number[] =>
  at.map((i) => (list as readonly number[])[i]!);

/** The positions of `channels` that stay. */
const staying = (channels: readonly number[], removed: ReadonlySet<number>): number[] =>
  channels.flatMap((channel, at) => (removed.has(channel) ? [] : [at]));

/**
 * A new model (kept tensors of its own, caller frees) without the channels `removed`, which go by
 * their numbers in `channels`. Raises an error where one of them is tied to the network's input or
 * output, or where a layer would lose all it makes.
 */
export function shrink(
  model: Model,
  removed: ReadonlySet<number>,
  channels: Channels = channelsOf(model.graph),
): Model {
  const { network, nodes } = model.graph;
  const who = `shrink ${network.name}`;
  const fixed = [...removed].filter((channel) => channels.fixed.has(channel));
  expect(fixed.length === 0, who, 'no channel of the input or output', fixed);
  const specs = network.nodes.map((spec, at) => {
    const node = nodes[at]!;
    const { count, lists = [] } = dependencyOf(node);
    const stay = staying(channels.outputs[at]!, removed);
    expect(stay.length > 0, `${who}.${node.name}`, 'at least one channel to stay', 'none');
    const options = {
      ...(count === undefined ? {} : { [count]: stay.length }),
      ...Object.fromEntries(lists.map((list) => [list, pick(node.options[list], stay)])),
    };
    const same = Object.keys(options).length === 0;
    return same ? spec : { ...spec, options: { ...spec.options, ...options } };
  });
  const smaller: Network = { ...network, nodes: specs };
  const cut = cutTensors(model, channels, removed, model.params);
  return modelFrom(model.engine, smaller, (name) => cut.get(name)!.values);
}

/** Masks of the shrunk model from masks of `model`. */
export function shrinkMasks(
  model: Model,
  removed: ReadonlySet<number>,
  channels: Channels,
  masks: Masks,
): Masks {
  const shaped = Array.from(masks, ([name, mask]): [string, Entries] => [
    name,
    { shape: model.params.get(name)!.shape, read: () => mask },
  ]);
  const cut = cutTensors(model, channels, removed, new Map(shaped));
  return new Map(Array.from(cut, ([name, { values }]) => [name, new Uint8Array(values)]));
}

/** Entries of a parameter: its tensor, or a mask of it. */
interface Entries {
  readonly shape: Shape;
  read(): Float32Array | Uint8Array;
}

interface Cut {
  readonly shape: Shape;
  readonly values: Float32Array;
}

/** Those parameters that `tensors` holds, without the removed channels. */
function cutTensors(
  model: Model,
  channels: Channels,
  removed: ReadonlySet<number>,
  tensors: ReadonlyMap<string, Entries>,
): Map<string, Cut> {
  const cut = new Map<string, Cut>();
  model.graph.nodes.forEach((node, at) => {
    for (const local of Object.keys(node.params)) {
      const name = `${node.name}.${local}`;
      const tensor = tensors.get(name);
      if (!tensor) continue;
      const { rows, columns } = axesOf(node, at, channels, tensor.shape);
      cut.set(name, cutTensor(tensor, staying(rows, removed), staying(columns, removed)));
    }
  });
  return cut;
}

/** The channels of a parameter's rows and columns; of a fixed layer any fixed one, as all stays. */
function axesOf(
  node: GraphNode,
  at: number,
  { outputs, inputs }: Channels,
  [height = 1, width = 1]: Shape,
): Pick<Weight, 'rows' | 'columns'> {
  if (dependencyOf(node).kind !== 'fixed') return { rows: outputs[at]!, columns: inputs[at]! };
  const all = (size: number): number[] => new Array<number>(size).fill(outputs[at]![0]!);
  return { rows: all(height), columns: all(width) };
}

/** The given rows (axis 0: what the layer makes) and columns (axis 1, if any: what it reads). */
function cutTensor(tensor: Entries, rows: readonly number[], columns: readonly number[]): Cut {
  const [, width = 1, ...window] = tensor.shape;
  const area = sizeOf(window);
  const taken = tensor.shape.length > 1 ? columns : [0];
  const from = tensor.read();
  const values = new Float32Array(rows.length * taken.length * area);
  let to = 0;
  for (const row of rows)
    for (const column of taken) {
      const start = (row * width + column) * area;
      values.set(from.subarray(start, start + area), to);
      to += area;
    }
  const shape = [rows.length, ...(tensor.shape.length > 1 ? [taken.length] : []), ...window];
  return { shape, values };
}

/** A prunable weight with the channels of its rows and columns. */
interface Weight {
  readonly name: string;
  readonly tensor: Tensor;
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  /** Weights a (row, column) pair. */
  readonly area: number;
}

/** The prunable weights of a model, each with its channels. */
export function weightsOf(model: Model, channels: Channels): Weight[] {
  return model.graph.nodes.flatMap((node, at) =>
    Object.entries(node.params)
      .filter(([, spec]) => spec.prunable)
      .map(([local, { shape }]) => {
        const name = `${node.name}.${local}`;
        const tensor = model.params.get(name)!;
        const area = sizeOf(shape.slice(2));
        return { name, tensor, area, ...axesOf(node, at, channels, shape) };
      }),
  );
}

/** Masks that are 0 in the rows and columns of `removed`, else 1. */
export function channelMasks(
  model: Model,
  channels: Channels,
  removed: ReadonlySet<number>,
): Map<string, Mask> {
  return new Map(
    weightsOf(model, channels).map(({ name, tensor, rows, columns, area }) => {
      const values = new Uint8Array(tensor.size);
      const taken = staying(columns, removed);
      for (const row of staying(rows, removed))
        for (const column of taken) {
          const start = (row * columns.length + column) * area;
          values.fill(1, start, start + area);
        }
      return [name, values];
    }),
  );
}

/**
 * The channels that `masks` take out altogether, with all their rows and columns: the inverse of
 * `channelMasks`.
 */
export function maskedChannels(model: Model, channels: Channels, masks: Masks): Set<number> {
  const removed = new Set(channels.groups.flatMap((group) => group.channels));
  for (const { name, rows, columns, area } of weightsOf(model, channels)) {
    const mask = masks.get(name);
    for (const [r, row] of rows.entries())
      for (const [c, column] of columns.entries()) {
        if (!removed.has(row) && !removed.has(column)) continue;
        const start = (r * columns.length + c) * area;
        if (mask?.subarray(start, start + area).every((one) => one === 0)) continue;
        removed.delete(row);
        removed.delete(column);
      }
  }
  return removed;
}
