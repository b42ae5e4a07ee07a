/**
 * Attacks written for one image: a search asks for logits, and for gradients of a loss of them, at images of
 * its choice, and goes on with the answers. The searches of a batch run side by side: what they ask is answered
 * together, and the place of one that has ended goes to the next image, so nothing is computed for images
 * that have fallen. Rows of a batch do not see each other, so results do not depend on how it was put together.
 *
 * Cost: one forward pass a question, one backward pass where a gradient is asked for; the arithmetic of a
 * search itself is a few passes over the image's pixels.
 */
import { classesOf, logits } from '../domain/classifier';
import type { AnyModel } from '../nn/model';
import { mul, reshape, sum } from '../tensor/ops/core';
import type { Parts } from '../tensor/parts';
import type { Shape } from '../tensor/shape';
import { gradients } from '../tensor/tape';
import { input, step } from '../tensor/tensor';
import type { AttackJob, Oracle } from './job';

/** An image under attack. */
export interface Subject {
  /** Clean, in [0, 1], row-major. */
  readonly image: Float32Array;
  /** Shape of the image. */
  readonly shape: Shape;
  readonly label: number;
  readonly eps: number;
  readonly seed: number;
  /** Position in the data set. */
  readonly index: number;
}

/** Derivatives of a loss with respect to the logits, from the logits [classes]. */
export type Slope = (z: Float32Array) => ArrayLike<number>;

export interface Query {
  readonly image: Float32Array;
  /** The slope of the loss whose gradient is wanted; without it only logits are. */
  readonly slope?: Slope;
}

export interface Answer {
  /** Logits [classes]. */
  readonly z: Float32Array;
  /** Gradient of the loss with respect to the image; empty where none was asked for. */
  readonly gradient: Float32Array;
}

/** The strongest image of a search. */
export interface Found {
  readonly image: Float32Array;
  /** z_y - max z_j. */
  readonly margin: number;
  /** Whether the image is misclassified. */
  readonly broken: boolean;
  /** The attack that found it, where the search is made of several. */
  readonly by?: string;
}

/** A part of a search: it asks several questions at a time, gets as many answers, and returns what it wanted. */
export type Asking<T> = Generator<readonly Query[], T, readonly Answer[]>;

/** A search for the strongest image. */
export type Search = Asking<Found>;

/** A network as an oracle. */
export function oracleOf(model: AnyModel): Oracle {
  const { engine, graph } = model;
  const batch = (images: Float32Array, n: number) =>
    input(engine, images, [n, ...graph.network.input]);
  return {
    logits: (images, index) =>
      step(engine, () => logits(model, batch(images, index.length)).read()),
    gradient: (images, index, weights) =>
      step(engine, () => {
        const at = batch(images, index.length);
        const { result, gradients: found } = gradients(engine, [at], () => {
          const all = logits(model, at);
          const z = all.read();
          const shape = [index.length, z.length / index.length];
          return { loss: sum(mul(reshape(all, shape), input(engine, weights(z), shape))), z };
        });
        return { z: result.z, gradient: found[0]!.read() };
      }),
  };
}

/** Most searches side by side, and most images in a pass. */
const LANES = 64;
const PASS = 128;

/** `parts` of an attack from its search of one image. */
export const searching = <O>(search: (subject: Subject, o: O) => Search) =>
  function* (job: AttackJob, o: O): Parts<Float32Array> {
    return imagesOf(yield* searchAll(job, (subject) => search(subject, o)));
  };

/** The images of results, [n, ...shape]. */
export function imagesOf(found: readonly Found[]): Float32Array {
  const size = found[0]?.image.length ?? 0;
  const images = new Float32Array(found.length * size);
  for (const [i, { image }] of found.entries()) images.set(image, i * size);
  return images;
}

/** The result of every image's search, a pass of the network a part. */
export function* searchAll(
  job: AttackJob,
  search: (subject: Subject) => Search,
): Parts<readonly Found[]> {
  const oracle = job.oracle ?? oracleOf(job.model);
  const found: Found[] = [];
  const lanes: Lane[] = [];
  let next = 0;
  const advance = (lane: Lane, answers?: readonly Answer[]): boolean => {
    const { value, done } = answers ? lane.search.next(answers) : lane.search.next();
    if (done) found[lane.row] = value;
    else lane.queries = value;
    return !done;
  };
  for (;;) {
    while (lanes.length < LANES && next < job.labels.length) {
      const lane: Lane = { row: next, search: search(subjectOf(job, next++)), queries: [] };
      if (advance(lane)) lanes.push(lane);
    }
    if (lanes.length === 0) return found;
    const answers = yield* answerAll(oracle, job, lanes);
    const open = lanes.filter((lane, i) => advance(lane, answers[i]!));
    lanes.splice(0, lanes.length, ...open);
  }
}

interface Lane {
  readonly row: number;
  readonly search: Search;
  queries: readonly Query[];
}

function subjectOf({ model, images, labels, index, eps, seed }: AttackJob, row: number): Subject {
  const size = images.length / labels.length;
  const image = images.slice(row * size, (row + 1) * size);
  const shape = model.graph.network.input;
  return { image, shape, label: labels[row]!, index: index[row]!, eps, seed };
}

/** The answers to every lane's questions: those that want gradients, and those that do not, in passes. */
function* answerAll(oracle: Oracle, job: AttackJob, lanes: readonly Lane[]): Parts<Answer[][]> {
  const answers = lanes.map((): Answer[] => []);
  const asked = lanes.flatMap(({ queries, row }, lane) =>
    queries.map((query, at) => ({ query, lane, at, index: job.index[row]! })),
  );
  for (const wanted of [true, false]) {
    const kind = asked.filter(({ query }) => (query.slope !== undefined) === wanted);
    for (let from = 0; from < kind.length; from += PASS) {
      const part = kind.slice(from, from + PASS);
      const queries = part.map(({ query }) => query);
      const index = Int32Array.from(part, (one) => one.index);
      for (const [i, answer] of passOf(oracle, queries, index).entries())
        answers[part[i]!.lane]![part[i]!.at] = answer;
      job.onPass?.({ forwards: part.length, backwards: wanted ? part.length : 0 });
      yield;
    }
  }
  return answers;
}

/** The answers to one pass: all of its questions want gradients, or none. */
function passOf(oracle: Oracle, queries: readonly Query[], index: Int32Array): Answer[] {
  const size = queries[0]!.image.length;
  const images = new Float32Array(queries.length * size);
  for (const [i, { image }] of queries.entries()) images.set(image, i * size);
  const rowOf = (all: Float32Array, i: number): Float32Array => {
    const width = all.length / queries.length;
    return all.subarray(i * width, (i + 1) * width);
  };
  if (!queries[0]!.slope) {
    const z = oracle.logits(images, index);
    return queries.map((_, i) => ({ z: rowOf(z, i), gradient: new Float32Array() }));
  }
  const { z, gradient } = oracle.gradient(images, index, (all) => {
    const weights = new Float32Array(all.length);
    for (const [i, { slope }] of queries.entries())
      weights.set(slope!(rowOf(all, i)), (i * all.length) / queries.length);
    return weights;
  });
  return queries.map((_, i) => ({ z: rowOf(z, i), gradient: rowOf(gradient, i) }));
}

/** An image with its logits, as a result: broken where the first greatest logit is not the label's, or is NaN. */
export function foundAt({ label }: Subject, image: Float32Array, z: Float32Array): Found {
  let best = Number.NEGATIVE_INFINITY;
  for (const [j, value] of z.entries()) if (j !== label) best = Math.max(best, value);
  const margin = z[label]! - best;
  const broken = Number.isNaN(margin) || classesOf(z, z.length)[0] !== label;
  return { image, margin, broken };
}

/** The stronger of two results: one that is broken, else the one of the lesser margin. */
export function stronger(a: Found | undefined, b: Found): Found {
  if (!a || (b.broken && !a.broken)) return b;
  return a.broken || !(b.margin < a.margin) ? a : b;
}

/** The strongest result of searches in order: the first that breaks the image ends it. */
export function* inOrder(searches: Iterable<Search>): Search {
  let best: Found | undefined;
  for (const search of searches) {
    best = stronger(best, yield* search);
    if (best.broken) break;
  }
  return best!;
}

/** The result of a search, under the name of the attack that made it. */
export function* named(by: string, search: Search): Search {
  return { ...(yield* search), by };
}

/** The classes but for the label, the likeliest first: what targeted attacks aim at. */
export function rivalsOf({ label }: Subject, z: Float32Array): number[] {
  return [...z.keys()].filter((j) => j !== label).sort((a, b) => z[b]! - z[a]! || a - b);
}

/** The logits of the clean image. */
export const cleanLogits = ({ image }: Subject): Asking<Float32Array> => logitsAt(image);

/** The logits of an image. */
export function* logitsAt(image: Float32Array): Asking<Float32Array> {
  const [answer] = yield [{ image }];
  return answer!.z;
}
