/**
 * Masks of whole channels from scores: those of the smallest scores go, one at a time, until the wanted
 * share of prunable weights is gone; own rows and readers' columns both count. Strategies that judge filters
 * differ in nothing but the score.
 *
 * Every layer keeps its best channel; what is tied to the network's input or output stays. The result
 * removes at least the wanted share, over it by less than the last channel's weights.
 */
import { expect } from '../errors';
import type { Model } from '../nn/model';
import type { ChannelScores } from './channel-scores';
import { type Channels, channelsOf, type Group } from './channels';
import { channelMasks, maskedChannels, weightsOf } from './shrink';
import type { Masks, PruneContext } from './strategy';

/** `layer`: the same share of the channels of every layer; `global`: one threshold over all of them. */
export const CHANNEL_SCOPES = ['layer', 'global'] as const;
export type ChannelScope = (typeof CHANNEL_SCOPES)[number];

/** Masks of the channels of the smallest scores, and of all that earlier rounds have masked. */
export function selectChannels(
  { model, sparsity, previous }: PruneContext,
  scope: ChannelScope,
  scoresOf: ChannelScores,
): Masks {
  const channels = channelsOf(model.graph);
  const gone = previous ? maskedChannels(model, channels, previous) : new Set<number>();
  const scores = scoresOf(model, channels);
  const order = [...gone, ...removalOrder(channels, scope, scores, gone)];
  const total = weightsLeft(model, channels, new Set());
  const wanted = Math.round(sparsity * total);
  const removes = (count: number): number =>
    total - weightsLeft(model, channels, new Set(order.slice(0, count)));
  const most = removes(order.length);
  expect(
    wanted <= most,
    'prune.sparsity',
    `at most ${total === 0 ? 0 : most / total}`,
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
}

/** All channels that can go, in the order they do. */
function removalOrder(
  channels: Channels,
  scope: ChannelScope,
  scores: ReadonlyMap<number, number>,
  gone: ReadonlySet<number>,
): number[] {
  const ranked = channels.groups.flatMap((group) => {
    const first = group.channels.filter((channel) => gone.has(channel)).length;
    return removableOf(group, channels, scores, gone).map((channel, rank) => ({
      channel,
      share: (first + rank + 1) / group.channels.length,
    }));
  });
  // By layer a prefix takes the same share of every group, up to one channel.
  const keys = {
    layer: ({ share }: { share: number }) => share,
    global: ({ channel }: { channel: number }) => scores.get(channel)!,
  };
  const key = keys[scope] as (ranked: { channel: number; share: number }) => number;
  return ranked.sort((a, b) => key(a) - key(b)).map(({ channel }) => channel);
}

/** The channels of a group that can go besides those that are `gone`, by rising score. */
export function removableOf(
  group: Group,
  channels: Channels,
  scores: ReadonlyMap<number, number>,
  gone: ReadonlySet<number> = new Set(),
): number[] {
  const needed = neededOf(group, channels, scores, gone);
  return group.channels
    .filter((channel) => scores.has(channel) && !needed.has(channel) && !gone.has(channel))
    .sort((a, b) => scores.get(a)! - scores.get(b)!);
}

/** The channel of the largest score of every producer of which all could go. */
function neededOf(
  group: Group,
  { outputs, fixed }: Channels,
  scores: ReadonlyMap<number, number>,
  gone: ReadonlySet<number>,
): Set<number> {
  const stays = (channel: number): boolean => fixed.has(channel) || !scores.has(channel);
  return new Set(
    group.producers
      .map((at) => outputs[at]!.filter((channel) => !gone.has(channel)))
      .filter((made) => made.length > 0 && !made.some(stays))
      .map((made) => made.reduce((a, b) => (scores.get(b)! > scores.get(a)! ? b : a))),
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
