/** The loss oracle of strategies (prune/oracle.ts), made of a run's objective and training set. */
import { epochBatches } from '../data/batches';
import { newPass, type Pass } from '../domain/domain';
import { expect, lookup } from '../errors';
import { type AnyModel, trainableNames } from '../nn/model';
import type { PlugIn } from '../options';
import { type LossAnswer, type LossOracle, SECOND_DERIVATIVES } from '../prune/oracle';
import { isSparse } from '../sparse/weight';
import { STREAMS } from '../tensor/philox';
import { input, item, step } from '../tensor/tensor';
import { look } from '../train/look';
import type { Batch } from '../train/loop';
import { objectives } from '../train/objectives/registry';
import { othersOf } from './networks';
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
  const others = othersOf(objective, data);
  const shuffle = { seed, epoch: 0, shuffle: true, dropLast: true };
  const samples = Math.min(size, train.count);
  const order = epochBatches(train.count, samples, shuffle);
  const lossOf = (model: AnyModel, batch: Batch, pass: Pass): Answer =>
    lossAndGradients(model, batch, pass, objective, seed, others);
  return {
    batches: order.length,
    samples,
    ask(model, at, { second, sample } = {}) {
      const inside = Number.isInteger(at) && at >= 0 && at < order.length;
      expect(inside, 'loss oracle', `a batch in [0, ${order.length})`, at);
      const known = second === undefined || SECOND_DERIVATIVES.includes(second);
      const kinds = SECOND_DERIVATIVES.join(', ');
      expect(known, 'loss oracle', `second derivatives of kind ${kinds}`, second);
      if (second === 'exact') checkExact(model, objective);
      const one = sample === undefined || (Number.isInteger(sample) && sample in order[at]!);
      expect(one, 'loss oracle', `a sample in [0, ${samples})`, sample);
      const drawn = batchAt(data, order[at]!);
      const batch = sample === undefined ? drawn : sampleOf(drawn, sample);
      const key = { seed, stream: STREAMS.dropout, index: batch.index };
      const pass = sample === undefined ? newPass({ key }) : newPass();
      const answer = lossOf(model, batch, pass);
      if (!second) return { ...answer, second: undefined };
      const labels = second === 'fisher' ? undefined : data.set.classes.length;
      const ownLoss = (own: Batch) => lossOf(model, own, newPass());
      const singles = Array.from(batch.index, (_, i) => sampleOf(batch, i));
      return { ...answer, second: meanSquares(singles, ownLoss, labels) };
    },
  };
}

/**
 * Raises an error where the Gauss-Newton diagonal is not that of the Hessian: for losses other than cross
 * entropy of clean images, and where a layer is not linear in pieces.
 */
function checkExact({ graph }: AnyModel, { name }: PlugIn): void {
  const hint = 'Ask for gauss-newton, an approximation there.';
  const { isCrossEntropy = false } = lookup(objectives, name, 'objective');
  const who = 'exact second derivatives';
  expect(isCrossEntropy, who, 'the cross entropy of clean images as the objective', name, hint);
  const curved = graph.nodes.filter(
    ({ layer }) => layer.role === 'pointwise' && !layer.breakpointSlopes,
  );
  const kinds = [...new Set(curved.map(({ kind }) => kind))].join(', ');
  expect(
    curved.length === 0,
    who,
    'activations with one breakpoint, linear beside it',
    kinds,
    hint,
  );
}

function lossAndGradients(
  model: AnyModel,
  { images, labels, index }: Batch,
  pass: Pass,
  { name, ...options }: PlugIn,
  seed: number,
  others: readonly AnyModel[] | undefined,
): Answer {
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
    const when = { seed, epoch: 0, epochs: 1, ramp: false, others };
    const context = { model: () => model, x, labels, index, pass, ...when };
    const { result, gradients: found } = look(engine, wanted, objective, options, context);
    const arrays = names.map((full, i) => [full, found[i]!.read()] as const);
    return { loss: item(result.loss), gradients: new Map(arrays) };
  });
}

type Answer = Omit<LossAnswer, 'second'>;

/**
 * The mean over samples of squared gradients, in float64: of each sample's own loss, or of its losses under
 * each of `labels` labels, weighted by exp(-loss) over their sum.
 */
function meanSquares(
  samples: readonly Batch[],
  ownLoss: (sample: Batch) => Answer,
  labels: number | undefined,
): Map<string, Float32Array> {
  const sums = new Map<string, Float64Array>();
  const add = ({ gradients: found }: Answer, weight: number): void => {
    for (const [name, g] of found) {
      const sum = sums.get(name) ?? new Float64Array(g.length);
      sums.set(name, sum);
      for (let i = 0; i < g.length; i++) sum[i]! += weight * g[i]! ** 2;
    }
  };
  for (const sample of samples) {
    if (labels === undefined) {
      add(ownLoss(sample), 1);
      continue;
    }
    const answers = Array.from({ length: labels }, (_, label) =>
      ownLoss({ ...sample, labels: Int32Array.of(label) }),
    );
    const least = Math.min(...answers.map(({ loss }) => loss));
    const likely = answers.map(({ loss }) => Math.exp(least - loss));
    const total = likely.reduce((sum, p) => sum + p, 0);
    answers.forEach((answer, label) => {
      add(answer, likely[label]! / total);
    });
  }
  const mean = (sum: Float64Array): Float32Array =>
    Float32Array.from(sum, (s) => s / samples.length);
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
