/**
 * Any data set in one NumPy archive, under the names that published `.npz` data sets use: `x_train`,
 * `y_train`, `x_test`, `y_test`. Images are bytes, [n, h, w] or [n, c, h, w]; labels are whole numbers
 * from 0.
 */
import { expect, fail } from '../errors';
import { readFile } from '../io/files';
import type { NpyArray } from '../io/npy';
import { fromArrays, type SplitArrays } from './arrays';
import type { DataSource } from './types';

const MAX_BYTES = 2 ** 31;

export const npz: DataSource = {
  title: 'NumPy archive',
  about:
    'your own: path to an .npz with x_train, y_train, x_test, y_test (bytes, [n, h, w] or [n, c, h, w]).',
  async load({ path }) {
    if (path === undefined) fail('npz', 'a path', 'none', 'Give the .npz file as data.path.');
    const { readNpz } = await import('../io/npz');
    const arrays = readNpz(await readFile(path, MAX_BYTES), path);
    const get = (name: string): NpyArray =>
      arrays.get(name) ?? fail(path, `an array ${name}`, [...arrays.keys()]);
    const shapes = ['x_train', 'x_test'].map((name) => sampleShape(get(name), `${path}: ${name}`));
    expect(
      String(shapes[0]) === String(shapes[1]),
      path,
      'training and test images of one shape',
      shapes.map((shape) => `[${shape}]`).join(' and '),
    );
    const split = (name: string): SplitArrays => ({
      images: get(`x_${name}`).values as Uint8Array,
      labels: labelsOf(get(`y_${name}`), `${path}: y_${name}`),
    });
    const [train, test] = [split('train'), split('test')];
    const highest = [...train.labels, ...test.labels].reduce((a, b) => Math.max(a, b), 0);
    const classes = Array.from({ length: highest + 1 }, (_, label) => String(label));
    return fromArrays({
      name: 'npz',
      title: path,
      shape: shapes[0]!,
      classes,
      train,
      test,
      source: path,
    });
  },
};

function sampleShape({ dtype, shape }: NpyArray, who: string): readonly [number, number, number] {
  expect(dtype === 'U8', who, 'bytes (uint8)', dtype);
  const fits = shape.length === 3 || shape.length === 4;
  expect(fits, who, 'shape [n, h, w] or [n, c, h, w]', `[${shape}]`);
  const [c, h, w] = shape.length === 3 ? [1, shape[1]!, shape[2]!] : shape.slice(1);
  return [c!, h!, w!];
}

function labelsOf({ values }: NpyArray, who: string): Uint8Array {
  const labels = Uint8Array.from(values);
  const wrong = labels.findIndex((label, i) => label !== values[i]);
  expect(wrong < 0, who, 'whole numbers in [0, 255]', values[wrong]);
  return labels;
}
