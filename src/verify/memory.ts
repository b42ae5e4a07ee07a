/**
 * Memory of a verification: what a batch is taken to need before it starts, and running out of it all
 * the same, which is an answer (`unknown`) and no error.
 */
import { SHARE } from '../bounds/alpha';
import { CHUNK, needsBoxes, rowBytes } from '../bounds/linear';
import { isOutOfMemory } from '../errors';
import type { Graph } from '../nn/graph';
import type { Parts } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import type { MemoryEstimate, Verdict, VerifyJob } from './verifier';

/** Default of the option `memory` of verifiers, in bytes. */
export const MEMORY = 256 * 2 ** 20;
/** More images at once gain nothing (measured: bench `verifiers`). */
export const MOST_IMAGES = 32;

/** Bytes that the boxes, relaxations and constants of one sample take. */
export function sampleBytes(graph: Graph): number {
  const floats = graph.nodes.reduce(
    (sum, { shape }) => sum + sizeOf(shape),
    sizeOf(graph.network.input),
  );
  return 4 * 12 * floats;
}

const marginBytes = (graph: Graph): number =>
  rowBytes(graph, graph.nodes.length - 1) * sizeOf(graph.output);

/** Samples that go through at once; `extra` are bytes of a sample that a method takes besides. */
export function batchSize(
  graph: Graph,
  memory: number,
  { extra = 0, most = MOST_IMAGES }: { readonly extra?: number; readonly most?: number } = {},
): number {
  const each = sampleBytes(graph) + marginBytes(graph) + extra;
  return Math.max(1, Math.min(most, Math.floor(memory / each)));
}

/** Bytes of a sample's rows of all hidden values, which stay in memory while their slopes are optimised too. */
export function extraBytes(graph: Graph, joint: boolean): number {
  if (!joint) return 0;
  const bytes = [...needsBoxes(graph)].map((v) =>
    v < 0 ? 0 : 2 * sizeOf(graph.nodes[v]!.shape) * rowBytes(graph, v),
  );
  return SHARE * bytes.reduce((a, b) => a + b, 0);
}

/** Bytes of the weights of all layers. */
const weightBytes = ({ nodes }: Graph): number =>
  nodes.reduce((sum, { params: { weight } }) => sum + 4 * (weight ? sizeOf(weight.shape) : 0), 0);

export interface Needs {
  /** Budget in bytes. */
  readonly memory: number;
  /** What optimised slopes take as a multiple of the rows, in runs that keep to `memory` as well. */
  readonly share?: number;
  readonly extra?: number;
}

/**
 * Estimates the memory of linear bounds: boxes and margins of a batch, three chunks of rows, what slopes
 * take, and of every layer |W| and packed copies of W and |W|, for intervals and for backward passes (with
 * slopes one more).
 */
export function estimateMemory(
  graph: Graph,
  images: number,
  { memory, share = 0, extra = 0 }: Needs,
): MemoryEstimate {
  const samples = Math.min(images, batchSize(graph, memory, { extra }));
  const row = marginBytes(graph);
  const boxes = samples * (sampleBytes(graph) + row + extra);
  const rows = 3 * Math.max(Math.min(CHUNK, memory), row);
  const slopes = share * Math.min(samples * row, Math.max(memory / Math.max(1, share), row));
  const weights = (share > 0 ? 6 : 5) * weightBytes(graph);
  return { samples, bytes: boxes + rows + slopes + weights };
}

/** Verdicts of a job, in halves where it takes too much memory; of one sample that does, `unknown`. */
export function* inHalves(
  job: VerifyJob,
  verify: (part: VerifyJob) => Parts<Verdict[]>,
): Parts<Verdict[]> {
  try {
    return yield* verify(job);
  } catch (error) {
    if (!isOutOfMemory(error)) throw error;
    const { length } = job.labels;
    if (length > 1) {
      const half = length >> 1;
      const first = yield* inHalves(part(job, 0, half), verify);
      return [...first, ...(yield* inHalves(part(job, half, length), verify))];
    }
    const reason = outOfMemory(error);
    return [{ verdict: 'unknown', margin: Number.NEGATIVE_INFINITY, reason }];
  }
}

export const outOfMemory = (error: unknown): string => `out of memory: ${(error as Error).message}`;

/** Samples [from, to) of a job. */
export function part(job: VerifyJob, from: number, to: number): VerifyJob {
  const size = job.images.length / job.labels.length;
  const images = job.images.subarray(from * size, to * size);
  return { ...job, images, labels: job.labels.subarray(from, to) };
}
