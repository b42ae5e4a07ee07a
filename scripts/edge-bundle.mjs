/**
 * What the bundle of `espalier/runtime` leaves out: ways to compute with dense weights, linear bounds and
 * training, which a compact model never takes (src/edge/model.ts), though its layers can.
 */

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import ts from 'typescript';

/** Source -> what stands for it. */
const ABSENT = {
  'src/sparse/representation.ts': "export const chooseRepresentation = () => 'sparse';",
  'src/plan/algorithms.ts': 'export const forms = {}, formCost = 0;',
  'src/plan/choice.ts':
    "import { operatorOf } from '../nn/model'; export const weightOf = ({ params }, node) => operatorOf(node, params).weight, lanesOf = (n) => Math.min(n, 16), isBare = () => true, sparseForm = () => ['csr'], zerosPayAt = isBare, zerosPay = isBare;",
  'src/sparse/blocks.ts': 'export const BLOCK = 4, fillingOf = 0, copiedRows = 0, keptOfEvery = 0;',
  'src/statistics.ts': 'export const normalCdf = 0, normalDensity = 0;',
};

/** What operators ask of dense products, none of which is called. */
const NONE =
  'export const convolution = 0, convolutionInputGrad = 0, convolutionRows = 0, matmul = 0;';

const isOperator = (path) => path.replaceAll('\\', '/').endsWith('src/nn/operators/product.ts');

/** What help texts say of a layer; and what only linear bounds, pruning and references ask of it, a line each. */
const UNREAD = [
  /\babout:\s*'[^'\n]*',/g,
  /^ {2,4}(relax|kink|pick|scalar|flow|macs|backTerms): [^\n]*,\n/gm,
];

/** Parts of the table of kernels that the runtime's binary has none of. */
const KERNELS =
  /^ {2}\/\/ (Convolution|Rows of|Classification|Optimisers|Random|Pruning)[\s\S]*?(?=^ {2}\/\/ |^\})/gm;

/** A source whose operations leave out their pullbacks: nothing is differentiated at the edge. */
function withoutPullbacks(text) {
  const source = ts.createSourceFile('op.ts', text, ts.ScriptTarget.Latest, true);
  const spans = [];
  const visit = (node) => {
    const isRecord = ts.isCallExpression(node) && node.expression.getText() === 'record';
    if (isRecord) spans.push([node.arguments[2].getStart(), node.arguments[2].end]);
    else ts.forEachChild(node, visit);
  };
  visit(source);
  return spans.reduceRight((rest, [from, to]) => `${rest.slice(0, from)}[]${rest.slice(to)}`, text);
}

/** A plugin of esbuild. */
export const withoutDense = {
  name: 'without-dense',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /[\\/]ops[\\/]product$/ }, ({ path, importer, resolveDir }) =>
      isOperator(importer) ? { path: resolve(resolveDir, path), namespace: 'none' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: NONE }));
    onLoad({ filter: /[\\/]nn[\\/]layers[\\/]\w+\.ts$/ }, async ({ path }) => ({
      contents: UNREAD.reduce((text, part) => text.replace(part, ''), await readFile(path, 'utf8')),
      loader: 'ts',
    }));
    onLoad(
      { filter: /[\\/](tensor[\\/]ops[\\/]\w+|sparse[\\/](product|weight))\.ts$/ },
      async ({ path }) => ({
        contents: withoutPullbacks(await readFile(path, 'utf8')),
        loader: 'ts',
      }),
    );
    onLoad({ filter: /[\\/]runtime[\\/]kernels\.ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replace(KERNELS, ''),
      loader: 'ts',
    }));
    onLoad(
      {
        filter:
          /[\\/](sparse[\\/](representation|blocks)|plan[\\/](algorithms|choice)|statistics)\.ts$/,
      },
      ({ path }) => {
        const file = Object.keys(ABSENT).find((one) => path.replaceAll('\\', '/').endsWith(one));
        return file && { contents: ABSENT[file], resolveDir: dirname(path) };
      },
    );
  },
};
