/**
 * Batch-norm statistics of a whole training set: the means of those of its batches, weights at rest, in place
 * of running averages over the last batches, whose weights have moved on ("precise" statistics, Wu and Johnson
 * 2021, arXiv 2105.07576, section 3).
 *
 * Cost: a forward pass of every image.
 */
import { newPass, propagate } from '../domain/domain';
import { value } from '../domain/value';
import { modelInStep, type TrainingModel } from '../nn/training-model';
import { STREAMS } from '../tensor/philox';
import { assign, input, step } from '../tensor/tensor';
import type { Batch } from './loop';

/** Whether layers of the model keep statistics of their batches. */
export const keepsStatistics = ({ graph }: TrainingModel): boolean =>
  graph.nodes.some(
    ({ layer }) => layer.role === 'affine' && layer.deriveInBatch && !layer.onlyInTraining,
  );

export interface StatisticsJob {
  readonly batches: number;
  batch(at: number): Batch;
  /** Of dropout masks. */
  readonly seed: number;
  /** Called before every batch, so that other work can run. */
  pause(): Promise<void>;
}

/** Sets the statistics of all layers to the means over the batches, each weighted by its images. */
export async function resetStatistics(
  model: TrainingModel,
  { batches, batch, seed, pause }: StatisticsJob,
): Promise<void> {
  const sums = new Map<string, Float64Array>();
  let images = 0;
  for (let at = 0; at < batches; at++) {
    await pause();
    const here = batch(at);
    const weight = here.labels.length;
    images += weight;
    for (const [name, values] of statisticsOf(model, here, seed)) {
      const sum = sums.get(name) ?? new Float64Array(values.length);
      sums.set(name, sum);
      for (let i = 0; i < values.length; i++) sum[i]! += weight * values[i]!;
    }
  }
  step(model.engine, () => {
    for (const [name, sum] of sums) {
      const mean = Float32Array.from(sum, (s) => s / images);
      const kept = model.parameters.get(name)!.tensors.values!;
      assign(kept, input(model.engine, mean, kept.shape));
    }
  });
}

function statisticsOf(
  model: TrainingModel,
  { images, labels, index }: Batch,
  seed: number,
): [string, Float32Array][] {
  const { engine, graph } = model;
  return step(engine, () => {
    const pass = newPass(
      { key: { seed, stream: STREAMS.dropout, index } },
      { allowWinograd: true },
    );
    const x = input(engine, images, [labels.length, ...graph.network.input]);
    propagate(graph, modelInStep(model).params, value, x, { pass });
    return Array.from(pass.statistics, ([name, t]) => [name, t.read()]);
  });
}
