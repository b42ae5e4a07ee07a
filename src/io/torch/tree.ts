/**
 * From the value of a PyTorch file to its tensors by name: walks nested dicts and pickled modules, joins
 * names with dots, and says under which keys there are tensors.
 *
 * The value is a graph, perhaps with cycles or exponentially many paths: the walk keeps its own
 * stack, and its depth and the number of its visits are capped. Lists of numbers and texts alone are
 * looked at once, however often they are met.
 */
import { expect } from '../../errors';
import {
  asKind,
  type Dict,
  type Instance,
  itemsOf,
  kindOf,
  type TensorRef,
  type Value,
} from './values';

const MAX_DEPTH = 100;
/** How deep below the top of the file a key may be that is worth telling apart. */
const MAX_KEY_DEPTH = 6;
const MAX_VISITS = 200_000;
const MAX_NAME = 1000;

/** A layer of a module that was pickled whole, in the order of registration. */
export interface TorchModule {
  /** Dotted path; empty for the module itself. */
  readonly name: string;
  /** The class without its package, such as `Conv2d`. */
  readonly type: string;
  /** Its settings: numbers, booleans, texts, nulls and lists of numbers, such as `kernel_size`. */
  readonly settings: ReadonlyMap<string, Setting>;
}

export type Setting = number | boolean | string | null | readonly number[];

export interface Tree {
  /** Tensors by full dotted name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** Dotted paths of dicts, lists and modules that hold tensors, outer ones first; '' is the file. */
  readonly keys: readonly string[];
  /** The layers of modules pickled whole, by the key of the outermost; empty for state dicts. */
  readonly modules: ReadonlyMap<string, readonly TorchModule[]>;
  /** Names of what is neither a tensor nor holds one, the outermost of it. */
  readonly left: readonly string[];
}

interface Place {
  readonly name: string;
  readonly value: Value;
  /** The containers around it, the innermost first. */
  readonly within: Container | undefined;
  readonly depth: number;
}

interface Container {
  readonly name: string;
  readonly depth: number;
  readonly within: Container | undefined;
  /** The layers of the outermost module around. */
  readonly layers: { readonly name: string; readonly list: TorchModule[] } | undefined;
  tensors: number;
}

/** Raises EspalierError if there is no tensor, or two of one name. */
export function findTensors(root: Value, who: string): Tree {
  const tensors = new Map<string, TensorRef>();
  const containers: Container[] = [];
  const left: Place[] = [];
  const flat = new Set<Value>();
  const stack: Place[] = [{ name: '', depth: 0, value: root, within: undefined }];
  let visits = 0;
  for (let place = stack.pop(); place; place = stack.pop()) {
    const { name, depth, value, within } = place;
    visits += 1 + (flat.has(value) ? 0 : widthOf(value));
    expect(visits <= MAX_VISITS, who, `at most ${MAX_VISITS} values`, 'more');
    expect(depth <= MAX_DEPTH, who, `at most ${MAX_DEPTH} levels of nesting`, 'more');
    expect(name.length <= MAX_NAME, who, `names of at most ${MAX_NAME} characters`, name.length);
    const tensor = asKind(value, 'tensor');
    const module = asModule(value);
    const inner = module ? membersOf(module) : entriesOf(value, flat);
    if (tensor) {
      const full = name === '' ? 'tensor' : name;
      expect(!tensors.has(full), who, 'every name once', `${JSON.stringify(full)} twice`);
      tensors.set(full, tensor);
      for (let c = within; c; c = c.within) c.tensors++;
    } else if (inner) {
      const layers = layersAt(name, module, within);
      if (module) layers?.list.push(describe(below(name, layers.name), module));
      const container: Container = { name, depth, within, layers, tensors: 0 };
      containers.push(container);
      // The last is walked first: reversed, the order of the file is kept.
      for (const [key, item] of inner.reverse()) {
        const path = name === '' ? key : `${name}.${key}`;
        stack.push({ name: path, depth: depth + 1, value: item, within: container });
      }
    } else if (value !== null) left.push(place);
  }
  expect(
    tensors.size > 0,
    who,
    'tensors by name',
    `a ${kindOf(root)} without any`,
    'Save the weights alone: torch.save(model.state_dict(), path).',
  );
  const layered = containers.flatMap(({ name, layers }) =>
    layers?.name === name ? [[name, layers.list] as const] : [],
  );
  return { tensors, keys: keysOf(containers), modules: new Map(layered), left: emptyOf(left) };
}

/** Names of what has no tensors, where all of a container has none its own. */
function emptyOf(places: readonly Place[]): string[] {
  const names = places.map(({ name, within }) => {
    let outer = name;
    for (let c = within; c && c.tensors === 0; c = c.within) outer = c.name;
    return outer;
  });
  return [...new Set(names)];
}

/** What of its own a module begins, or the outermost module around; DataParallel is only a wrapper. */
function layersAt(
  name: string,
  module: Instance | undefined,
  within: Container | undefined,
): Container['layers'] {
  if (within?.layers || !module || module.of.endsWith('.DataParallel')) return within?.layers;
  return { name, list: [] };
}

const below = (name: string, key: string): string =>
  key === '' ? name : name.slice(key.length + 1);

function keysOf(containers: readonly Container[]): string[] {
  const held = containers.filter(
    ({ name, depth, tensors, layers }) =>
      tensors > 0 && depth <= MAX_KEY_DEPTH && (layers === undefined || layers.name === name),
  );
  return held.sort((a, b) => a.depth - b.depth).map(({ name }) => name);
}

/** Names and values of a dict, list or tuple. */
function entriesOf(value: Value | undefined, flat?: Set<Value>): [string, Value][] | undefined {
  const entries = asKind(value, 'dict')?.entries;
  if (entries) return [...entries].map(([key, item], i) => [nameOf(key, i), item]);
  const items = itemsOf(value);
  if (!items || value === undefined || flat?.has(value)) return undefined;
  if (
    items.length > 0 &&
    flat &&
    !items.some((item) => typeof item === 'object' && item !== null)
  ) {
    flat.add(value);
    return undefined;
  }
  return items.map((item, i) => [String(i), item]);
}

function asModule(value: Value | undefined): (Instance & { state: Dict }) | undefined {
  const object = asKind(value, 'object');
  const state = asKind(object?.state, 'dict');
  const held = state?.entries.has('_parameters') && state.entries.has('_modules');
  return object && state && held ? { ...object, state } : undefined;
}

/** How many values `membersOf`, `entriesOf` and `describe` look at, counted without looking. */
function widthOf(value: Value): number {
  const own = asKind(value, 'dict')?.entries.size ?? itemsOf(value)?.length ?? 0;
  const state = asModule(value)?.state.entries;
  const parts = [...PARTS, PASSING].map((key) => {
    const part = state?.get(key);
    return asKind(part, 'dict')?.entries.size ?? itemsOf(part)?.length ?? 0;
  });
  return parts.reduce((sum, size) => sum + size, own + (state?.size ?? 0));
}

const PARTS = ['_parameters', '_buffers', '_modules'] as const;
const PASSING = '_non_persistent_buffers_set';

/** Parameters, the buffers a state dict would hold, and children. */
function membersOf({ state }: { state: Dict }): [string, Value][] {
  const [params, buffers, modules] = PARTS.map((key) => entriesOf(state.entries.get(key)) ?? []);
  const passing = new Set(itemsOf(state.entries.get(PASSING)));
  return [...params!, ...buffers!.filter(([name]) => !passing.has(name)), ...modules!];
}

function describe(name: string, { of, state }: Instance & { state: Dict }): TorchModule {
  const settings = new Map<string, Setting>();
  for (const [key, value] of state.entries) {
    const setting = settingOf(value);
    if (typeof key === 'string' && !key.startsWith('_') && setting !== undefined)
      settings.set(key, setting);
  }
  return { name, type: of.slice(of.lastIndexOf('.') + 1), settings };
}

function settingOf(value: Value): Setting | undefined {
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return value;
  if (typeof value === 'string') return value;
  const items = itemsOf(value);
  const small = items && items.length <= 64 && items.every((item) => typeof item === 'number');
  return small ? (items as number[]) : undefined;
}

/** Keys that are no names are told apart by their place. */
function nameOf(key: Value, place: number): string {
  if (typeof key === 'string') return key;
  return typeof key === 'number' || typeof key === 'bigint'
    ? String(key)
    : `(${kindOf(key)} ${place})`;
}
