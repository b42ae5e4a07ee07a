/**
 * What the bundle of `espalier/runtime` leaves out: ways to compute with dense weights, linear bounds and
 * training, which a compact model never takes (src/edge/layers.ts), though its layers can.
 */

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** Source -> what stands for it. */
const ABSENT = {
  'src/tensor/supports.ts':
    'const none = () => undefined; export { none as supportFor, none as setSupport, none as dropSupport };',
  'src/tensor/supported.ts':
    'export const supportedProduct = 0, supportedRadius = 0, supportedTranspose = 0;',
  'src/domain/forms.ts': 'export const forms = {}, formCost = 0;',
  'src/statistics.ts': 'export const normalCdf = 0, normalDensity = 0;',
  'src/tensor/sparse-blocks.ts':
    'export const BLOCK = 4, blocksOf = 0, fillingOf = 0, patternOf = 0;',
};

/** What convolutions ask of dense products: their sizes, and else nothing that is called. */
const SIZES =
  'export { convSize } from "./product"; export const conv2d = 0, conv2dInputGrad = 0, conv2dRows = 0;';

const isConvolution = (path) => path.replaceAll('\\', '/').endsWith('src/nn/layers/conv2d.ts');

/** What help texts say of a layer; and what only linear bounds, pruning and references ask of it, a line each. */
const UNREAD = [
  /\babout:\s*'[^'\n]*',/g,
  /^ {2,4}(relax|kink|pick|scalar|flow|macs|backTerms): [^\n]*,\n/gm,
];

/** Parts of the table of kernels that the runtime's binary has none of. */
const KERNELS =
  /^ {2}\/\/ (Convolution|Rows of|Classification|Optimisers|Random|Pruning)[\s\S]*?(?=^ {2}\/\/ |^\})/gm;

/** A plugin of esbuild. */
export const withoutDense = {
  name: 'without-dense',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /[\\/]ops[\\/]product$/ }, ({ path, importer, resolveDir }) =>
      isConvolution(importer) ? { path: resolve(resolveDir, path), namespace: 'sizes' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'sizes' }, ({ path }) => ({
      contents: SIZES,
      resolveDir: dirname(path),
    }));
    onLoad({ filter: /[\\/]nn[\\/]layers[\\/]\w+\.ts$/ }, async ({ path }) => ({
      contents: UNREAD.reduce((text, part) => text.replace(part, ''), await readFile(path, 'utf8')),
      loader: 'ts',
    }));
    onLoad({ filter: /[\\/]runtime[\\/]kernels\.ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replace(KERNELS, ''),
      loader: 'ts',
    }));
    onLoad(
      { filter: /[\\/](supports|supported|forms|sparse-blocks|statistics)\.ts$/ },
      ({ path }) => {
        const file = Object.keys(ABSENT).find((one) => path.replaceAll('\\', '/').endsWith(one));
        return file && { contents: ABSENT[file] };
      },
    );
  },
};
