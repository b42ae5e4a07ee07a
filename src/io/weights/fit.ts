/**
 * How the tensors of one state dict fit the parameters of a network: by name, or by order and shape.
 *
 * By name: plain names (names.ts) behind any prefix that all of them share, on either side. By order:
 * layer for layer, kind by kind (convolutions with convolutions, dense layers with dense layers, norms
 * with norms). Nothing is guessed in part: a fit has every parameter and leaves no tensor over. Cost:
 * linear in the names (16 prefixes at most are tried).
 */
import { compile, type Network, paramSpecs } from '../../nn/graph';
import type { ParamSpec } from '../../nn/layer';
import { sameShape } from '../../tensor/shape';
import { commonPrefixes, plainName, plainNode, plainParts, prefixesOf } from './names';
import { type Entry, entryOf, type Pairs, type TensorOrder } from './types';

/** The parameters of a network: those a file must have, and constants its own options give. */
export interface Wanted {
  readonly network: string;
  readonly needed: readonly Entry[];
  readonly fixed: readonly Entry[];
}

export function wantedBy(network: Network): Wanted {
  const specs = [...paramSpecs(compile(network))];
  const isFixed = ([, { init }]: readonly [string, ParamSpec]): boolean => typeof init === 'object';
  return {
    network: network.name,
    needed: specs.filter((spec) => !isFixed(spec)).map(entryOf),
    fixed: specs.filter(isFixed).map(entryOf),
  };
}

export interface Fit {
  /** Parameter -> tensor, as far as there is one. */
  readonly pairs: Pairs;
  /** What stands in front of every name of the file, and of the network; plain, mostly empty. */
  readonly prefix: string;
  readonly own: string;
  readonly missing: readonly Entry[];
  readonly over: readonly Entry[];
  /** Pairs of different shapes: parameter and tensor. */
  readonly other: readonly (readonly [Entry, Entry])[];
}

export const isWhole = ({ missing, over, other }: Fit): boolean =>
  missing.length + over.length + other.length === 0;

/** The prefix of a fit as the file writes it: `_orig_mod.` for `-orig-mod-`. */
export function filePrefix({ pairs, prefix }: Fit): string {
  const [name = ''] = pairs.values();
  for (let end = 1; end <= name.length; end++)
    if (/[^A-Za-z0-9]/.test(name[end - 1]!) && plainNode(name.slice(0, end)) === prefix)
      return name.slice(0, end);
  return prefix;
}

/**
 * The fits by name in which no parameter is missing, one for each prefix; if there is none, the one
 * that misses fewest.
 */
export function fitsByName(wanted: Wanted, tensors: readonly Entry[]): readonly Fit[] {
  const found: Fit[] = [];
  const index = indexOf(tensors);
  let best = fitAt(wanted, tensors, index, '', '');
  if (best.missing.length === 0) found.push(best);
  const names = wanted.needed.map(({ name }) => plainName(name));
  for (const own of commonPrefixes(names)) {
    const first = names[0]?.slice(own.length);
    if (first === undefined) continue;
    for (const prefix of prefixesOf(first, index.keys())) {
      if (prefix === '' && own === '') continue;
      const fit = fitAt(wanted, tensors, index, prefix, own);
      if (fit.missing.length === 0) found.push(fit);
      else if (fit.missing.length < best.missing.length) best = fit;
    }
    if (found.length > 0) break;
  }
  return found.length > 0 ? found : [best];
}

/** Tensors by plain name; of two with one plain name, the first. */
function indexOf(tensors: readonly Entry[]): ReadonlyMap<string, Entry> {
  return new Map(tensors.map((entry) => [plainName(entry.name), entry] as const).reverse());
}

function fitAt(
  { needed, fixed }: Wanted,
  tensors: readonly Entry[],
  index: ReadonlyMap<string, Entry>,
  prefix: string,
  own: string,
): Fit {
  const exact = new Map(prefix === '' && own === '' ? tensors.map((t) => [t.name, t]) : []);
  const pairs = new Map<string, string>();
  const missing: Entry[] = [];
  const other: (readonly [Entry, Entry])[] = [];
  for (const entry of [...needed, ...fixed]) {
    const plain = plainName(entry.name);
    const name = plain.startsWith(own) ? plain.slice(own.length) : plain;
    const found = exact.get(entry.name) ?? index.get(prefix + name);
    if (!found) {
      if (!fixed.includes(entry)) missing.push(entry);
      continue;
    }
    pairs.set(entry.name, found.name);
    if (!sameShape(entry.shape, found.shape)) other.push([entry, found]);
  }
  const used = new Set(pairs.values());
  const over = tensors.filter(({ name }) => !used.has(name));
  return { pairs, prefix, own, missing, over, other };
}

/** Entries in the order of the numbers in their names: `2.weight` before `10.weight`. */
function byNumber(entries: readonly Entry[]): Entry[] {
  // Made here, as making one takes 7 ms (measured by bench/start.ts).
  const natural = new Intl.Collator('en', { numeric: true });
  return [...entries].sort((a, b) => natural.compare(a.name, b.name));
}

/** The orders to try. */
const ORDERS: Readonly<
  Record<TensorOrder, readonly ((all: readonly Entry[]) => readonly Entry[])[]>
> = { file: [(all) => all, byNumber], name: [byNumber] };

/** Parameter -> tensor, layer for layer of each kind; undefined unless all fit and none is left over. */
export function fitByOrder(
  { needed, fixed }: Wanted,
  tensors: readonly Entry[],
  order: TensorOrder,
): Pairs | undefined {
  const constants = new Set(fixed.map(({ name }) => plainName(name)));
  const counted = tensors.filter(({ name }) => !constants.has(plainName(name)));
  // Sorting a hundred thousand odd names takes seconds: only where the counts agree.
  if (counted.length !== needed.length) return undefined;
  for (const sorted of ORDERS[order]) {
    const pairs = pairUp(needed, sorted(counted));
    if (pairs) return pairs;
  }
  return undefined;
}

/** The tensors of one layer by local name. */
type Module = Map<string, Entry>;

/** Layers in order, by kind: the highest rank among their tensors. */
function modulesOf(entries: readonly Entry[]): Map<number, Module[]> {
  const modules = new Map<string, Module>();
  for (const entry of entries) {
    const { node, local } = plainParts(entry.name);
    const module: Module = modules.get(node) ?? new Map();
    modules.set(node, module.set(local, entry));
  }
  const kinds = new Map<number, Module[]>();
  for (const module of modules.values()) {
    let rank = 0;
    for (const { shape } of module.values()) rank = Math.max(rank, shape.length);
    const kind = kinds.get(rank);
    if (kind) kind.push(module);
    else kinds.set(rank, [module]);
  }
  return kinds;
}

function pairUp(wanted: readonly Entry[], tensors: readonly Entry[]): Pairs | undefined {
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
