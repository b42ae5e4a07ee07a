/**
 * Filter pruning (Li et al. 2016, "Pruning filters for efficient convnets", arXiv 1608.08710): the filters
 * and hidden units with the smallest L1 norm go, physically, along with all that reads them.
 *
 * Every layer loses the same share of its filters, smallest norms first, one filter at a time until
 * the wanted share of prunable weights is gone: own rows and consumers' columns both count. Residual
 * partners go together, by the sum of their norms. Every layer keeps one filter; what is tied to the
 * network's input or output stays.
 *
 * Deviation from Li et al.: one share for all layers, where they pick each layer's by a sensitivity
 * scan. The result removes at least `sparsity`, over it by less than the last filter's weights.
 * Cost: a pass over the weights, and a search over the number of filters.
 */
import * as v from 'valibot';
import { expect } from '../../errors';
import type { Model } from '../../nn/model';
import { reshape, sumTo } from '../../tensor/ops/core';
import { abs } from '../../tensor/ops/elementwise';
import { step } from '../../tensor/tensor';
import { type Channels, channelsOf, type Group } from '../channels';
import { channelMasks, maskedChannels, weightsOf } from '../shrink';
import { strategy } from '../strategy';

export const filter = strategy({
  name: 'filter',
  about: 'filters and hidden units of the smallest L1 norm go, physically',
  options: v.strictObject({}),
  structured: true,
  decide({ model, sparsity, previous }) {
    const channels = channelsOf(model.graph);
    const gone = previous ? maskedChannels(model, channels, previous) : new Set<number>();
    const order = [...gone, ...removalOrder(model, channels, gone)];
    const total = weightsLeft(model, channels, new Set());
    const wanted = Math.round(sparsity * total);
    const removes = (count: number): number =>
      total - weightsLeft(model, channels, new Set(order.slice(0, count)));
    const most = removes(order.length);
    expect(
      wanted <= most,
      'prune.sparsity',
      `at most ${most / total}`,
      sparsity,
      'Every layer keeps one filter, and input and output keep their channels.',
    );
    const count = firstWhere(gone.size, order.length, (n) => removes(n) >= wanted);
    const masks = channelMasks(model, channels, new Set(order.slice(0, count)));
    for (const [name, before] of previous ?? [])
      masks.set(
        name,
        before.map((one, place) => one & masks.get(name)![place]!),
      );
    return masks;
  },
});

/**
 * All channels that can go, in the order they do: a prefix takes the same share of every group, up
 * to one channel.
 */
function removalOrder(model: Model, channels: Channels, gone: ReadonlySet<number>): number[] {
  const norms = normsOf(model, channels);
  const byNorm = (a: number, b: number): number => norms.get(a)! - norms.get(b)!;
  return channels.groups
    .flatMap((group) => {
      const needed = neededOf(group, channels, norms, gone);
      const first = group.channels.filter((channel) => gone.has(channel)).length;
      return group.channels
        .filter((channel) => !needed.has(channel) && !gone.has(channel))
        .sort(byNorm)
        .map((channel, rank) => ({ channel, share: (first + rank + 1) / group.channels.length }));
    })
    .sort((a, b) => a.share - b.share)
    .map(({ channel }) => channel);
}

/** L1 norm of each channel's filters, over all of its producers. */
function normsOf(model: Model, channels: Channels): Map<number, number> {
  const norms = new Map<number, number>();
  for (const { tensor, rows } of weightsOf(model, channels)) {
    const flat = [rows.length, tensor.size / rows.length];
    const own = step(model.engine, () =>
      sumTo(reshape(abs(tensor), flat), [rows.length, 1]).read(),
    );
    rows.forEach((row, i) => {
      norms.set(row, (norms.get(row) ?? 0) + own[i]!);
    });
  }
  return norms;
}

/** The channel of the largest norm of every producer that has no fixed one. */
function neededOf(
  group: Group,
  { outputs, fixed }: Channels,
  norms: ReadonlyMap<number, number>,
  gone: ReadonlySet<number>,
): Set<number> {
  return new Set(
    group.producers
      .map((at) => outputs[at]!.filter((channel) => !gone.has(channel)))
      .filter((made) => made.length > 0 && !made.some((channel) => fixed.has(channel)))
      .map((made) => made.reduce((a, b) => (norms.get(b)! > norms.get(a)! ? b : a))),
  );
}

/** Prunable weights of the network without the channels `removed`. */
function weightsLeft(model: Model, channels: Channels, removed: ReadonlySet<number>): number {
  const count = (list: readonly number[]): number =>
    list.reduce((n, channel) => (removed.has(channel) ? n : n + 1), 0);
  return weightsOf(model, channels).reduce(
    (n, { rows, columns, area }) => n + count(rows) * count(columns) * area,
    0,
  );
}

/** The smallest n in [from, to] for which `holds`, which is monotone and holds at `to`. */
function firstWhere(from: number, to: number, holds: (n: number) => boolean): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
