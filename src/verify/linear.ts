/**
 * Proofs by bounds, cheap ones first: a sample leaves as soon as every margin is above 0, and of
 * several bounds each margin keeps the best. Samples go in batches under a budget of memory that is
 * worked out beforehand; running out of it all the same is an answer (`unknown`), not an error.
 */

import type { Rows } from '../domain/backward';
import { inputSet, type Norm } from '../domain/balls';
import { ball, intervalMargins } from '../domain/interval';
import {
  type Hidden,
  hiddenBounds,
  type LinearOptions,
  linearMargins,
  lowerBounds,
  rowBytes,
} from '../domain/linear';
import { EspalierError } from '../errors';
import type { Graph } from '../nn/graph';
import { neg, reshape } from '../tensor/ops/core';
import { sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';
import type { Batch, OutputBounds, Verdict, VerifyJob } from './verifier';

/** Lower bounds of z_y - z_j, [n, classes], for a batch; runs inside step(). */
export type Stage = (batch: Batch) => Tensor;

export interface ProofOptions {
  readonly sound: boolean;
  /** Of the balls; default L-infinity. */
  readonly norm?: Norm;
  /** Bytes of scratch memory for the boxes of one batch and its rows. */
  readonly memory: number;
}

export const MEMORY = 256 * 2 ** 20;
/** More samples at once gain nothing (measured by bench `verify`). */
const MOST = 32;

/** Interval bounds of the margins: over the box around a ball of another norm. */
export const byIntervals =
  (sound: boolean): Stage =>
  ({ model: { graph, params }, x, labels, eps }) =>
    intervalMargins(graph, params, ball(x, eps, { sound }), labels, { sound });

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

/** Bytes that the boxes, lines and constants of one sample take. */
export function sampleBytes(graph: Graph): number {
  const floats = graph.nodes.reduce(
    (sum, { shape }) => sum + sizeOf(shape),
    sizeOf(graph.network.input),
  );
  return 4 * 12 * floats;
}

/** Samples that go through at once. */
export function batchSize(graph: Graph, memory: number): number {
  const rows = rowBytes(graph, graph.nodes.length - 1) * sizeOf(graph.output);
  return Math.max(1, Math.min(MOST, Math.floor(memory / (sampleBytes(graph) + rows))));
}

/** One verdict a sample; `stages` from the cheapest to the dearest. */
export function proveByStages(
  job: VerifyJob,
  stages: readonly Stage[],
  { sound, memory, norm = 'linf' }: ProofOptions,
): Verdict[] {
  const verdicts: Verdict[] = [];
  const size = batchSize(job.model.graph, memory);
  for (let from = 0; from < job.labels.length; from += size) {
    const to = Math.min(from + size, job.labels.length);
    const indices = Array.from({ length: to - from }, (_, i) => from + i);
    verdicts.push(...proveBatch({ ...job, norm }, indices, stages, sound));
  }
  return verdicts;
}

type NormedJob = VerifyJob & { readonly norm: Norm };

function proveBatch(
  job: NormedJob,
  indices: readonly number[],
  stages: readonly Stage[],
  sound: boolean,
): Verdict[] {
  const k = sizeOf(job.model.graph.output);
  const best = new Map(indices.map((i) => [i, new Float32Array(k).fill(Number.NEGATIVE_INFINITY)]));
  const least = (i: number): number => leastOf(best.get(i)!, job.labels[i]!);
  let reason = 'the bounds are too loose';
  for (const stage of stages) {
    const open = indices.filter((i) => !(least(i) > 0));
    if (open.length === 0) break;
    try {
      const found = runStage(job, open, stage);
      open.forEach((i, r) => {
        const row = best.get(i)!;
        for (let j = 0; j < k; j++) if (!(found[r * k + j]! <= row[j]!)) row[j] = found[r * k + j]!;
      });
    } catch (error) {
      if (!isOutOfMemory(error)) throw error;
      reason = `out of memory: ${(error as Error).message}`;
      break;
    }
  }
  return indices.map((i) => verdictOf(least(i), sound, reason));
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

/** The engine could not have the memory it asked for. */
export const isOutOfMemory = (error: unknown): boolean =>
  error instanceof EspalierError && error.message.startsWith('memory:');

function verdictOf(margin: number, sound: boolean, reason: string): Verdict {
  if (margin > 0 && sound) return { verdict: 'certified', margin };
  const why = Number.isNaN(margin)
    ? 'NaN bounds'
    : margin > 0
      ? 'the bounds are not sound'
      : reason;
  return { verdict: 'unknown', margin, reason: why };
}
