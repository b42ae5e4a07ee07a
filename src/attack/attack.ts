/**
 * Interface of attacks, and the bookkeeping around them: a sample must stay inside the ball and in
 * [0, 1], and counts as broken only when a fresh forward pass of the stored float32 image says so.
 */
import type * as v from 'valibot';
import type { Norm } from '../domain/balls';
import { classesOf, logits } from '../domain/classifier';
import { roundUp, U } from '../domain/rounding';
import { EspalierError, fail } from '../errors';
import type { AnyModel } from '../nn/model';
import {
  type Callable,
  completing,
  type Entry,
  type Given,
  type Options,
  type OptionsSchema,
} from '../options';
import { argmax } from '../tensor/ops/loss';
import { inOnePart, type Parts, whole } from '../tensor/parts';
import { type Shape, sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';
import type { AttackJob } from './job';
import { imagesOf, type Search, type Subject, searchAll, searching } from './search';

export type { AttackJob };

/** Methods of an attack with options O. */
interface AttackMethods<O> {
  /** The attack with all its settings, for tables. */
  describe(o: O, eps: number): string;
  /** Norm of the ball it searches. */
  norm(o: O): Norm;
  /** Passes of the network an image costs that nothing breaks, a backward pass as two; unknown where absent. */
  passes?(o: O): number;
  /** The strongest images found, [n, ...shape]; unbroken samples may come back as anything inside. */
  run(job: AttackJob, o: O): Float32Array;
  /** Images of `run`, in parts of a second or less. */
  inParts(job: AttackJob, o: O): Parts<Float32Array>;
  /** The search of one image, where the attack is written so (search.ts). */
  search?(subject: Subject, o: O): Search;
}

/** An attack, which completes the options it is given. */
export interface Attack<S extends OptionsSchema = OptionsSchema>
  extends Entry<S>,
    Callable<S>,
    AttackMethods<Given<S>> {}

/** An attack as its author writes it: `search` of one image, or `run` of a batch, or `parts` where that takes long. */
export type AttackEntry<S extends OptionsSchema, O = v.InferOutput<S>> = Entry<S> &
  Omit<AttackMethods<O>, 'run' | 'inParts' | 'search'> &
  (
    | Pick<AttackMethods<O>, 'run'>
    | { readonly parts: AttackMethods<O>['inParts'] }
    | Required<Pick<AttackMethods<O>, 'search'>>
  );

export function attack<S extends OptionsSchema>(entry: AttackEntry<S>): Attack<S> {
  const inParts = partsOf(entry);
  const run: AttackMethods<v.InferOutput<S>>['run'] = (job, o) => whole(inParts(job, o));
  const { parts: _, ...rest } = { parts: inParts, ...entry };
  const takes = { describe: 0, norm: 0, passes: 0, run: 1, inParts: 1, search: 1 };
  return completing({ ...rest, run, inParts }, takes);
}

function partsOf<S extends OptionsSchema, O = v.InferOutput<S>>(
  entry: AttackEntry<S, O>,
): AttackMethods<O>['inParts'] {
  if ('parts' in entry) return entry.parts;
  if ('run' in entry) return inOnePart(entry.run);
  return searching(entry.search);
}

export interface AttackOutcome {
  /** 1 where the sample is misclassified somewhere in its ball (or without any attack). */
  readonly broken: Uint8Array;
  readonly images: Float32Array;
  /** The part that found each image, of an attack made of several; absent for others. */
  readonly by?: readonly (string | undefined)[];
}

/** Slack of distances in L2 and L1. */
const SLACK = 1e-6;

/**
 * Attacks one batch and checks what came back. Correctly classified samples only are attacked. Raises
 * EspalierError for options the attack does not know, and where it left its ball.
 */
export function runAttack(entry: Attack, options: Options, job: AttackJob): AttackOutcome {
  const broken = wrongIn(job, job.images);
  const images = job.images.slice();
  const todo = [...broken.keys()].filter((i) => broken[i] === 0);
  if (todo.length === 0) return { broken, images };
  const found = whole(attackInParts(entry, options, pick(job, todo)));
  const size = images.length / broken.length;
  todo.forEach((i, at) => {
    broken[i] = found.broken[at]!;
    images.set(found.images.subarray(at * size, (at + 1) * size), i * size);
  });
  return { broken, images };
}

/** Attacks a batch of correctly classified samples, in parts of a second or less. */
export function* attackInParts(
  entry: Attack,
  options: Options,
  job: AttackJob,
): Parts<AttackOutcome> {
  const { search } = entry;
  if (job.oracle && !search)
    fail(entry.name, 'no defence around the network', 'one', 'Take an attack that is a search.');
  const found = search && (yield* searchAll(job, (subject) => search(subject, options)));
  const images = found ? imagesOf(found) : yield* entry.inParts(job, options);
  checkInside(job, images, entry.norm(options));
  const by = found?.some((one) => one.by) && found.map((one) => one.by);
  const broken = wrongIn(job, images);
  return { broken, images, ...(by && { by }) };
}

/** The job restricted to some of its samples. */
export function pick<J extends Pick<AttackJob, 'images' | 'labels' | 'index'>>(
  job: J,
  rows: readonly number[],
): J {
  const size = job.images.length / job.labels.length;
  const images = new Float32Array(rows.length * size);
  for (const [at, i] of rows.entries())
    images.set(job.images.subarray(i * size, (i + 1) * size), at * size);
  return {
    ...job,
    images,
    labels: Int32Array.from(rows, (i) => job.labels[i]!),
    index: Int32Array.from(rows, (i) => job.index[i]!),
  };
}

/** [n, ...input] of a job's model. */
export function batchShape(job: AttackJob): Shape {
  return [job.labels.length, ...job.model.graph.network.input];
}

/** The job's images as a tensor of the current step. */
export function batchTensor(job: AttackJob): Tensor {
  return input(job.model.engine, job.images, batchShape(job));
}

/** 1 where the predicted class is not the label, or the outputs are no numbers. */
export function wrongSamples(
  model: AnyModel,
  images: Float32Array,
  labels: ArrayLike<number>,
): Uint8Array {
  return Uint8Array.from(predictions(model, images, labels), (c, i) => (c === labels[i] ? 0 : 1));
}

/** 1 where the job's network, or what is around it, has an image wrong. */
function wrongIn({ model, oracle, labels, index }: AttackJob, images: Float32Array): Uint8Array {
  if (!oracle) return wrongSamples(model, images, labels);
  const z = oracle.logits(images, index);
  const classes = classesOf(z, z.length / labels.length);
  return Uint8Array.from(classes, (c, i) => (c === labels[i] ? 0 : 1));
}

/** The predicted class of each sample; -1, which is none, where the margin of its label is no number. */
export function predictions(
  model: AnyModel,
  images: Float32Array,
  labels: ArrayLike<number>,
): Int32Array {
  const shape = [labels.length, ...model.graph.network.input];
  return step(model.engine, () => {
    const z = logits(model, input(model.engine, images, shape));
    const margins = marginsOf(z, labels);
    return argmax(z).map((c, i) => (Number.isNaN(margins[i]!) ? -1 : c));
  });
}

/** z_y - max z_j of each sample, from logits [n, classes]: negative where it is broken. */
export function marginsOf(z: Tensor, labels: ArrayLike<number>): Float64Array {
  const k = z.shape[1]!;
  const values = z.read();
  return Float64Array.from(labels, (label, i) => {
    let best = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < k; j++) if (j !== label) best = Math.max(best, values[i * k + j]!);
    return values[i * k + label]! - best;
  });
}

/**
 * Reason, in words, why an image is outside of the ball that verifiers certify; undefined if inside.
 * L-infinity: each pixel is at most as far as the float32 numbers x - eps and x + eps that a projection
 * rounds to, which lie inside every certified box (docs/numerics.md). L2 and L1: distances in f64.
 */
export function outside(
  { eps, norm }: { readonly eps: number; readonly norm: Norm },
  x: Float32Array,
  found: Float32Array,
): string | undefined {
  const e = roundUp(eps);
  let [squares, sizes] = [0, 0];
  for (const [p, value] of found.entries()) {
    const near = value >= Math.fround(x[p]! - e) && value <= Math.fround(x[p]! + e);
    if (!(value >= 0 && value <= 1) || (norm === 'linf' && !near))
      return `a pixel of ${value} for ${x[p]}`;
    squares += (value - x[p]!) ** 2;
    sizes += Math.abs(value - x[p]!);
  }
  const distance = norm === 'l2' ? Math.sqrt(squares) : sizes;
  return norm === 'linf' || distance <= eps ? undefined : `a distance of ${distance}`;
}

/** Raises an error where an attack left its ball; in L2 and L1 float32 roundings of x + delta are allowed. */
function checkInside(job: AttackJob, found: Float32Array, norm: Norm): void {
  const size = sizeOf(job.model.graph.network.input);
  const slack = norm === 'linf' ? 0 : SLACK * (1 + job.eps) + (norm === 'l1' ? size * U : 0);
  job.labels.forEach((_, i) => {
    const [x, image] = [job.images, found].map((all) => all.subarray(i * size, (i + 1) * size));
    const got = outside({ eps: job.eps + slack, norm }, x!, image!);
    if (got === undefined) return;
    throw new EspalierError(
      `attack on sample ${job.index[i]!}: expected an image in [0, 1] inside the ball, got ${got}. This is a bug of the attack.`,
    );
  });
}
