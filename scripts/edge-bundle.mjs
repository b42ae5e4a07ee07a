/**
 * What the bundle of `espalier/runtime` leaves out: ways to compute with dense weights, linear bounds and
 * training, which a compact model never takes (src/edge/model.ts), though its layers can. Sources are changed
 * as syntax trees, never as text.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

/** Source -> what stands for it. All weights of a compact model are sparse, and nothing is differentiated. */
const ABSENT = {
  'src/nn/operators/dense-product.ts':
    'export const denseProduct = 0, denseTranspose = 0, denseRows = 0;',
  'src/plan/dense-product.ts': 'export const productStep = () => {};',
  'src/sparse/product.ts': "export * from '../edge/product';",
  'src/sparse/encoding.ts': 'export const encodePattern = 0, lanesFor = 0;',
  'src/sparse/choice.ts':
    "export const representationOf = (weight) => weight, lanesOf = (n) => Math.min(n, 16), isBare = () => true, zerosPay = isBare, copiedDenseCost = 0, sparseForm = () => ['csr'];",
  'src/sparse/blocks.ts': 'export const copiedRows = 0, keptOf = 0;',
  'src/statistics.ts': 'export const normalCdf = 0, normalDensity = 0;',
  'src/tensor/tape.ts': 'export const openTape = () => {};',
};

/** What only help texts, linear bounds, pruning, training and references ask of a layer. */
const UNREAD = new Set([
  ...['about', 'relax', 'kink', 'pick', 'scalar', 'flow', 'macs', 'rows', 'deriveInBatch'],
  'transposeAccumulationLength',
]);

/** Floors whose members may get short names; what all others name keeps its name. */
const INNER = ['runtime', 'tensor', 'sparse', 'nn', 'domain', 'plan', 'edge'];
/** Types of what users see and of what files hold. */
const OUTER_TYPES = new Set([
  ...['Network', 'NodeSpec', 'OpenOptions', 'Prediction', 'Certificate', 'CompactModel'],
  'ModelInfo',
]);

const parse = (path, text) => ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);

/** Calls `visit` for a node and all below it, but not below those for which it returns true. */
function walk(node, visit) {
  if (visit(node) !== true) ts.forEachChild(node, (child) => walk(child, visit));
}

/** A source in which `replace` has found for some nodes what stands for them; undefined: as they are. */
function rewritten(path, replace) {
  const text = readFileSync(path, 'utf8');
  const changes = [];
  walk(parse(path, text), (node) => {
    const by = replace(node);
    if (by !== undefined) changes.push([node.getStart(), node.end, by]);
    return by !== undefined;
  });
  return changes.reduceRight(
    (rest, [from, to, by]) =>
      rest.slice(0, from) + by + rest.slice(rest[to] === ',' && by === '' ? to + 1 : to),
    text,
  );
}

const nameOf = (node) => (node.name && ts.isIdentifier(node.name) ? node.name.text : undefined);

/** A member that is never read is left out. */
const withoutUnread = (node) =>
  (ts.isObjectLiteralElementLike(node) || ts.isMethodDeclaration(node)) && UNREAD.has(nameOf(node))
    ? ''
    : undefined;

/** `record(y, inputs, pullbacks)` is y. */
const withoutTape = (node) =>
  ts.isCallExpression(node) && node.expression.getText() === 'record'
    ? node.arguments[0].getText()
    : undefined;

/** Of the table of kernels only what the runtime's binary has. */
const onlyKernels = (kernels) => (node) => {
  const table = node.parent?.parent?.parent;
  const isEntry = ts.isPropertyAssignment(node) && table?.name?.getText() === 'KERNELS';
  return isEntry && !kernels.has(nameOf(node)) ? '' : undefined;
};

/** The kernels of the runtime's binary, and all names that it shares with the outside. */
function binaryNames() {
  const module = new WebAssembly.Module(readFileSync(join(ROOT, 'build/runtime.wasm')));
  const [exports, imports] = [
    WebAssembly.Module.exports(module),
    WebAssembly.Module.imports(module),
  ];
  return new Set([...exports, ...imports].map(({ name }) => name));
}

const sourcesBelow = (folder) =>
  readdirSync(join(ROOT, folder), { recursive: true })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.gen.ts'))
    .map((name) => join(ROOT, folder, name));

/** Members that classes and interfaces of inner floors declare, and that nothing outside of them can name. */
function innerNames() {
  const [declared, outer] = [new Set(), binaryNames()];
  const addWords = (text) => {
    for (const word of text.match(/[A-Za-z_$][\w$]*/g) ?? []) outer.add(word);
  };
  for (const path of INNER.flatMap((floor) => sourcesBelow(`src/${floor}`))) {
    walk(parse(path, readFileSync(path, 'utf8')), (node) => {
      if (ts.isStringLiteralLike(node)) outer.add(node.text);
      const owner = node.parent && nameOf(node.parent);
      if (ts.isClassElement(node) || ts.isTypeElement(node) || ts.isParameter(node))
        (OUTER_TYPES.has(owner) ? outer : declared).add(nameOf(node));
      // Options of layers stand in files: all names in schemas stay.
      if (ts.isCallExpression(node) && node.expression.getText().startsWith('v.'))
        addWords(node.getText());
    });
  }
  for (const path of [
    ...sourcesBelow('src/io'),
    ...sourcesBelow('src').filter((one) => dirname(one) === join(ROOT, 'src')),
  ])
    addWords(readFileSync(path, 'utf8'));
  for (const name of ['valibot', 'fflate/browser', '@assemblyscript/loader'])
    addWords(readFileSync(require.resolve(name), 'utf8'));
  // What the language and its hosts name themselves.
  const lib = dirname(require.resolve('typescript'));
  for (const name of readdirSync(lib).filter((one) => /^lib\..*\.d\.ts$/.test(one)))
    for (const [, word] of readFileSync(join(lib, name), 'utf8').matchAll(
      /^\s+(?:readonly |get |set )?(\w+)\??[:(<]/gm,
    ))
      outer.add(word);
  return [...declared].filter((name) => name && !outer.has(name));
}

/** A plugin of esbuild. */
export const withoutDense = {
  name: 'without-dense',
  setup({ initialOptions, onLoad }) {
    initialOptions.mangleProps = new RegExp(`^(${innerNames().join('|')})$`);
    const kernels = binaryNames();
    const ways = [
      [/^src\/nn\/(layers|operators)\//, withoutUnread],
      [/^src\/(tensor\/ops\/|sparse\/weight)/, withoutTape],
      [/^src\/runtime\/kernels\.ts$/, onlyKernels(kernels)],
    ];
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => {
      const file = relative(ROOT, path).replaceAll('\\', '/');
      if (file in ABSENT) return { contents: ABSENT[file], resolveDir: dirname(path) };
      const way = ways.find(([where]) => where.test(file));
      return way && { contents: rewritten(path, way[1]), loader: 'ts' };
    });
  },
};
