/**
 * What a channel is worth, by its own parameters. A channel of several producers (residual partners, which go
 * together) is worth the sum of what each says.
 */
import { expect } from '../errors';
import type { Graph } from '../nn/graph';
import type { Model } from '../nn/model';
import { reshape, sumTo } from '../tensor/ops/core';
import { abs } from '../tensor/ops/elementwise';
import { step } from '../tensor/tensor';
import type { Channels } from './channels';
import { weightsOf } from './shrink';

/** Scores >= 0 by channel; channels without one stay. */
export type ChannelScores = (model: Model, channels: Channels) => ReadonlyMap<number, number>;

/** By the name that the option `score` of strategies gives them. */
export const channelScores = {
  /** L1 norm of the filter (Li et al. 2016). */
  l1: (model, channels) =>
    summed(
      weightsOf(model, channels).map(({ tensor, rows }) => {
        const flat = [rows.length, tensor.size / rows.length];
        const sums = (): Float32Array => sumTo(reshape(abs(tensor), flat), [rows.length, 1]).read();
        return [rows, step(model.engine, sums)];
      }),
    ),
  /**
   * Sum of the distances to the other filters of its layer (He et al. 2019, "Filter pruning via geometric
   * median"): the filter nearest to their geometric median is the one that the others can replace.
   */
  'geometric-median': (model, channels) =>
    summed(
      weightsOf(model, channels).map(({ tensor, rows }) => [
        rows,
        distances(tensor.read(), rows.length),
      ]),
    ),
  /** |gain| that batch norm gives the channel (Liu et al. 2017, "Network slimming"). */
  'batch-norm': (model, channels) =>
    summed(
      gainsOf(model.graph, channels).map(({ name, rows }) => [
        rows,
        model.params.get(name)!.read().map(Math.abs),
      ]),
    ),
} as const satisfies Record<string, ChannelScores>;

export type ChannelScore = keyof typeof channelScores;
export const CHANNEL_SCORES = Object.keys(channelScores) as readonly ChannelScore[];

/** A parameter with the channels of its first axis. */
export interface Rows {
  readonly name: string;
  readonly rows: readonly number[];
}

/** The gains of a network; raises an error where it has none. */
export function gainsOf({ network, nodes }: Graph, { outputs }: Channels): Rows[] {
  const gains = nodes.flatMap((node, at) =>
    Object.entries(node.params)
      .filter(([, { gain }]) => gain)
      .map(([local]) => ({ name: `${node.name}.${local}`, rows: outputs[at]! })),
  );
  const hint = 'Choose by the weights instead.';
  expect(gains.length > 0, `prune.strategy: ${network.name}`, 'batch norms', 'none', hint);
  return gains;
}

function summed(
  parts: readonly (readonly [rows: readonly number[], scores: ArrayLike<number>])[],
): Map<number, number> {
  const sums = new Map<number, number>();
  for (const [rows, scores] of parts)
    rows.forEach((row, i) => {
      sums.set(row, (sums.get(row) ?? 0) + scores[i]!);
    });
  return sums;
}

/** Sums over the other rows of the Euclidean distance to each, in float64: rows^2 / 2 passes over a row. */
function distances(values: Float32Array, rows: number): Float64Array {
  const width = values.length / rows;
  const sums = new Float64Array(rows);
  for (let a = 0; a < rows; a++)
    for (let b = a + 1; b < rows; b++) {
      let square = 0;
      for (let i = 0; i < width; i++)
        square += (values[a * width + i]! - values[b * width + i]!) ** 2;
      const distance = Math.sqrt(square);
      sums[a]! += distance;
      sums[b]! += distance;
    }
  return sums;
}
