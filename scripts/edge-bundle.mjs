/**
 * What the bundle of `espalier/runtime` leaves out: ways to compute with dense weights, linear bounds and
 * training, which a compact model never takes (src/edge/model.ts), though its layers can.
 */

import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import ts from 'typescript';

/** Source -> what stands for it. */
const ABSENT = {
  'src/nn/operators/dense-product.ts':
    'export const denseProduct = 0, denseTranspose = 0, denseRows = 0;',
  'src/sparse/product.ts': "export * from '../edge/product';",
  'src/sparse/encoding.ts': 'export const encodePattern = 0, lanesFor = 0;',
  'src/sparse/representation.ts': 'export const representationOf = (weight) => weight;',
  'src/plan/algorithms.ts': 'export const forms = {}, formCost = 0;',
  'src/plan/choice.ts':
    "import { operatorOf } from '../nn/model'; export const weightOf = ({ params }, node) => operatorOf(node, params).weight, lanesOf = (n) => Math.min(n, 16), denseStep = () => {}, keptOf = denseStep, sparseForm = () => ['csr'], zerosPayAt = () => true, zerosPay = zerosPayAt;",
  'src/sparse/blocks.ts': 'export const BLOCK = 4, fillingOf = 0, copiedRows = 0, keptOfEvery = 0;',
  'src/statistics.ts': 'export const normalCdf = 0, normalDensity = 0;',
};

/** What help texts say of a layer; and what only linear bounds, pruning and references ask of it, a line each. */
const UNREAD = [
  /\babout:\s*'[^'\n]*',/g,
  /^ {2,8}(relax|breakpointSlopes|pick|scalar|flow|macs|transposeAccumulationLength): [^\n]*,\n/gm,
  /^ {2,4}(macs|rows|deriveInBatch|relax|scalar|breakpointSlopes|flow|pick)\([\s\S]*?^ {2,4}\},?\n/gm,
];

/** Parts of the table of kernels that the runtime's binary has none of. */
const KERNELS =
  /^ {2}\/\/ (Convolution|Rows of|Classification|Optimisers|Random|Pruning)[\s\S]*?(?=^ {2}\/\/ |^\})/gm;

/** Names of properties that neither files nor callers see. */
const INNER =
  /^(engine|segment|inChannels|outChannels|kernelHeight|kernelWidth|strideY|strideX|padTop|padLeft|dilation[XY]|outHeight|outWidth|accumulationLength|transposeAccumulationLength|applyAbs|structure|inputShapes|perChannel|reshapes|encodingFor|fanIn|prunable|trainable|derive|deriveInBatch|onlyInTraining|combine|inputError|planes|lanes|roots|origin|starts|offsets|masks|fromImages|toImages|margins|nonZeros|passes|phasesOf|density|forms|perGroup|scaleRows|decodedBytes|pattern|workspace|scratch|prepare|operators|updates|radiusIn|radiusOut|biasFactor|taps|grid|channel|line|column|allocated|epoch|kept|isLive|conv|blocks|nnz|cost|training|observe|rectified|sound|relative|forward|back|tape|target|tiny|readersOf|toInfSup|totalBytes|usedBytes|isRelu|combine|isReLU|matrix|nonzeros|signs|absolute)$/;

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
  setup({ initialOptions, onLoad }) {
    initialOptions.mangleProps = INNER;
    onLoad(
      { filter: /[\\/]nn[\\/](layers[\\/]\w+|operators[\\/]product)\.ts$/ },
      async ({ path }) => ({
        contents: UNREAD.reduce(
          (text, part) => text.replace(part, ''),
          await readFile(path, 'utf8'),
        ),
        loader: 'ts',
      }),
    );
    onLoad(
      { filter: /[\\/](tensor[\\/]ops[\\/]\w+|sparse[\\/]weight)\.ts$/ },
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
          /[\\/](dense-product|sparse[\\/](representation|product|encoding|blocks)|plan[\\/](algorithms|choice)|statistics)\.ts$/,
      },
      ({ path }) => {
        const file = Object.keys(ABSENT).find((one) => path.replaceAll('\\', '/').endsWith(one));
        return file && { contents: ABSENT[file], resolveDir: dirname(path) };
      },
    );
  },
};
