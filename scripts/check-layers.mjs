/**
 * The layer check: imports go only downwards, as docs/architecture.md draws them. The tables below
 * are the rules; the rest reads the sources with the TypeScript parser and compares.
 *
 * Type-only imports obey too. Prints every violation, and exits with 1 if there is any.
 */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const NETWORK = ['runtime', 'tensor', 'sparse', 'nn'];
const DOMAIN = [...NETWORK, 'domain'];
const BOUNDS = [...DOMAIN, 'plan', 'bounds'];
const USERS = ['io', 'data', 'attack', 'verify', 'check', 'prune', 'train', 'report'];

/** Floor -> the floors it may import, besides itself and COMMON. */
const LAYERS = {
  runtime: [],
  tensor: ['runtime'],
  sparse: ['runtime', 'tensor'],
  nn: ['runtime', 'tensor', 'sparse'],
  domain: NETWORK,
  plan: DOMAIN,
  bounds: DOMAIN,
  io: NETWORK,
  data: [...NETWORK, 'io'],
  attack: DOMAIN,
  verify: BOUNDS,
  // Judges what domains prove, and so shares nothing with them.
  check: [...NETWORK, 'data'],
  prune: DOMAIN,
  // The adversarial objective attacks while it trains; the loop draws batches of data.
  train: [...BOUNDS, 'attack', 'data'],
  report: [],
  edge: [...DOMAIN, 'plan', 'io'],
  evaluate: [...BOUNDS, ...USERS],
  measure: [...BOUNDS, ...USERS],
  recipe: [...BOUNDS, ...USERS, 'evaluate', 'measure'],
  cli: [...BOUNDS, ...USERS, 'evaluate', 'measure', 'recipe'],
};

/** Files of src/ itself that every floor may import; they import only each other. */
const COMMON = [
  'errors',
  'events',
  'json',
  'options',
  'rational',
  'statistics',
  'suggest',
  'text',
  'version',
];

/** The public surface: may import everything, and nothing imports it. */
const SURFACE = 'index';

/** Who may import `node:` modules: only lazily or as types, or at will. */
const NODE_LAZILY = ['runtime/', 'io/', 'data/', 'evaluate/', 'measure/', 'recipe/'];
const NODE_AT_WILL = ['cli/'];

/** Floors that go by operators and roles: they name no layer and no parameter. */
const NAMELESS = ['domain', 'plan', 'bounds'];
/** Layers, and parameters of theirs. Kernels may be called so. */
export const LAYER_NAMES = new Set([
  ...['dense', 'conv2d', 'relu', 'leaky-relu', 'sigmoid', 'tanh', 'clip', 'abs', 'gelu', 'silu'],
  ...['hard-swish', 'flatten', 'reshape', 'permute', 'select', 'pad', 'max-pool', 'avg-pool'],
  ...['reduce', 'batch-norm', 'normalise', 'scale', 'elementwise', 'dropout', 'add', 'concat'],
  ...['weight', 'bias', 'shift', 'mean', 'variance'],
]);
const KERNEL_CALLS = ['run', 'prepare'];

/** Plug-ins that never meet: no file of the first folder reaches one of the second, by any way. */
const STRANGERS = [
  ['prune/strategies/', 'train/'],
  ['prune/strategies/', 'attack/'],
  ['train/objectives/', 'prune/'],
];

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Every violation in the files, given as path below src/ (or assembly/) -> text. */
export function checkLayers(files) {
  const graph = new Map();
  const problems = [];
  for (const [file, text] of files) {
    const found = importsOf(file, text);
    const inner = found.filter(({ to }) => to.startsWith('.'));
    const targets = inner.map(({ to }) => ({ to, target: resolve(file, to, files) }));
    for (const { to, target } of targets) problems.push(...floorProblems(file, to, target));
    for (const use of found) problems.push(...nodeProblems(file, use));
    problems.push(...nameProblems(file, text));
    graph.set(
      file,
      targets.map(({ target }) => target).filter((target) => files.has(target)),
    );
  }
  problems.push(...cycles(graph).map((cycle) => `cycle: ${cycle.join(' -> ')}`));
  return [...problems, ...meetings(graph).map((way) => `plug-ins meet: ${way.join(' -> ')}`)];
}

/** Imports of a file: `{to, kind}` with kind 'static', 'type' or 'lazy'. */
function importsOf(file, text) {
  const found = [];
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, false);
  const visit = (node) => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
      const type = ts.isImportDeclaration(node) ? node.importClause?.isTypeOnly : node.isTypeOnly;
      found.push({ to: node.moduleSpecifier.text, kind: type ? 'type' : 'static' });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      found.push({ to: node.argument.literal.text, kind: 'type' });
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument && ts.isStringLiteral(argument)) found.push({ to: argument.text, kind: 'lazy' });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** "nn/graph.ts" and "../tensor/tensor" -> "tensor/tensor.ts". */
function resolve(file, to, files) {
  const path = normalize(join(dirname(file), to)).replaceAll('\\', '/');
  const plain = path.replace(/\.js$/, '');
  return [`${plain}.ts`, `${plain}/index.ts`].find((one) => files.has(one)) ?? `${plain}.ts`;
}

function floorProblems(file, to, target) {
  const [from, into] = [floorOf(file), floorOf(target)];
  const say = (why) => [`${file}: imports ${to}: ${why}`];
  if (target.startsWith('..')) return say('outside of src/');
  if (into === SURFACE) return say('nothing imports the public surface');
  if (from === into || from === SURFACE) return [];
  if (COMMON.includes(into)) return [];
  if (COMMON.includes(from)) return say(`${from}.ts is common to all floors and imports none`);
  if (!(from in LAYERS)) return say(`src/${from} is not in the table of floors`);
  if (LAYERS[from].includes(into)) return [];
  const allowed = [...LAYERS[from], ...COMMON].join(', ');
  return say(`${from} may import ${allowed}`);
}

function nodeProblems(file, { to, kind }) {
  if (!to.startsWith('node:') || NODE_AT_WILL.some((place) => file.startsWith(place))) return [];
  if (!NODE_LAZILY.some((place) => file.startsWith(place)))
    return [`${file}: imports ${to}: only ${[...NODE_LAZILY, ...NODE_AT_WILL].join(', ')} may`];
  return kind === 'static' ? [`${file}: imports ${to}: only with await import()`] : [];
}

/** Layers and parameters that a file names where it must not. */
function nameProblems(file, text) {
  if (!NAMELESS.includes(floorOf(file))) return [];
  const problems = [];
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const visit = (node) => {
    if (ts.isStringLiteral(node) && LAYER_NAMES.has(node.text) && !isKernel(node))
      problems.push(`${file}: names '${node.text}': ask the operator or the role of a node`);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return problems;
}

const isKernel = ({ parent }) =>
  ts.isCallExpression(parent) && KERNEL_CALLS.includes(parent.expression.name?.text);

/** "nn/layers/dense.ts" -> "nn", "errors.ts" -> "errors". */
function floorOf(file) {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace(/\.ts$/, '');
}

/** One cycle for every file that closes one, found depth first. */
function cycles(graph) {
  const found = [];
  const state = new Map();
  const visit = (file, trail) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      found.push([...trail.slice(trail.indexOf(file)), file]);
      return;
    }
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) visit(next, [...trail, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}

/** The ways by which plug-ins reach those that they must not know, one for each file that does. */
function meetings(graph) {
  const wayTo = (file, folder, trail, seen) => {
    if (file.startsWith(folder)) return [...trail, file];
    if (seen.has(file)) return undefined;
    seen.add(file);
    for (const next of graph.get(file) ?? []) {
      const way = wayTo(next, folder, [...trail, file], seen);
      if (way) return way;
    }
    return undefined;
  };
  return STRANGERS.flatMap(([from, to]) =>
    [...graph.keys()]
      .filter((file) => file.startsWith(from))
      .map((file) => wayTo(file, to, [], new Set()))
      .filter((way) => way !== undefined),
  );
}

/** Path -> text of every .ts file below `folder`. */
export async function readSources(folder) {
  const names = await readdir(folder, { recursive: true });
  const files = names
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.gen.ts'))
    .sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  return new Map(files.map((file, i) => [file, texts[i]]));
}

/** Kernels import only kernels. */
function checkAssembly(files) {
  return [...files].flatMap(([file, text]) =>
    importsOf(file, text)
      .filter(({ to }) => !to.startsWith('./'))
      .map(({ to }) => `assembly/${file}: imports ${to}: kernels import only kernels`),
  );
}

export async function checkProject() {
  const sources = await readSources(join(ROOT, 'src'));
  const kernels = await readSources(join(ROOT, 'assembly'));
  return {
    files: sources.size + kernels.size,
    problems: [...checkLayers(sources), ...checkAssembly(kernels)],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { files, problems } = await checkProject();
  for (const problem of problems) console.error(problem);
  console.log(`layers: ${files} files, ${problems.length} problems`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
