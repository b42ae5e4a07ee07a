/**
 * Proofs of robustness by bounds, cheap methods first: a sample leaves as soon as every margin is above 0,
 * and of several bounds each margin keeps the best. Samples go in batches under a budget of memory
 * (memory.ts).
 */
import type * as v from 'valibot';
import type { Norm } from '../domain/balls';
import { isOutOfMemory } from '../errors';
import type { Entry, OptionsSchema } from '../options';
import { type Parts, whole } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import { outOfMemory } from './memory';
import type { BoundMethod } from './methods';
import { type Problem, robustness, select } from './problem';
import {
  type Verdict,
  type Verifier,
  type VerifierEntry,
  type VerifyJob,
  verifier,
} from './verifier';

const questionOf = ({ model, images, labels, eps }: VerifyJob, norm: Norm): Problem =>
  robustness(model, images, labels, { eps, norm });

/** One verdict a sample; `methods` from the cheapest to the most expensive. */
export function* prove(
  job: VerifyJob,
  methods: readonly BoundMethod[],
  norm: Norm = 'linf',
): Parts<Verdict[]> {
  const count = job.labels.length;
  if (count === 0) return [];
  const one = questionOf(part(job, 0, 1), norm);
  const size = methods.reduce((least, method) => Math.min(least, method.batch(one)), count);
  const verdicts: Verdict[] = [];
  for (let from = 0; from < count; from += size) {
    const batch = part(job, from, Math.min(from + size, count));
    verdicts.push(
      ...(yield* inHalves(batch, (some) => proveBatch(questionOf(some, norm), methods))),
    );
    yield;
  }
  return verdicts;
}

function* proveBatch(problem: Problem, methods: readonly BoundMethod[]): Parts<Verdict[]> {
  const { count: n } = problem.region;
  const { count } = problem.rows;
  const best = new Float64Array(n * count).fill(Number.NEGATIVE_INFINITY);
  const least = (i: number): number =>
    best.subarray(i * count, (i + 1) * count).reduce((a, b) => Math.min(a, b), Infinity);
  let reason = 'the bounds are too loose';
  for (const method of methods) {
    const open = Array.from({ length: n }, (_, i) => i).filter((i) => !(least(i) > 0));
    if (open.length === 0) break;
    try {
      const some = open.length === n ? problem : select(problem, open);
      const { lower } = yield* method.bound(some);
      open.forEach((i, at) => {
        // What is no number in one of them stays so: Math.max keeps NaN.
        for (let r = 0; r < count; r++)
          best[i * count + r] = Math.max(best[i * count + r]!, lower[at * count + r]!);
      });
    } catch (error) {
      // Of one sample the cheaper methods still count.
      if (!isOutOfMemory(error) || n > 1) throw error;
      reason = outOfMemory(error);
      break;
    }
  }
  const sound = methods.every((method) => method.sound);
  return Array.from({ length: n }, (_, i) => verdictOf(least(i), { sound, reason }));
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

/** Samples [from, to) of a job. */
export function part(job: VerifyJob, from: number, to: number): VerifyJob {
  const size = job.images.length / job.labels.length;
  const images = job.images.subarray(from * size, to * size);
  return { ...job, images, labels: job.labels.subarray(from, to) };
}

/** The verdict by a margin; `reason` says why there is none where it is 0 or below. */
function verdictOf(
  margin: number,
  { sound, reason }: { readonly sound: boolean; readonly reason: string },
): Verdict {
  if (Number.isNaN(margin)) return { verdict: 'unknown', margin, reason: 'NaN bounds' };
  if (!(margin > 0)) return { verdict: 'unknown', margin, reason };
  if (!sound) return { verdict: 'unknown', margin, reason: 'the bounds are not sound' };
  return { verdict: 'certified', margin };
}

interface BoundsEntry<S extends OptionsSchema>
  extends Entry<S>,
    Pick<VerifierEntry<S>, 'describe' | 'memoryFor'> {
  /** Bounds that are tried, cheap ones first; the last are those that the verifier is named for. */
  methods(o: v.InferOutput<S>): readonly BoundMethod[];
}

/** A verifier that proves by bounds; its options have a `norm`. */
export const byBounds = <S extends OptionsSchema>({
  methods,
  ...entry
}: BoundsEntry<S>): Verifier<S> => {
  const normOf = (o: v.InferOutput<S>): Norm => (o as { readonly norm: Norm }).norm;
  return verifier({
    ...entry,
    norm: normOf,
    method: (o) => methods(o).at(-1)!,
    parts: (job, o) => prove(job, methods(o), normOf(o)),
  } as VerifierEntry<S>);
};

/** Bounds of the outputs by a method, [n, classes] each. */
export interface OutputBounds {
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  /** Lower bounds of z_y - z_j, 0 at j = y. */
  readonly margins: Float64Array;
}

/** Bounds of the outputs of samples, and of their margins, by one method alone. */
export function provenBounds(
  method: BoundMethod,
  job: VerifyJob,
  { norm = 'linf' }: { readonly norm?: Norm } = {},
): OutputBounds {
  const problem = questionOf(job, norm);
  const { rows, region } = problem;
  const [n, k] = [region.count, sizeOf(job.model.graph.output)];
  // In front of the margins' rows: e_j and -e_j for every class.
  const count = 2 * k + rows.count;
  const matrices = rows.matrix.length / (rows.count * k) || 1;
  const matrix = new Float32Array(matrices * count * k);
  for (let m = 0; m < matrices; m++) {
    for (let j = 0; j < k; j++) {
      matrix[(m * count + j) * k + j] = 1;
      matrix[(m * count + k + j) * k + j] = -1;
    }
    const own = rows.matrix.subarray(m * rows.count * k, (m + 1) * rows.count * k);
    matrix.set(own, (m * count + 2 * k) * k);
  }
  const start = Array.from({ length: count + 1 }, (_, r) => r);
  const rhs = new Float64Array(count);
  const { lower } = whole(
    method.bound({ ...problem, rows: { ...rows, count, matrix, start, rhs } }),
  );
  const found = { lo: new Float64Array(n * k), hi: new Float64Array(n * k) };
  const margins = new Float64Array(n * k);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < k; j++) {
      const label = job.labels[i]!;
      found.lo[i * k + j] = lower[i * count + j]!;
      found.hi[i * k + j] = -lower[i * count + k + j]!;
      if (j !== label) margins[i * k + j] = lower[i * count + 2 * k + (j < label ? j : j - 1)]!;
    }
  return { ...found, margins };
}
