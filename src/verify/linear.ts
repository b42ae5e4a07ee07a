/**
 * Proofs by bounds, cheap ones first: a sample leaves as soon as every margin is above 0, and of
 * several bounds each margin keeps the best. Samples go in batches under a budget of memory (memory.ts).
 */

import type { Rows } from '../bounds/backward';
import {
  type Hidden,
  hiddenBounds,
  type LinearOptions,
  linearMargins,
  lowerBounds,
} from '../bounds/linear';
import { inputSet, type Norm } from '../domain/balls';
import { isOutOfMemory } from '../errors';
import { ballMargins } from '../plan/margins';
import { neg, reshape } from '../tensor/ops/core';
import { sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';
import { batchSize, inParts, outOfMemory, part } from './memory';
import type { Batch, OutputBounds, Verdict, VerifyJob } from './verifier';

/** Lower bounds of z_y - z_j, [n, classes], for a batch; runs inside step(). */
export type Stage = (batch: Batch) => Tensor;

export interface ProofOptions {
  readonly sound: boolean;
  /** Of the balls; default L-infinity. */
  readonly norm?: Norm;
  /** Bytes of scratch memory for the boxes of one batch and its rows. */
  readonly memory: number;
  /** Bytes of a sample that a stage takes besides. */
  readonly extra?: number;
}

/** Interval bounds of the margins: over the box around a ball of another norm. */
export const byIntervals =
  (sound: boolean): Stage =>
  ({ model, x, labels, eps }) =>
    ballMargins(model, x, eps, labels, { sound });

/** Linear bounds of the margins. */
export const byLines =
  (options: LinearOptions): Stage =>
  (batch) =>
    linearMargins(sceneOf(batch, options), batch.labels);

export const sceneOf = ({ model, x, eps, norm = 'linf' }: Batch, options: LinearOptions): Hidden =>
  hiddenBounds(model, inputSet(x, eps, { norm, sound: options.sound }), options);

/** Linear bounds of the outputs themselves, and the margins of `stage`. */
export function boundsByLines(
  batch: Batch,
  options: LinearOptions,
  stage = byLines(options),
): OutputBounds {
  const { output } = batch.model.graph;
  const [n, k] = [batch.labels.length, sizeOf(output)];
  const scene = sceneOf(batch, options);
  const at = Int32Array.from({ length: n * k }, (_, r) => Math.floor(r / k));
  const unit = (factor: number): Rows['values'] => ({
    index: at.map((_, r) => r % k),
    factor: new Float32Array(n * k).fill(factor),
  });
  return {
    lo: reshape(lowerBounds(scene, { at, values: unit(1) }), [n, k]),
    hi: neg(reshape(lowerBounds(scene, { at, values: unit(-1) }), [n, k])),
    margins: stage(batch),
  };
}

/** One verdict a sample; `stages` from the cheapest to the dearest. */
export function proveByStages(
  job: VerifyJob,
  stages: readonly Stage[],
  { sound, memory, extra, norm = 'linf' }: ProofOptions,
): Verdict[] {
  const size = batchSize(job.model.graph, memory, extra);
  const verdicts: Verdict[] = [];
  for (let from = 0; from < job.labels.length; from += size) {
    const batch = part(job, from, Math.min(from + size, job.labels.length));
    verdicts.push(...inParts(batch, (one) => proveBatch({ ...one, norm }, stages, sound)));
  }
  return verdicts;
}

type NormedJob = VerifyJob & { readonly norm: Norm };

function proveBatch(job: NormedJob, stages: readonly Stage[], sound: boolean): Verdict[] {
  const { labels } = job;
  const k = sizeOf(job.model.graph.output);
  const best = Array.from(labels, () => new Float32Array(k).fill(Number.NEGATIVE_INFINITY));
  const least = (i: number): number => leastOf(best[i]!, labels[i]!);
  let reason = 'the bounds are too loose';
  for (const stage of stages) {
    const open = [...best.keys()].filter((i) => !(least(i) > 0));
    if (open.length === 0) break;
    try {
      const found = runStage(job, open, stage);
      open.forEach((i, r) => {
        const row = best[i]!;
        for (let j = 0; j < k; j++) if (!(found[r * k + j]! <= row[j]!)) row[j] = found[r * k + j]!;
      });
    } catch (error) {
      // Of one sample the cheaper stages still count.
      if (!isOutOfMemory(error) || labels.length > 1) throw error;
      reason = outOfMemory(error);
      break;
    }
  }
  return best.map((_, i) => verdictOf(least(i), sound, reason));
}

function runStage(job: NormedJob, open: readonly number[], stage: Stage): Float32Array {
  const { engine, graph } = job.model;
  const size = sizeOf(graph.network.input);
  const images = new Float32Array(open.length * size);
  open.forEach((i, r) => {
    images.set(job.images.subarray(i * size, (i + 1) * size), r * size);
  });
  const labels = Int32Array.from(open, (i) => job.labels[i]!);
  return step(engine, () =>
    stage({
      ...job,
      x: input(engine, images, [open.length, ...graph.network.input]),
      labels,
    }).read(),
  );
}

function leastOf(row: Float32Array, label: number): number {
  let least = Number.POSITIVE_INFINITY;
  row.forEach((margin, j) => {
    if (j !== label) least = Math.min(least, margin);
  });
  return least;
}

function verdictOf(margin: number, sound: boolean, reason: string): Verdict {
  if (margin > 0 && sound) return { verdict: 'certified', margin };
  const why = Number.isNaN(margin)
    ? 'NaN bounds'
    : margin > 0
      ? 'the bounds are not sound'
      : reason;
  return { verdict: 'unknown', margin, reason: why };
}
