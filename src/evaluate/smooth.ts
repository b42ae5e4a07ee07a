/**
 * Randomised smoothing over a data set: certified accuracy by L2 radius. These are probabilistic answers
 * about a smoothed classifier, so they are reported apart from the deterministic accuracies.
 *
 * A journal holds a line an image, told apart by its position: what two processes have both done counts
 * once, in any order.
 */
import * as v from 'valibot';
import { fingerprint } from '../check/check';
import { batchOf } from '../data/batches';
import { fitted } from '../data/layout';
import type { DataSet } from '../data/types';
import { EspalierError, fail } from '../errors';
import type { Listener, StopSignal } from '../events';
import { Journal, type JournalRecord } from '../io/journal';
import { freezeSparsity } from '../nn/freeze';
import { lower } from '../nn/lower';
import { freeModel, type Model } from '../nn/model';
import { parseOptions, real, whole } from '../options';
import { predictorOf } from '../plan/predictor';
import { proportion } from '../report/binomial';
import type { Proportion } from '../report/types';
import { type Smoothed, smoothInParts } from '../verify/smoothing';
import { type InTurn, inSlices, inTurn } from './slices';

export interface SmoothSettings {
  readonly sigma: number;
  readonly n0: number;
  readonly n: number;
  readonly alpha: number;
  readonly seed: number;
  /** L2 radii to count at. */
  readonly radii: readonly number[];
}

export interface SmoothOptions extends SmoothSettings {
  /** The first images of the test split; all without it. */
  readonly limit?: number;
  readonly batch?: number;
  /** A journal with a line an image; where it exists it is continued. */
  readonly out?: string;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

export interface SmoothImage extends Smoothed {
  readonly index: number;
  readonly label: number;
}

/** A journal of another version holds numbers that were made otherwise. */
const VERSION = 2;

export interface SmoothResult {
  /** Certified accuracy by radius, in the order of `radii`: right, and kept all over the ball. */
  readonly certified: readonly { readonly radius: number; readonly accuracy: Proportion }[];
  /** Mean certified radius, wrong answers and abstentions counting 0. */
  readonly meanRadius: number;
  readonly abstained: number;
  readonly draws: number;
  readonly images: readonly SmoothImage[];
}

export async function smoothSet(
  model: Model,
  given: DataSet,
  options: SmoothOptions,
): Promise<SmoothResult> {
  const set = fitted(model, given, options.onEvent);
  const { limit, batch, out, onEvent, signal } = options;
  const { sigma, n0, n, alpha, seed, radii } = options;
  const settings: SmoothSettings = { sigma, n0, n, alpha, seed, radii };
  const total = Math.min(set.test.count, limit ?? set.test.count);
  const canonical = freezeSparsity(lower(model));
  const predictor = predictorOf(canonical);
  let journal: Journal | undefined;
  try {
    if (out !== undefined) journal = await Journal.open(out);
    const head = {
      event: 'smooth',
      version: VERSION,
      model: await fingerprint(canonical),
      data: set.name,
      ...settings,
    };
    const images = journal ? await continued(journal, head, set) : new Map<number, SmoothImage>();
    const missing = Array.from({ length: total }, (_, i) => i).filter((i) => !images.has(i));
    const told: InTurn<SmoothImage> = {
      ...{ phase: 'smooth', unit: 'images', before: total - missing.length, onEvent, signal },
      get saved() {
        return journal ? `${out} has ${images.size} images.` : 'Nothing was kept; --out keeps it.';
      },
      metrics: (results) => ({ radius: results.at(-1)!.radius }),
    };
    const limits = { ...settings, ...(batch && { batch }), classes: predictor.classes };
    await inTurn(missing, told, async (index) => {
      const { images: pixels, labels } = batchOf(set, set.test, index, index + 1);
      const found = await inSlices(smoothInParts(canonical, pixels, index, limits), told);
      const image = { index, label: labels[0]!, ...found };
      await journal?.append({ event: 'image', ...image } as JournalRecord);
      images.set(index, image);
      return image;
    });
    return summarise(
      Array.from({ length: total }, (_, i) => images.get(i)!),
      radii,
    );
  } finally {
    predictor.free();
    freeModel(canonical);
    await journal?.close();
  }
}

/** The images of a journal, by position, that began with the same settings; a new one is begun. */
async function continued(
  journal: Journal,
  head: JournalRecord,
  set: DataSet,
): Promise<Map<number, SmoothImage>> {
  const found = new Map<number, SmoothImage>();
  if (journal.records.length === 0) await journal.append(head);
  for (const [at, record] of journal.records.entries()) {
    // Two processes that began at once wrote it twice.
    if (at === 0 || record.event === 'smooth') {
      if (JSON.stringify(record) !== JSON.stringify(head))
        throw new EspalierError(
          `${journal.path}: expected a journal of this model, data and settings, got another's. Choose another file, or remove this one.`,
        );
      continue;
    }
    const image = imageOf(record, set, `${journal.path}: line ${at + 1}`);
    const same = found.get(image.index);
    if (same && JSON.stringify(same) !== JSON.stringify(image))
      fail(journal.path, 'one answer an image', `two of image ${image.index}`, 'Remove this file.');
    found.set(image.index, image);
  }
  return found;
}

/** A line of a journal, checked. */
function imageOf(record: JournalRecord, set: DataSet, who: string): SmoothImage {
  const { test, classes } = set;
  const schema = v.strictObject({
    event: v.literal('image'),
    index: whole(0, test.count - 1),
    label: whole(0, classes.length - 1),
    predicted: v.nullable(whole(0, classes.length - 1)),
    radius: real(0),
    draws: whole(1),
  });
  const { event, ...image } = parseOptions(schema, record, who);
  const { index, label, predicted, radius } = image;
  if (label !== test.labels[index]) fail(who, `label ${test.labels[index]}`, label);
  if ((predicted === null) !== (radius === 0))
    fail(who, 'a radius of 0 without an answer, and only then', radius);
  return image;
}

export function summarise(images: readonly SmoothImage[], radii: readonly number[]): SmoothResult {
  const right = images.filter(({ predicted, label }) => predicted === label);
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return {
    certified: radii.map((radius) => {
      const kept = right.filter((image) => image.radius >= radius).length;
      return { radius, accuracy: proportion(kept, images.length) };
    }),
    meanRadius: images.length === 0 ? 0 : sum(right.map(({ radius }) => radius)) / images.length,
    abstained: images.filter(({ predicted }) => predicted === null).length,
    draws: sum(images.map(({ draws }) => draws)),
    images,
  };
}
