/**
 * Any data set in one NumPy archive, under the names that published `.npz` data sets use: `x_train`,
 * `y_train`, `x_test`, `y_test`; other arrays are left alone.
 *
 * Images are [n, h, w], [n, c, h, w] or [n, h, w, c] of whole numbers in [0, 255]. Of four axes the last
 * is channels where it is at most 4 and both before it are more. Labels are whole numbers from 0 of any
 * type, [n] or [n, 1], or one-hot rows [n, classes].
 */
import { expect, fail } from '../errors';
import { readPlainOrGzip } from '../io/files';
import type { NpyArray } from '../io/npy';
import { fromArrays, type SplitArrays } from './arrays';
import { channelsLast } from './layout';
import type { DataSource } from './types';

const MAX_BYTES = 2 ** 31;
const MAX_CHANNELS = 4;

export const npz: DataSource = {
  title: 'NumPy archive',
  about:
    'your own: path to an .npz with x_train, y_train, x_test, y_test (images of 0 to 255, [n, h, w], [n, c, h, w] or [n, h, w, c]; labels or one-hot rows).',
  async load({ path }) {
    if (path === undefined) fail('npz', 'a path', 'none', 'Give the .npz file as data.path.');
    const bytes = await readPlainOrGzip(path, MAX_BYTES);
    const { isZip } = await import('../io/zip');
    if (!isZip(bytes)) {
      const { describeStart } = await import('../io/kind');
      fail(path, 'an npz (a NumPy archive, by np.savez)', describeStart(bytes));
    }
    const { openNpz } = await import('../io/npz');
    const { names, read } = openNpz(bytes, path);
    const get = (name: string): NpyArray =>
      names.includes(name) ? read(name) : fail(path, `an array ${name}`, names.slice(0, 20));
    const split = (name: string): Part => {
      const images = imagesOf(get(`x_${name}`), `${path}: x_${name}`);
      const labels = labelsOf(get(`y_${name}`), images.count, `${path}: y_${name}`);
      return { ...images, labels };
    };
    const [train, test] = [split('train'), split('test')];
    expect(
      String(train.shape) === String(test.shape),
      path,
      'training and test images of one shape',
      [train, test].map(({ shape }) => `[${shape}]`).join(' and '),
    );
    const classes = Math.max(highest(train.labels), highest(test.labels));
    return fromArrays({
      name: 'npz',
      title: path,
      shape: train.shape,
      classes: Array.from({ length: classes }, (_, label) => String(label)),
      train: { images: train.images, labels: train.labels.values },
      test: { images: test.images, labels: test.labels.values },
      source: train.last || test.last ? `${path}, its channels last` : path,
    });
  },
};

interface Images {
  readonly images: SplitArrays['images'];
  readonly shape: readonly [number, number, number];
  readonly count: number;
  /** True where the channels came last. */
  readonly last: boolean;
}

interface Labels {
  readonly values: Uint8Array;
  /** Length of the rows, where labels are one-hot. */
  readonly classes: number;
}

interface Part extends Images {
  readonly labels: Labels;
}

function highest({ values, classes }: Labels): number {
  return values.reduce((most, label) => Math.max(most, label + 1), classes);
}

/** Images as bytes [n, c, h, w]. */
function imagesOf({ dtype, shape, values }: NpyArray, who: string): Images {
  const [count = 0, ...axes] = shape;
  const fits = axes.length === 2 || axes.length === 3;
  expect(fits, who, 'shape [n, h, w], [n, c, h, w] or [n, h, w, c]', `[${shape.join(', ')}]`);
  expect(!shape.includes(0), who, 'one image or more', `shape [${shape.join(', ')}]`);
  const stored = pixelsOf(dtype, values, who);
  const [a, b, c] = axes.length === 2 ? [1, axes[0]!, axes[1]!] : [axes[0]!, axes[1]!, axes[2]!];
  const last = axes.length === 3 && c <= MAX_CHANNELS && a > MAX_CHANNELS && b > MAX_CHANNELS;
  if (!last) return { images: stored, shape: [a, b, c], count, last };
  const place = channelsLast([c, a, b]);
  const size = place.length;
  const images = new Uint8Array(stored.length);
  for (let at = 0; at < stored.length; at += size)
    for (let i = 0; i < size; i++) images[at + i] = stored[at + place[i]!]!;
  return { images, shape: [c, a, b], count, last };
}

/** Pixels 0 to 255 as bytes; of other types than uint8 they must be more than 0 and 1. */
function pixelsOf(dtype: string, values: NpyArray['values'], who: string): Uint8Array {
  if (values instanceof Uint8Array && dtype === 'U8') return values;
  const [lo, hi] = rangeOf(values);
  if (hi <= 1)
    fail(
      who,
      'bytes (uint8) of 0 to 255',
      `${dtype} values in [${lo}, ${hi}]`,
      'Save images in [0, 1] as (255 * x).round().astype("uint8").',
    );
  const bytes = Uint8Array.from(values);
  const wrong = bytes.findIndex((byte, i) => byte !== values[i]);
  if (wrong >= 0)
    fail(
      who,
      'bytes (uint8), or whole numbers of 0 to 255',
      `${values[wrong]} (${dtype}) at ${wrong}`,
      'Undo the normalisation and save x.round().astype("uint8").',
    );
  return bytes;
}

function rangeOf(values: NpyArray['values']): [number, number] {
  let [lo, hi] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  return [lo, hi];
}

/** The labels of `count` images. */
function labelsOf({ shape, values }: NpyArray, count: number, who: string): Labels {
  const [length = 0, ...axes] = shape;
  const width = axes.reduce((product, size) => product * size, 1);
  expect(
    shape.length >= 1 && axes.filter((size) => size !== 1).length <= 1,
    who,
    'labels of shape [n] or [n, 1], or one-hot rows [n, classes]',
    `shape [${shape.join(', ')}]`,
  );
  const fits = length === count;
  expect(fits, who, `${count} labels, one image a label`, `shape [${shape.join(', ')}]`);
  return width === 1 ? wholeLabels(values, who) : oneHot(values, width, who);
}

function wholeLabels(values: NpyArray['values'], who: string): Labels {
  const labels = Uint8Array.from(values);
  const wrong = labels.findIndex((label, i) => label !== values[i]);
  expect(wrong < 0, who, 'whole numbers in [0, 255]', values[wrong]);
  return { values: labels, classes: 0 };
}

function oneHot(values: NpyArray['values'], classes: number, who: string): Labels {
  expect(classes <= 256, who, 'at most 256 classes', classes);
  const labels = new Uint8Array(values.length / classes);
  for (const row of labels.keys()) {
    const items = values.subarray(row * classes, (row + 1) * classes);
    const hot = items.indexOf(1);
    const sound = hot >= 0 && items.every((value, i) => value === (i === hot ? 1 : 0));
    const got = `row ${row} = [${[...items.subarray(0, 8)].join(', ')}${classes > 8 ? ', ...' : ''}]`;
    expect(sound, who, 'one-hot rows, of one 1 and zeros', got);
    labels[row] = hot;
  }
  return { values: labels, classes };
}
