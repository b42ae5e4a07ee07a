/**
 * Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747; MIT licence): 60 000 + 10 000
 * pictures of clothes, 28 x 28.
 *
 * From a folder of IDX files or, without a path, from where Debian's package
 * `dataset-fashion-mnist` installs them.
 */
import { fail } from '../errors';
import { kindOf } from '../io/files';
import { loadIdx } from './idx';
import type { DataOptions, DataSet, DataSource } from './types';

/** The folder of Debian's package, the same on every Debian system. */
const DEBIAN = '/usr/share/datasets/fashion-mnist';
const CLASSES = 'T-shirt/top,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,ankle boot'.split(
  ',',
);
const HINT =
  'On Debian run `apt-get install dataset-fashion-mnist`, or give the folder of the four IDX ' +
  'files as path.';

export const fashionMnist: DataSource = {
  title: 'Fashion-MNIST',
  about:
    '28 x 28 clothes, 60 000 + 10 000; `apt-get install dataset-fashion-mnist`, or path to IDX files.',
  async load({ path }: DataOptions): Promise<DataSet> {
    const family = {
      name: 'fashion-mnist',
      title: fashionMnist.title,
      shape: [1, 28, 28],
      classes: CLASSES,
      source: 'Fashion-MNIST, H. Xiao, K. Rasul, R. Vollgraf, MIT licence',
      hint: HINT,
    } as const;
    if (path !== undefined) return loadIdx(family, path, `IDX files in ${path}`);
    if ((await kindOf(DEBIAN)) !== 'folder')
      return fail('fashion-mnist', `a path, or Debian's ${DEBIAN}`, 'neither', HINT);
    return loadIdx(family, DEBIAN, 'Debian package dataset-fashion-mnist');
  },
};
