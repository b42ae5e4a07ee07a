/**
 * Weights of a plain file to the parameters of a network: by name where the names are the same, else
 * by order and shape, kind by kind (convolutions with convolutions, dense layers with dense layers,
 * norms with norms), as files of other tools name layers in their own way.
 *
 * Names are the same up to separators (`layer1.0.conv1.weight` is `layer1-0-conv1.weight`) and
 * PyTorch's words for running statistics. Nothing is guessed in part: every parameter is found and
 * every tensor used, or the error lists what is missing, left over or of another shape, the nearest
 * ones side by side. Cost: linear in the tensors; the listing of an error at most 200 x 200 names.
 */
import { EspalierError } from '../errors';
import { compile, type Network, paramSpecs } from '../nn/graph';
import type { ParamSpec } from '../nn/layer';
import { type Shape, sameShape } from '../tensor/shape';

export interface WeightTensor {
  readonly shape: Shape;
  /** Row-major. */
  readonly values: Float32Array;
}

/** By name, in the order of the file. */
export type WeightFile = ReadonlyMap<string, WeightTensor>;

export interface MatchedWeights {
  /** By the network's own parameter names; fixed ones (mean and std of `normalise`) may be absent. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly notes: readonly string[];
}

/** What the order of a file's tensors means: `file` is the order of layers, `name` only names are. */
export type TensorOrder = 'file' | 'name';

/** One name and shape, of a parameter or of a tensor. */
interface Entry {
  readonly name: string;
  readonly shape: Shape;
}
type Pairs = ReadonlyMap<string, string>;

/** PyTorch's names of batch norm's statistics. */
const LOCALS: Readonly<Record<string, string>> = { running_mean: 'mean', running_var: 'variance' };
/** A counter that nothing here needs. */
const IGNORED = 'num_batches_tracked';

/** Raises EspalierError naming `who` and both sides where the file does not fit the network. */
export function matchWeights(
  network: Network,
  file: WeightFile,
  who: string,
  order: TensorOrder,
): MatchedWeights {
  const specs = [...paramSpecs(compile(network))];
  const wanted = specs.filter(([, spec]) => !isFixed(spec)).map(entryOf);
  const fixed = specs.filter(([, spec]) => isFixed(spec)).map(entryOf);
  const all = [...file].map(entryOf).filter(({ name }) => partsOf(name).local !== IGNORED);
  const named = byName([...wanted, ...fixed], all);
  const used = new Set(named.values());
  const tensors = all.filter(({ name }) => !fixed.some((f) => named.get(f.name) === name));
  const fits = ({ name, shape }: Entry): boolean =>
    named.has(name) && sameShape(shape, file.get(named.get(name)!)!.shape);
  if (
    wanted.every(fits) &&
    fixed.every((f) => !named.has(f.name) || fits(f)) &&
    used.size === all.length
  )
    return { weights: pick(file, named), notes: [] };
  // Sorting a hundred thousand odd names takes seconds: only where the counts agree.
  const orders = tensors.length === wanted.length ? ORDERS[order] : [];
  for (const sorted of orders) {
    const ordered = byOrder(wanted, sorted(tensors));
    if (ordered) return { weights: pick(file, ordered), notes: [orderNote(who, ordered)] };
  }
  throw new EspalierError(explain(network.name, wanted, all, named, who));
}

const entryOf = ([name, { shape }]: readonly [string, { readonly shape: Shape }]): Entry => ({
  name,
  shape,
});

/** Constants that the network's own options give. */
const isFixed = ({ init }: ParamSpec): boolean => typeof init === 'object';

function pick(file: WeightFile, pairs: Pairs): Map<string, Float32Array> {
  return new Map([...pairs].map(([name, from]) => [name, file.get(from)!.values]));
}

/** `features.0.running_mean` -> node `features-0`, local `mean`. */
function partsOf(name: string): { readonly node: string; readonly local: string } {
  const at = Math.max(name.lastIndexOf('.'), name.lastIndexOf('/'));
  const local = name.slice(at + 1);
  const node = name.slice(0, Math.max(0, at)).replace(/[^A-Za-z0-9]+/g, '-');
  return { node, local: Object.hasOwn(LOCALS, local) ? LOCALS[local]! : local };
}

function plainName(name: string): string {
  const { node, local } = partsOf(name);
  return `${node}.${local}`;
}

/** Parameter -> tensor of the same name, or of the same plain one. */
function byName(wanted: readonly Entry[], tensors: readonly Entry[]): Pairs {
  const exact = new Set(tensors.map(({ name }) => name));
  const plain = new Map(tensors.map(({ name }) => [plainName(name), name]));
  const pairs = new Map<string, string>();
  for (const { name } of wanted) {
    const found = exact.has(name) ? name : plain.get(plainName(name));
    if (found !== undefined) pairs.set(name, found);
  }
  return pairs;
}

/** In the order of the numbers in names: `2.weight` before `10.weight`. */
function byNumber(entries: readonly Entry[]): Entry[] {
  // Made here, as making one takes 7 ms (measured by bench/start.ts).
  const natural = new Intl.Collator('en', { numeric: true });
  return [...entries].sort((a, b) => natural.compare(a.name, b.name));
}

/** The orders to try. */
const ORDERS: Readonly<Record<TensorOrder, readonly ((all: Entry[]) => Entry[])[]>> = {
  file: [(all) => all, byNumber],
  name: [byNumber],
};

/** The tensors of one layer by local name. */
type Module = Map<string, Entry>;

/** Layers in order, by kind: the highest rank among their tensors. */
function modulesOf(entries: readonly Entry[]): Map<number, Module[]> {
  const modules = new Map<string, Module>();
  for (const entry of entries) {
    const { node, local } = partsOf(entry.name);
    const module: Module = modules.get(node) ?? new Map();
    modules.set(node, module.set(local, entry));
  }
  const kinds = new Map<number, Module[]>();
  for (const module of modules.values()) {
    let rank = 0;
    for (const { shape } of module.values()) rank = Math.max(rank, shape.length);
    kinds.set(rank, [...(kinds.get(rank) ?? []), module]);
  }
  return kinds;
}

/** Parameter -> tensor, layer for layer of each kind; undefined unless all fit; the counts agree. */
function byOrder(wanted: readonly Entry[], tensors: readonly Entry[]): Pairs | undefined {
  const theirs = modulesOf(tensors);
  const pairs = new Map<string, string>();
  for (const [rank, modules] of modulesOf(wanted))
    for (const [i, module] of modules.entries())
      for (const [local, { name, shape }] of module) {
        const found = theirs.get(rank)?.[i]?.get(local);
        if (!found || !sameShape(found.shape, shape)) return undefined;
        pairs.set(name, found.name);
      }
  return pairs;
}

function orderNote(who: string, pairs: Pairs): string {
  const layers = new Map(
    [...pairs].map(([name, from]) => [name.slice(0, name.lastIndexOf('.')), layerOf(from)]),
  );
  const list = [...layers].map(([node, from]) => `${node} <- ${from}`).join(', ');
  return `${who}: weights matched by order and shape, not by name: ${list}.`;
}

function layerOf(name: string): string {
  const at = Math.max(name.lastIndexOf('.'), name.lastIndexOf('/'));
  return at < 0 ? name : name.slice(0, at);
}

const MAX_LINES = 40;
const MAX_COMPARED = 200;

/** The error: the two sides beside each other, only where they differ. */
function explain(
  network: string,
  wanted: readonly Entry[],
  tensors: readonly Entry[],
  named: Pairs,
  who: string,
): string {
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
  const missing = wanted.filter(({ name }) => !named.has(name));
  const taken = new Set(named.values());
  const left = tensors.filter(({ name }) => !taken.has(name));
  const other = wanted.filter(({ name, shape }) => {
    const from = named.get(name);
    return from !== undefined && !sameShape(shape, shapes.get(from)!);
  });
  const free = left.slice(0, MAX_COMPARED);
  const rows = other.map((entry): [string, string] => {
    const from = named.get(entry.name)!;
    return [show(entry), `${show({ name: from, shape: shapes.get(from)! })}: another shape`];
  });
  for (const entry of missing.slice(0, MAX_COMPARED)) {
    const near = takeNearest(entry, free);
    rows.push([show(entry), near ? `missing; nearest: ${show(near)}` : 'missing']);
  }
  const over = [...free, ...left.slice(MAX_COMPARED)];
  for (const entry of over.slice(0, MAX_LINES)) rows.push(['', `${show(entry)}: left over`]);
  const shown = rows.slice(0, MAX_LINES);
  const more = rows.length + Math.max(0, over.length - MAX_LINES) - shown.length;
  const width = Math.max(...shown.map(([ours]) => ours.length));
  const counts = `${missing.length} missing, ${left.length} left over, ${other.length} of another shape`;
  return [
    `${who}: expected the ${wanted.length} weights of ${network}, got ${tensors.length} tensors: ${counts}.`,
    ...shown.map(([ours, theirs]) => `  ${ours.padEnd(width)}  ${theirs}`),
    ...(more > 0 ? [`  ... and ${more} more`] : []),
  ].join('\n');
}

/** Removes and returns the entry of `free` most like `entry`: shape first, then names. */
function takeNearest(entry: Entry, free: Entry[]): Entry | undefined {
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  free.forEach((other, i) => {
    const score =
      (sameShape(entry.shape, other.shape) ? 4000 : 0) +
      (entry.shape.length === other.shape.length ? 2000 : 0) +
      (partsOf(entry.name).local === partsOf(other.name).local ? 1000 : 0) +
      common(entry.name, other.name);
    if (score > most) [best, most] = [i, score];
  });
  return best < 0 ? undefined : free.splice(best, 1)[0];
}

/** How many characters two names share at their start and end, at most 500. */
function common(a: string, b: string): number {
  const size = Math.min(a.length, b.length, 250);
  let [start, end] = [0, 0];
  while (start < size && a[start] === b[start]) start++;
  while (end < size && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return start + end;
}

function show({ name, shape }: Entry): string {
  const short = name.length > 80 ? `${name.slice(0, 80)}...` : name;
  return `${short} [${shape.join(', ')}]`;
}

/** The first tensors of a file with their shapes, for messages. */
export function listTensors(file: WeightFile): string {
  const shown = [...file].slice(0, 8).map(([name, { shape }]) => show({ name, shape }));
  return (
    shown.join(', ') + (file.size > shown.length ? `, and ${file.size - shown.length} more` : '')
  );
}
