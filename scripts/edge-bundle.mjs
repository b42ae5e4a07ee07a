/**
 * What the bundle of `espalier/runtime` leaves out: ways to compute with dense weights, linear bounds and
 * training, which a compact model never takes (src/edge/model.ts), though its layers can. Sources are changed
 * as syntax trees, never as text.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
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
  'src/suggest.ts': "export const suggest = (_, keys) => 'Known: ' + keys.join(', ') + '.';",
  'src/statistics.ts': 'export const normalCdf = 0, normalDensity = 0;',
  'src/tensor/tape.ts': 'export const openTape = () => {};',
};

/** What only help texts, linear bounds, pruning, training and references ask of a layer. */
const UNREAD = new Set([
  ...[
    'about',
    'relax',
    'breakpointSlopes',
    'pick',
    'scalar',
    'channelDependency',
    'macs',
    'rows',
    'deriveInBatch',
  ],
  'transposeAccumulationLength',
]);

/** What nothing asks of an engine of one thread, whose memory goes with it. */
const UNASKED = new Set(['info', 'settled']);

/** Floors whose members may get short names; what all others name keeps its name. */
const INNER = ['runtime', 'tensor', 'sparse', 'nn', 'domain', 'plan', 'edge'];
/** Sources that read files, and so name what stands in them; texts of errors. */
const OUTER = [
  ...['safetensors', 'compact', 'metadata', 'inflate', 'native', 'crc32'].map(
    (f) => `src/io/${f}.ts`,
  ),
  ...['src/errors.ts', 'src/json.ts', 'src/options.ts', 'src/text.ts'],
];
/** Types of what users see and of what files hold. */
const OUTER_TYPES = new Set([
  ...['Network', 'NodeSpec', 'OpenOptions', 'Prediction', 'Certificate', 'CompactModel'],
  'ModelInfo',
]);

const parse = (path, text = readFileSync(resolve(ROOT, path), 'utf8')) =>
  ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);

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

const nameOf = (node) => (node?.name && ts.isIdentifier(node.name) ? node.name.text : undefined);

/** Members that are never read are left out. */
const without = (names) => (node) =>
  (ts.isObjectLiteralElementLike(node) || ts.isMethodDeclaration(node)) && names.has(nameOf(node))
    ? ''
    : undefined;

/** `record(y, inputs, pullbacks)` is y, and operations are made of their kernel alone. */
function withoutTape(node) {
  if (!ts.isCallExpression(node)) return undefined;
  const [callee, first] = [node.expression.getText(), node.arguments[0]?.getText()];
  if (callee === 'record') return first;
  return ['unary', 'binary'].includes(callee) ? `${callee}(${first})` : undefined;
}

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

/** Calls `found` with every name of a property that a syntax tree reads, writes or declares. */
function eachProperty(tree, found) {
  walk(tree, (node) => {
    if (ts.isPropertyAccessExpression(node)) found(node.name.text);
    else if (ts.isBindingElement(node)) found((node.propertyName ?? node.name).text);
    else if (ts.isObjectLiteralElementLike(node) || isMember(node)) found(nameOf(node));
  });
}

const isMember = (node) => ts.isClassElement(node) || ts.isTypeElement(node);

/** Whether a text is a type or part of an error's sentence, and so no key of any table. */
const isSaid = ({ parent }) =>
  ts.isLiteralTypeNode(parent) ||
  (ts.isCallExpression(parent) && ['fail', 'expect'].includes(parent.expression.getText()));

/** Whether names in a part of an inner source stand in files too, or are those of users. */
const isOuter = (node, path) =>
  path.endsWith('registry.ts') ||
  OUTER_TYPES.has(nameOf(node)) ||
  // The options of layers and their parameters.
  (ts.isCallExpression(node) && node.expression.getText().startsWith('v.')) ||
  ((ts.isMethodDeclaration(node) || ts.isPropertyAssignment(node)) && nameOf(node) === 'params');

/** Members that inner sources declare, and that neither files nor users nor other code name. */
function innerNames() {
  const [declared, outer] = [new Set(), binaryNames()];
  for (const path of [...INNER.flatMap((floor) => sourcesBelow(`src/${floor}`)), 'src/io/model.ts'])
    walk(parse(path), (node) => {
      if (ts.isStringLiteralLike(node) && !isSaid(node)) outer.add(node.text);
      if (isMember(node) || ts.isParameter(node)) declared.add(nameOf(node));
      if (isOuter(node, path)) eachProperty(node, (name) => outer.add(name));
    });
  const packages = ['valibot', 'fflate/browser', '@assemblyscript/loader'].map(require.resolve);
  for (const path of [...OUTER, ...packages]) eachProperty(parse(path), (name) => outer.add(name));
  // What the language and its hosts name themselves.
  const lib = dirname(require.resolve('typescript'));
  for (const name of readdirSync(lib).filter((one) => /^lib\..*\.d\.ts$/.test(one)))
    for (const [, own] of readFileSync(join(lib, name), 'utf8').matchAll(MEMBER)) outer.add(own);
  return [...declared].filter((name) => name && !outer.has(name));
}

/** A member of a declaration file, a line each. */
const MEMBER = /^\s+(?:readonly |get |set )?(\w+)\??[:(<]/gm;

/** A plugin of esbuild. */
export const withoutDense = {
  name: 'without-dense',
  setup({ initialOptions, onLoad }) {
    // Of ES2018: else regular expressions of packages are made, and kept, when the bundle is loaded.
    const known = { 'regexp-unicode-property-escapes': true };
    initialOptions.supported = { ...initialOptions.supported, ...known };
    initialOptions.mangleProps = new RegExp(`^(${innerNames().join('|')})$`);
    onLoad({ filter: /[\\/]@assemblyscript[\\/]loader[\\/]/ }, () => ({
      contents: 'export const instantiateSync = 0;',
    }));
    const ways = [
      [/^src\/nn\/(layers|operators)\//, without(UNREAD)],
      [/^src\/runtime\/engine\.ts$/, without(UNASKED)],
      [/^src\/(tensor\/ops\/|sparse\/weight)/, withoutTape],
      [/^src\/runtime\/kernels\.ts$/, onlyKernels(binaryNames())],
    ];
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => {
      const file = relative(ROOT, path).replaceAll('\\', '/');
      if (file in ABSENT) return { contents: ABSENT[file], resolveDir: dirname(path) };
      const way = ways.find(([where]) => where.test(file));
      return way && { contents: rewritten(path, way[1]), loader: 'ts' };
    });
  },
};
