/**
 * Randomised smoothing over a data set: certified accuracy by L2 radius. These are probabilistic answers
 * about a smoothed classifier, so they are reported apart from the deterministic accuracies.
 */
import { fingerprint } from '../check/check';
import type { DataSet } from '../data/types';
import { predictorOf } from '../domain/predictor';
import { EspalierError } from '../errors';
import { lower } from '../nn/lower';
import { freeModel, type Model } from '../nn/model';
import { supportZeros } from '../nn/support';
import { proportion } from '../report/binomial';
import type { Proportion } from '../report/types';
import { type Smoothed, smoothInParts } from '../verify/smoothing';
import { batchOf, checkFits } from './evaluate';
import type { Listener, StopSignal } from './events';
import { Journal, type JournalRecord } from './journal';
import { inSlices } from './slices';

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
  set: DataSet,
  options: SmoothOptions,
): Promise<SmoothResult> {
  checkFits(model, set);
  const { limit, batch, out, onEvent, signal } = options;
  const { sigma, n0, n, alpha, seed, radii } = options;
  const settings: SmoothSettings = { sigma, n0, n, alpha, seed, radii };
  const total = Math.min(set.test.count, limit ?? set.test.count);
  const canonical = supportZeros(lower(model));
  const predictor = predictorOf(canonical);
  let journal: Journal | undefined;
  try {
    if (out !== undefined) journal = await Journal.open(out);
    const head = {
      event: 'smooth',
      model: await fingerprint(canonical),
      data: set.name,
      ...settings,
    };
    const images = journal ? await continued(journal, head) : [];
    const [started, before] = [performance.now(), images.length];
    onEvent?.({ type: 'phase', phase: 'smooth', title: 'smooth', total, done: before });
    for (let index = before; index < total; index++) {
      const saved =
        out === undefined ? 'Nothing was kept; --out keeps it.' : `${out} has ${index} images.`;
      const { images: pixels, labels } = batchOf(set, set.test, index, index + 1);
      const parts = smoothInParts(canonical, pixels, index, {
        ...settings,
        ...(batch && { batch }),
        classes: predictor.classes,
      });
      const found = await inSlices(parts, { signal, saved });
      const record = { event: 'image', index, label: labels[0]!, ...found };
      await journal?.append(record);
      images.push({ index, label: labels[0]!, ...found });
      const rate = (1000 * (index + 1 - before)) / (performance.now() - started);
      const metrics = { radius: found.radius };
      onEvent?.({ type: 'progress', done: index + 1, total, rate, unit: 'images', metrics });
    }
    return summarise(images.slice(0, total), radii);
  } finally {
    predictor.free();
    freeModel(canonical);
    await journal?.close();
  }
}

/** The images of a journal that began with the same settings; a new one is begun. */
async function continued(journal: Journal, head: JournalRecord): Promise<SmoothImage[]> {
  const [first, ...rest] = journal.records;
  if (!first) {
    await journal.append(head);
    return [];
  }
  if (JSON.stringify(first) !== JSON.stringify(head))
    throw new EspalierError(
      `${journal.path}: expected a journal of this model, data and settings, got another's. Choose another file, or remove this one.`,
    );
  return rest.map((record) => {
    const { event, ...image } = record as JournalRecord & SmoothImage;
    return image;
  });
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
