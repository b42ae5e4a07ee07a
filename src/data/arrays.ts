/**
 * Data sets from arrays in memory: the user's own data, checked as strictly as a file's.
 */
import { expect } from '../errors';
import { sha256 } from './sha256';
import type { DataSet, Split } from './types';

/** One split's bytes: images [count, C, H, W] row-major, labels [count]. */
export interface SplitArrays {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

export interface ArraysInput {
  readonly name: string;
  /** [C, H, W]. */
  readonly shape: readonly [number, number, number];
  /** One name a class, 1 to 256 of them. */
  readonly classes: readonly string[];
  readonly train: SplitArrays;
  readonly test: SplitArrays;
  /** The pixel value that means 1.0, 1 to 255; no pixel may be above it. Default 255. */
  readonly unit?: number;
  /** Name for tables; default `name`. */
  readonly title?: string;
  /** Provenance in words. */
  readonly source?: string;
}

/**
 * A data set over the given arrays, which are kept, not copied. Raises EspalierError if sizes do not
 * agree, a label has no class, or a pixel is above `unit`.
 */
export async function fromArrays(input: ArraysInput): Promise<DataSet> {
  const { name, shape, classes, unit = 255 } = input;
  const fits = shape.length === 3 && shape.every((size) => Number.isInteger(size) && size >= 1);
  expect(fits, `${name}.shape`, 'three integers [C, H, W] >= 1', shape);
  const sound = classes.length >= 1 && classes.length <= 256;
  expect(sound, `${name}.classes`, '1 to 256 names', classes.length);
  const right = Number.isInteger(unit) && unit >= 1 && unit <= 255;
  expect(right, `${name}.unit`, 'an integer in [1, 255]', unit);
  const limits = { size: shape[0] * shape[1] * shape[2], classes: classes.length, unit };
  return {
    name,
    title: input.title ?? name,
    shape,
    classes,
    unit,
    train: toSplit(input.train, limits, `${name}.train`),
    test: toSplit(input.test, limits, `${name}.test`),
    source: input.source ?? 'arrays in memory',
    sha256: await sha256([
      input.train.images,
      input.train.labels,
      input.test.images,
      input.test.labels,
    ]),
  };
}

interface Limits {
  /** Bytes an image. */
  readonly size: number;
  readonly classes: number;
  readonly unit: number;
}

/** Checks one split's sizes, labels and pixels. Raises EspalierError beginning with `who`. */
function toSplit({ images, labels }: SplitArrays, limits: Limits, who: string): Split {
  const count = labels.length;
  expect(
    images.length === count * limits.size,
    `${who}.images`,
    `${count} x ${limits.size} bytes, one image a label`,
    images.length,
  );
  checkBelow(labels, limits.classes, `${who}.labels`, 'labels');
  if (limits.unit < 255) checkBelow(images, limits.unit + 1, `${who}.images`, 'pixels');
  return { images, labels, count };
}

/** Every byte below `limit`, or an error naming the first that is not. */
export function checkBelow(bytes: Uint8Array, limit: number, who: string, what: string): void {
  const bad = bytes.findIndex((byte) => byte >= limit);
  if (bad >= 0) expect(false, who, `${what} in [0, ${limit - 1}]`, `${bytes[bad]} at ${bad}`);
}
