/**
 * Group lasso on units (Alvarez and Salzmann 2016, arXiv 1611.06321; Zhou et al. 2016, "Less is more"):
 * training goes on, and after every update a proximal step takes the same amount off the norm of each unit's
 * parameters, so that those the loss can do without come to 0. Then the units of the smallest norm go,
 * physically, and fine-tuning follows.
 *
 * A group is what makes one channel, weights and bias, those of residual partners together; the step is
 * g <- g max(0, 1 - t sqrt(d) / |g|), with d the size of the group and t the learning rate times `lambda` for
 * each update (Yuan and Lin 2006). With `on: batch-norm` a group is the channel's gain, which is network slimming
 * (Liu et al. 2017). What is tied to the network's input or output has no group.
 *
 * Deviation: the share that goes is given; units that came to 0 beyond it stay, and `compact` finds them.
 * Cost: `epochs` of dense training, and two passes over the weights in JavaScript a step.
 */
import * as v from 'valibot';
import type { Graph } from '../../nn/graph';
import { spreadKept, takeKept } from '../../nn/parameterisation';
import { dataOf } from '../../nn/parameterised';
import { choice, real, whole } from '../../options';
import { type ChannelScores, channelScores, gainsOf, type Rows } from '../channel-scores';
import { type Channels, channelsOf, dependencyOf } from '../channels';
import { CHANNEL_SCOPES, selectChannels } from '../select-channels';
import { type BetweenBatchesContext, strategy } from '../strategy';

export const groupLasso = strategy({
  name: 'group-lasso',
  about:
    'training shrinks whole units, the smallest go, physically: on, scope, lambda, epochs, every',
  options: v.strictObject({
    on: v.optional(choice(['weights', 'batch-norm']), 'weights'),
    scope: v.optional(choice(CHANNEL_SCOPES), 'global'),
    /** Taken off the root mean square of a group in an update, in learning rates. */
    lambda: v.optional(real(0), 0.01),
    /** That shrink; null is as many as fine-tuning has. */
    epochs: v.optional(v.nullable(whole(0)), null),
    /** Updates from one proximal step to the next, which then counts for all of them. */
    every: v.optional(whole(1), 1),
  }),
  structured: true,
  needs: ['training'],
  phases: ({ epochs, every }) => [
    { name: 'prune', every, ...(epochs !== null && { training: { epochs } }) },
    { name: 'finetune', decides: 'last', start: 'last' },
  ],
  decide: (context, { on, scope }) => selectChannels(context, scope, SCORES[on]),
  betweenBatches(context, { on, lambda, every }) {
    const { graph } = context.model;
    const channels = channelsOf(graph);
    const updates = context.step % every || every;
    shrinkGroups(
      context,
      channels,
      PARTS[on](graph, channels),
      context.learningRate * lambda * updates,
    );
    return undefined;
  },
});

/** Trainable parameters of the layers that make channels. */
const producerRows = ({ nodes }: Graph, { outputs }: Channels): Rows[] =>
  nodes.flatMap((node, at) =>
    dependencyOf(node).kind !== 'producer'
      ? []
      : Object.entries(node.params)
          .filter(([, { trainable }]) => trainable)
          .map(([local]) => ({ name: `${node.name}.${local}`, rows: outputs[at]! })),
  );

const PARTS = { weights: producerRows, 'batch-norm': gainsOf };

/** Root mean square of a channel's group. */
const rootMeanSquares: ChannelScores = ({ graph, params }, channels) => {
  const parts = producerRows(graph, channels);
  const groups = groupsOf(parts, (name) => params.get(name)!.read());
  return new Map(Array.from(groups, ([one, { square, size }]) => [one, Math.sqrt(square / size)]));
};

const SCORES = { weights: rootMeanSquares, 'batch-norm': channelScores['batch-norm'] };

/** Sum of the squares of each channel's entries, and their number. */
function groupsOf(
  parts: readonly Rows[],
  read: (name: string) => Float32Array,
): Map<number, { square: number; size: number }> {
  const groups = new Map<number, { square: number; size: number }>();
  for (const { name, rows } of parts) {
    const values = read(name);
    const width = values.length / rows.length;
    rows.forEach((row, i) => {
      const group = groups.get(row) ?? { square: 0, size: 0 };
      groups.set(row, group);
      for (let at = i * width; at < (i + 1) * width; at++) group.square += values[at]! ** 2;
      group.size += width;
    });
  }
  return groups;
}

/** The proximal step, which takes `amount` off the root mean square of every group that can go. */
function shrinkGroups(
  { model: { parameters } }: BetweenBatchesContext,
  channels: Channels,
  parts: readonly Rows[],
  amount: number,
): void {
  const data = new Map(parts.map(({ name }) => [name, dataOf(parameters.get(name)!)]));
  const whole = (name: string): Float32Array => {
    const { mask, tensors } = data.get(name)!;
    return mask ? spreadKept(tensors.values!, mask) : tensors.values!;
  };
  const groups = groupsOf(parts, whole);
  const factorOf = (row: number): number => {
    const { square, size } = groups.get(row)!;
    return square > 0 ? Math.max(0, 1 - amount / Math.sqrt(square / size)) : 0;
  };
  const free = channels.groups.flatMap((group) => group.channels.filter((one) => groups.has(one)));
  const factors = new Map(free.map((row) => [row, factorOf(row)]));
  for (const { name, rows } of parts) {
    const values = whole(name);
    const width = values.length / rows.length;
    const shrunk = values.map((x, at) => x * (factors.get(rows[Math.floor(at / width)]!) ?? 1));
    parameters.get(name)!.tensors.values!.write(takeKept(shrunk, data.get(name)!.mask));
  }
}
