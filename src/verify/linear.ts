/**
 * Proofs by bounds, cheap ones first: a sample leaves as soon as every margin is above 0, and of
 * several bounds each margin keeps the best. Samples go in batches under a budget of memory (memory.ts).
 */

import type { Rows } from '../bounds/backward';
import {
  type Hidden,
  hiddenBoundsInParts,
  type LinearOptions,
  lowerBounds,
  lowerBoundsInParts,
  marginRows,
  marginTable,
} from '../bounds/linear';
import { inputSet, type Norm } from '../domain/balls';
import { isOutOfMemory } from '../errors';
import { ballMargins } from '../plan/margins';
import { neg, reshape } from '../tensor/ops/core';
import { type Parts, stepInParts, whole } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import { input, type Tensor } from '../tensor/tensor';
import { batchSize, inHalves, outOfMemory, part } from './memory';
import type { Batch, OutputBounds, Verdict, VerifyJob } from './verifier';

/** Lower bounds of z_y - z_j, [n, classes], for a batch; runs inside step(), in parts. */
export type Stage = (batch: Batch) => Parts<Tensor>;

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
export const byIntervals = (sound: boolean): Stage =>
  function* ({ model, x, labels, eps }) {
    const margins = ballMargins(model, x, eps, labels, { sound });
    yield;
    return margins;
  };

/** Linear bounds of the margins. */
export const byLines = (options: LinearOptions): Stage =>
  function* (batch) {
    const scene = yield* sceneOf(batch, options);
    const rows = marginRows(scene, batch.labels);
    return marginTable(scene, batch.labels, yield* lowerBoundsInParts(scene, rows));
  };

export const sceneOf = (
  { model, x, eps, norm = 'linf' }: Batch,
  options: LinearOptions,
): Parts<Hidden> =>
  hiddenBoundsInParts(model, inputSet(x, eps, { norm, sound: options.sound }), options);

/** Linear bounds of the outputs themselves, and the margins of `stage`. */
export function boundsByLines(
  batch: Batch,
  options: LinearOptions,
  stage = byLines(options),
): OutputBounds {
  const { output } = batch.model.graph;
  const [n, k] = [batch.labels.length, sizeOf(output)];
  const scene = whole(sceneOf(batch, options));
  const at = Int32Array.from({ length: n * k }, (_, r) => Math.floor(r / k));
  const unit = (factor: number): Rows['values'] => ({
    index: at.map((_, r) => r % k),
    factor: new Float32Array(n * k).fill(factor),
  });
  return {
    lo: reshape(lowerBounds(scene, { at, values: unit(1) }), [n, k]),
    hi: neg(reshape(lowerBounds(scene, { at, values: unit(-1) }), [n, k])),
    margins: whole(stage(batch)),
  };
}

/** One verdict a sample; `stages` from the cheapest to the dearest. */
export function* proveByStages(
  job: VerifyJob,
  stages: readonly Stage[],
  { sound, memory, extra, norm = 'linf' }: ProofOptions,
): Parts<Verdict[]> {
  const size = batchSize(job.model.graph, memory, extra);
  const verdicts: Verdict[] = [];
  for (let from = 0; from < job.labels.length; from += size) {
    const batch = part(job, from, Math.min(from + size, job.labels.length));
    verdicts.push(
      ...(yield* inHalves(batch, (one) => proveBatch({ ...one, norm }, stages, sound))),
    );
    yield;
  }
  return verdicts;
}

type NormedJob = VerifyJob & { readonly norm: Norm };

function* proveBatch(job: NormedJob, stages: readonly Stage[], sound: boolean): Parts<Verdict[]> {
  const { labels } = job;
  const k = sizeOf(job.model.graph.output);
  const best = Array.from(labels, () => new Float32Array(k).fill(Number.NEGATIVE_INFINITY));
  const least = (i: number): number => leastOf(best[i]!, labels[i]!);
  let reason = 'the bounds are too loose';
  for (const stage of stages) {
    const open = [...best.keys()].filter((i) => !(least(i) > 0));
    if (open.length === 0) break;
    try {
      const found = yield* runStage(job, open, stage);
      open.forEach((i, r) => {
        const row = best[i]!;
        // What is no number in one of them stays so: Math.max keeps NaN.
        for (let j = 0; j < k; j++) row[j] = Math.max(row[j]!, found[r * k + j]!);
      });
    } catch (error) {
      // Of one sample the cheaper stages still count.
      if (!isOutOfMemory(error) || labels.length > 1) throw error;
      reason = outOfMemory(error);
      break;
    }
  }
  return best.map((_, i) => verdictOf(least(i), { sound, reason }));
}

function runStage(job: NormedJob, open: readonly number[], stage: Stage): Parts<Float32Array> {
  const { engine, graph } = job.model;
  const size = sizeOf(graph.network.input);
  const images = new Float32Array(open.length * size);
  open.forEach((i, r) => {
    images.set(job.images.subarray(i * size, (i + 1) * size), r * size);
  });
  const labels = Int32Array.from(open, (i) => job.labels[i]!);
  return stepInParts(engine, function* () {
    const x = input(engine, images, [open.length, ...graph.network.input]);
    return (yield* stage({ ...job, x, labels })).read();
  });
}

function leastOf(row: Float32Array, label: number): number {
  let least = Number.POSITIVE_INFINITY;
  row.forEach((margin, j) => {
    if (j !== label) least = Math.min(least, margin);
  });
  return least;
}

/** What a margin proves; `reason` says why not where it is 0 or below. */
export function verdictOf(
  margin: number,
  { sound, reason }: { readonly sound: boolean; readonly reason: string },
): Verdict {
  if (Number.isNaN(margin)) return { verdict: 'unknown', margin, reason: 'NaN bounds' };
  if (!(margin > 0)) return { verdict: 'unknown', margin, reason };
  if (!sound) return { verdict: 'unknown', margin, reason: 'the bounds are not sound' };
  return { verdict: 'certified', margin };
}
