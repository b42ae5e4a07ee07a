/**
 * Memory of a verification: estimates of what a batch needs before it starts. Running out of it all the same
 * is an answer (`unknown`) and no error.
 */
import { SHARE } from '../bounds/alpha';
import { CHUNK, preActivations, rowBytes } from '../bounds/linear';
import type { Graph } from '../nn/graph';
import { sizeOf } from '../tensor/shape';

/** Samples that go through at once, and the scratch memory that they take at most. */
export interface MemoryEstimate {
  readonly samples: number;
  readonly bytes: number;
}

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
  const bytes = [...preActivations(graph)].map((v) =>
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
  /** Memory of optimised slopes as a multiple of the rows', in runs that keep to `memory` as well. */
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

/** The reason of a verdict for want of memory. */
export const outOfMemory = (error: unknown): string => `out of memory: ${(error as Error).message}`;
