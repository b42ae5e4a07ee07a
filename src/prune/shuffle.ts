/** Filters drawn by lot: as many of every layer as another network, which has lost some, lacks. */
import type { Graph } from '../nn/graph';
import type { Model } from '../nn/model';
import { permutation, STREAMS } from '../tensor/philox';
import { type Channels, channelsOf } from './channels';
import { shrink } from './shrink';

/**
 * The model without channels drawn by lot, as many of every layer as `pruned` lacks, as a new one; undefined
 * where it lacks none. `pruned` is the graph of the same network after `shrink`.
 */
export function shuffledShape(dense: Model, pruned: Graph, seed: number): Model | undefined {
  const channels = channelsOf(dense.graph);
  const left = kindsOf(channelsOf(pruned));
  const gone = new Set<number>();
  for (const [position, [kind, list]] of [...kindsOf(channels)].entries()) {
    const order = permutation(seed, STREAMS.prune, position, list.length);
    for (const place of order.subarray(left.get(kind)?.length ?? 0)) gone.add(list[place]!);
  }
  return gone.size === 0 ? undefined : shrink(dense, gone, channels);
}

/** Channels that may go, by the layers that make them: several, where a residual sum ties them. */
function kindsOf({ outputs, groups }: Channels): Map<string, number[]> {
  const made = outputs.map((channels) => new Set(channels));
  const kinds = new Map<string, number[]>();
  for (const { producers, channels } of groups)
    for (const channel of channels) {
      const kind = producers.filter((at) => made[at]!.has(channel)).join();
      kinds.set(kind, [...(kinds.get(kind) ?? []), channel]);
    }
  return kinds;
}
