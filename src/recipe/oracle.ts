/** The loss oracle of strategies (prune/oracle.ts), made of a run's objective and training set. */
import { epochBatches } from '../data/batches';
import { newPass, type Pass } from '../domain/domain';
import { expect, lookup } from '../errors';
import { type AnyModel, trainableNames } from '../nn/model';
import type { PlugIn } from '../options';
import type { LossAnswer, LossOracle } from '../prune/oracle';
import { isSparse } from '../sparse/weight';
import { STREAMS } from '../tensor/philox';
import { gradients } from '../tensor/tape';
import { input, item, step } from '../tensor/tensor';
import type { Batch } from '../train/loop';
import { objectives } from '../train/objectives/registry';
import { batchAt, type TrainingData } from './training-data';

export interface OracleSource {
  readonly objective: PlugIn;
  readonly data: TrainingData;
  /** Draws the order of samples, and all that the loss draws. */
  readonly seed: number;
  /** Samples a batch. */
  readonly batch: number;
}

export function lossOracle({ objective, data, seed, batch: size }: OracleSource): LossOracle {
  const { train } = data;
  const shuffle = { seed, epoch: 0, shuffle: true, dropLast: true };
  const order = epochBatches(train.count, Math.min(size, train.count), shuffle);
  const lossOf = (model: AnyModel, batch: Batch, pass: Pass): Omit<LossAnswer, 'second'> =>
    lossAndGradients(model, batch, pass, objective, seed);
  return {
    batches: order.length,
    ask(model, at, { second } = {}) {
      const inside = Number.isInteger(at) && at >= 0 && at < order.length;
      expect(inside, 'loss oracle', `a batch in [0, ${order.length})`, at);
      const known = second === undefined || second === 'fisher';
      expect(known, 'loss oracle', 'second derivatives of kind fisher', second);
      const batch = batchAt(data, order[at]!);
      const key = { seed, stream: STREAMS.dropout, index: batch.index };
      const answer = lossOf(model, batch, newPass({ key }));
      if (!second) return { ...answer, second: undefined };
      const singles = Array.from(batch.index, (_, i) => sampleOf(batch, i));
      const found = singles.map((one) => () => lossOf(model, one, newPass()).gradients);
      return { ...answer, second: meanSquares(found) };
    },
  };
}

function lossAndGradients(
  model: AnyModel,
  { images, labels, index }: Batch,
  pass: Pass,
  { name, ...options }: PlugIn,
  seed: number,
): Omit<LossAnswer, 'second'> {
  const { engine, graph, params } = model;
  const objective = lookup(objectives, name, 'objective');
  const names = trainableNames(graph);
  return step(engine, () => {
    const wanted = names.map((full) => {
      const weight = params.get(full)!;
      return isSparse(weight) ? weight.values : weight;
    });
    const x = input(engine, images, [labels.length, ...graph.network.input]);
    // Without a ramp the difficulty is full, whatever the epoch.
    const when = { seed, epoch: 0, epochs: 1, ramp: false };
    const { result, gradients: found } = gradients(engine, wanted, () =>
      objective.loss({ model, x, labels, index, pass, ...when }, options),
    );
    const arrays = names.map((full, i) => [full, found[i]!.read()] as const);
    return { loss: item(result.loss), gradients: new Map(arrays) };
  });
}

/** Sums in float64 of what each call gives, squared, over their number. */
function meanSquares(
  found: readonly (() => ReadonlyMap<string, Float32Array>)[],
): Map<string, Float32Array> {
  const sums = new Map<string, Float64Array>();
  for (const gradientsOf of found)
    for (const [name, g] of gradientsOf()) {
      const sum = sums.get(name) ?? new Float64Array(g.length);
      sums.set(name, sum);
      for (let i = 0; i < g.length; i++) sum[i]! += g[i]! ** 2;
    }
  const mean = (sum: Float64Array): Float32Array => Float32Array.from(sum, (s) => s / found.length);
  return new Map(Array.from(sums, ([name, sum]) => [name, mean(sum)]));
}

function sampleOf({ images, labels, index }: Batch, i: number): Batch {
  const size = images.length / labels.length;
  return {
    images: images.subarray(i * size, (i + 1) * size),
    labels: labels.subarray(i, i + 1),
    index: index.subarray(i, i + 1),
  };
}
