/**
 * One pass over the training set. Every random draw is keyed by (seed, epoch, sample), so a pass may
 * stop after any batch and go on later with the same result.
 */
import { newPass, propagate } from '../domain/domain';
import { value } from '../domain/value';
import { EspalierError, expect } from '../errors';
import type { AnyModel } from '../nn/model';
import { modelInStep, type TrainingModel } from '../nn/training-model';
import type { Options } from '../options';
import { STREAMS } from '../tensor/philox';
import { assign, input, item, step, Tensor } from '../tensor/tensor';
import { emaShare, moveAverages } from './averages';
import { look } from './look';
import type { Memory, Objective } from './objective';
import { type Optimizer, update } from './optimizers';
import { atSharpest } from './sharpness';
import { type Labelling, targetsOf } from './targets';

const ADVICE = 'Lower the learning rate or set gradientClip; the last checkpoint is intact.';

export interface Batch {
  /** [n, ...input] in [0, 1], row-major. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
  /** Positions in the training set. */
  readonly index: Int32Array;
}

/** How far an epoch is: all a checkpoint needs besides the tensors. */
export interface EpochProgress {
  /** Batches done. */
  step: number;
  images: number;
  /** Sum of the batches' losses. */
  lossSum: number;
  metrics: Record<string, number>;
}

export interface EpochJob {
  readonly model: TrainingModel;
  /** Of the leaves that are trained. */
  readonly optimizer: Optimizer;
  readonly objective: Objective;
  /** Of the objective, complete. */
  readonly options: Options;
  readonly seed: number;
  /** 0-based, and how many there are in this phase. */
  readonly epoch: number;
  readonly epochs: number;
  readonly ramp: boolean;
  /** How labels become targets of the loss; absent: as they are. */
  readonly labelling?: Labelling | undefined;
  /** Networks of the objective's files. */
  readonly others?: readonly AnyModel[] | undefined;
  /** What the objective keeps from update to update; absent where it starts anew with each. */
  readonly memory?: Map<string, Float32Array>;
  /** Decay of moving averages; absent: there are none. */
  readonly ema?: number | undefined;
  readonly batches: number;
  batch(step: number): Batch;
  /** Learning rate after so many epochs. */
  rate(epoch: number): number;
  /** Called after every batch; true stops the epoch here. */
  after(progress: EpochProgress): Promise<boolean>;
}

/**
 * Runs the rest of an epoch; returns whether it reached the end. Only finite parameters pass it, as
 * they are what is saved next.
 */
export async function trainEpoch(job: EpochJob, progress: EpochProgress): Promise<boolean> {
  let stopped = false;
  while (progress.step < job.batches && !stopped) {
    const batch = job.batch(progress.step);
    const { loss, metrics } = trainStep(job, batch, job.epoch + progress.step / job.batches);
    progress.step++;
    progress.images += batch.labels.length;
    progress.lossSum += loss;
    progress.metrics = metrics;
    stopped = await job.after(progress);
  }
  if (progress.step < job.batches) return false;
  for (const [name, { tensors }] of job.model.parameters)
    expect(
      Object.values(tensors).every(allFinite),
      `training, epoch ${job.epoch + 1}`,
      'finite parameters',
      `others in ${name}`,
      ADVICE,
    );
  return true;
}

const allFinite = (t: Tensor): boolean => t.read().every(Number.isFinite);

interface StepResult {
  readonly loss: number;
  readonly metrics: Record<string, number>;
}

/**
 * Forward, backward, update on one batch. A loss or a gradient that is not finite changes nothing
 * and throws.
 */
export function trainStep(job: EpochJob, batch: Batch, epoch: number): StepResult {
  const { model, optimizer, objective, options, seed, epochs, ramp, others, memory } = job;
  const { engine, graph } = model;
  const key = { seed: seed + Math.floor(epoch), stream: STREAMS.dropout, index: batch.index };
  return step(engine, () => {
    const x = input(engine, batch.images, [batch.labels.length, ...graph.network.input]);
    const { labels, index } = batch;
    const leaves = optimizer.leaves.map(({ tensor }) => tensor);
    const known: Memory = new Map(memory);
    const targets = targetsOf(job.labelling, x, labels, graph);
    const find = () => {
      // Nothing in training is certified.
      const pass = newPass({ key }, { allowWinograd: true });
      const here = { x, labels, index, seed, epoch, epochs, ramp, pass, targets, others };
      const context = { model: () => modelInStep(model), ...here, memory: known };
      return { pass, ...look(engine, leaves, objective, options, context) };
    };
    const { pass, result, gradients: own, kept } = find();
    const { sharpness = null } = optimizer.options;
    const found =
      sharpness === null
        ? own
        : atSharpest(optimizer.leaves, own, sharpness, () => find().gradients);
    const loss = item(result.loss);
    const moved = Number.isFinite(loss) && update(optimizer, found, job.rate(epoch));
    if (!moved) diverged(job, x, { loss, found }, epoch);
    for (const [name, t] of Object.entries(kept)) memory?.set(name, t.read());
    for (const [name, t] of pass.updates) assign(model.parameters.get(name)!.tensors.values!, t);
    if (job.ema !== undefined) moveAverages(model, optimizer, emaShare(job.ema, optimizer.steps));
    const metrics = Object.entries(result.metrics).map(([name, m]) => [
      name,
      m instanceof Tensor ? item(m) : m,
    ]);
    return { loss, metrics: Object.fromEntries(metrics) as Record<string, number> };
  });
}

/** Names the first tensor that is not finite: input, parameter, a layer's output, loss, gradient. */
function diverged(
  { model, optimizer, batches }: EpochJob,
  x: Tensor,
  { loss, found }: { readonly loss: number; readonly found: readonly Tensor[] },
  epoch: number,
): never {
  let first = allFinite(x) ? undefined : 'the input';
  for (const [name, { tensors }] of model.parameters)
    first ??= Object.values(tensors).every(allFinite) ? undefined : `the parameter ${name}`;
  const observe = (node: { name: string }, t: Tensor): void => {
    first ??= allFinite(t) ? undefined : `the input of ${node.name}`;
  };
  if (!first) {
    const { graph, params } = modelInStep(model);
    propagate(graph, params, value, x, { observe });
  }
  // Gradients flow from the last leaf to the first.
  const last = optimizer.leaves.findLast((_, i) => !allFinite(found[i]!));
  if (Number.isFinite(loss))
    first ??= last ? `the gradient of ${last.name}` : "the gradient's norm";
  const where = `epoch ${Math.floor(epoch) + 1}, step ${Math.round((epoch % 1) * batches) + 1}`;
  const what = Number.isFinite(loss)
    ? 'a finite gradient, got another'
    : `a finite loss, got ${loss}`;
  throw new EspalierError(
    `training, ${where}: expected ${what}; first not finite: ${
      first ?? 'the loss itself'
    }. ${ADVICE}`,
  );
}
