/**
 * DeepIoT (Yao et al. 2017, "DeepIoT: Compressing deep neural network structures for sensing systems with a
 * compressor-critic framework", arXiv 1706.01215): a recurrent policy over the layers says with which
 * probability p each unit (filter) is kept. In every update a Bernoulli mask of units is drawn by p, the
 * network (the critic) trains without the others, and the policy (the compressor) follows the score function
 * (L - baseline) d log P(mask) of the task loss L (REINFORCE, Williams 1992). Units whose p is below a
 * threshold, which rises until the budget is met, are drawn half as often. Then those of the smallest p go,
 * physically, and fine-tuning follows.
 *
 * Deviations: a plain recurrent cell, where theirs is an LSTM, over the L1 norms of a layer's units, where
 * theirs projects the weights; one mask a batch, where they draw one a sample; sparsity, along the cubic
 * schedule, gives the threshold. Layers tied by residual sums are one. Held-out accuracies of the phase are of
 * the network as it is masked then. Cost: twice `epochs` of dense training, and some passes over the weights
 * in JavaScript a step.
 */
import * as v from 'valibot';
import { freeModel, type Model } from '../../nn/model';
import { denseModel } from '../../nn/training-model';
import { choice, real, whole } from '../../options';
import { STREAMS, uniform } from '../../tensor/philox';
import { entriesOf, ownMasks, prunableData, sparsityNow } from '../between-batches';
import { type Channels, channelsOf } from '../channels';
import { keepProbabilities, learn, policyOf } from '../keep-policy';
import { CHANNEL_SCOPES, selectChannels } from '../select-channels';
import { maskedChannels, weightsOf } from '../shrink';
import { type BetweenBatchesContext, strategy } from '../strategy';

export const compressorCritic = strategy({
  name: 'compressor-critic',
  about:
    'units that a trained policy seldom keeps go, physically: scope, epochs, hidden, learningRate, end',
  options: v.strictObject({
    scope: v.optional(choice(CHANNEL_SCOPES), 'global'),
    /** That train network and policy; null is as many as fine-tuning has. */
    epochs: v.optional(v.nullable(whole(0)), null),
    /** Units of the policy's recurrent cell. */
    hidden: v.optional(whole(1, 4096), 32),
    /** Of the policy. */
    learningRate: v.optional(real(0), 0.001),
    /** Share of the phase after which the threshold rests. */
    end: v.optional(real(0, 1), 0.75),
  }),
  structured: true,
  needs: ['training', 'data'],
  phases: ({ epochs }) => [
    { name: 'prune', every: 1, ...(epochs !== null && { training: { epochs } }) },
    { name: 'finetune', decides: 'last', start: 'last' },
  ],
  decide: (context, { scope, hidden }) =>
    selectChannels(context, scope, (model, channels) =>
      keepProbabilities(model, channels, policyOf(context, channels, hidden)),
    ),
  betweenBatches(context, { scope, hidden, learningRate, end }) {
    const { step, steps, oracle, state, sparsity, seed } = context;
    const model = denseModel(context.model);
    try {
      const channels = channelsOf(model.graph);
      const policy = policyOf(context, channels, hidden);
      const masks = ownMasks(prunableData(context.model));
      const drawn = state.get('dropped');
      wakeUp(context, model, channels);
      const whole = new Map(
        weightsOf(model, channels).map(({ name, tensor }) => [name, tensor.read()]),
      );
      const seldom = new Set(state.get('seldom'));
      if (drawn) {
        drop(model, channels, new Set(drawn));
        const { loss } = oracle.ask(model, step % oracle.batches);
        for (const [name, values] of whole) model.params.get(name)!.write(values);
        learn(model, channels, policy, {
          loss,
          dropped: new Set(drawn),
          seldom,
          learningRate,
          state,
        });
      }
      const dropped = new Set<number>();
      if (step < steps) {
        const p = keepProbabilities(model, channels, policy);
        const goal = Math.min(sparsity, sparsityNow(context, end, masks));
        const previous = masks.size > 0 ? { previous: masks } : {};
        const low = selectChannels({ model, sparsity: goal, seed, ...previous }, scope, () => p);
        const below = maskedChannels(model, channels, low);
        const lots = uniform(seed, STREAMS.prune, 2 ** 33 + step, p.size);
        for (const [i, [channel, one]] of [...p].entries())
          if (lots[i]! >= (below.has(channel) ? one / 2 : one)) dropped.add(channel);
        state.set('dropped', Float32Array.from(dropped));
        state.set('seldom', Float32Array.from(below));
        for (const [name, values] of whole) state.set(`weights/${name}`, values);
        drop(model, channels, dropped);
      } else state.delete('dropped');
      writeLeaves(context, model);
    } finally {
      freeModel(model);
    }
    return undefined;
  },
});

/** Sets to 0 what reads the dropped channels. */
function drop(model: Model, channels: Channels, dropped: ReadonlySet<number>): void {
  for (const { tensor, columns, area } of weightsOf(model, channels)) {
    const isDropped = columns.map((channel) => dropped.has(channel));
    tensor.write(
      tensor.read().map((w, i) => (isDropped[Math.floor(i / area) % columns.length] ? 0 : w)),
    );
  }
}

/** Gives what reads the channels that were dropped the weights it had: training without them left those alone. */
function wakeUp({ state }: BetweenBatchesContext, model: Model, channels: Channels): void {
  const dropped = new Set(state.get('dropped'));
  for (const { name, tensor, columns, area } of weightsOf(model, channels)) {
    const before = state.get(`weights/${name}`);
    if (!before) continue;
    const isDropped = columns.map((channel) => dropped.has(channel));
    tensor.write(
      tensor
        .read()
        .map((w, i) => (isDropped[Math.floor(i / area) % columns.length] ? before[i]! : w)),
    );
  }
}

/** Gives the leaves the weights of the model, besides what is masked. */
function writeLeaves({ model }: BetweenBatchesContext, { params }: Model): void {
  for (const [name, data] of prunableData(model))
    model.parameters.get(name)!.tensors.values!.write(entriesOf(data, params.get(name)!.read()));
}
