/**
 * From the value of a PyTorch file to its tensors by name: finds the state dict in a checkpoint,
 * walks nested dicts and pickled modules, and joins names with dots.
 *
 * The value is a graph, perhaps with cycles or exponentially many paths: the walk keeps its own
 * stack, and its depth and the number of its visits are capped.
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

/** Keys under which checkpoints keep their weights, the likeliest first. */
const WEIGHT_KEYS = ['state_dict', 'model_state_dict', 'model', 'net', 'network', 'params'];
const MAX_DEPTH = 100;
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
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** Empty for state dicts. */
  readonly modules: readonly TorchModule[];
  /** What was left out or renamed, a sentence each. */
  readonly notes: readonly string[];
}

/** Raises EspalierError if there is no tensor, or two of one name. */
export function findTensors(root: Value, who: string): Tree {
  const notes: string[] = [];
  const { path, value } = findWeights(root, notes);
  const tensors = new Map<string, TensorRef>();
  const modules: TorchModule[] = [];
  const left: string[] = [];
  const stack: Place[] = [{ name: '', depth: 0, value }];
  let visits = 0;
  for (let place = stack.pop(); place; place = stack.pop()) {
    const { name, depth } = place;
    visits += 1 + widthOf(place.value);
    expect(visits <= MAX_VISITS, who, `at most ${MAX_VISITS} values`, 'more');
    expect(depth <= MAX_DEPTH, who, `at most ${MAX_DEPTH} levels of nesting`, 'more');
    expect(name.length <= MAX_NAME, who, `names of at most ${MAX_NAME} characters`, name.length);
    const tensor = asKind(place.value, 'tensor');
    const module = asModule(place.value);
    const inner = module ? membersOf(module) : entriesOf(place.value);
    if (tensor) {
      const full = name === '' ? 'tensor' : name;
      expect(!tensors.has(full), who, 'every name once', `${JSON.stringify(full)} twice`);
      tensors.set(full, tensor);
    } else if (inner) {
      if (module) modules.push(describe(name, module));
      // The last is walked first: reversed, the order of the file is kept.
      for (const [key, value] of inner.reverse())
        stack.push({ name: name === '' ? key : `${name}.${key}`, depth: depth + 1, value });
    } else if (place.value !== null) left.push(name);
  }
  expect(
    tensors.size > 0,
    who,
    'tensors by name',
    path === '' ? `a ${kindOf(root)} without any` : `none under "${path}"`,
    'Save the weights alone: torch.save(model.state_dict(), path).',
  );
  if (left.length > 0) notes.push(`Left out, as no tensors: ${listed(left)}.`);
  return stripParallel({ tensors, modules, notes });
}

interface Place {
  readonly name: string;
  readonly depth: number;
  readonly value: Value;
}

/** Follows the usual keys of checkpoints, twice at most. */
function findWeights(root: Value, notes: string[]): { path: string; value: Value } {
  let value = root;
  const path: string[] = [];
  for (let level = 0; level < 2; level++) {
    const entries = asKind(value, 'dict')?.entries;
    const key = WEIGHT_KEYS.find(
      (name) => entries?.get(name) && entriesOrModule(entries.get(name)),
    );
    if (!entries || key === undefined) break;
    const others = [...entries.keys()].filter((other) => other !== key).map(nameOf);
    notes.push(
      `Read what is under "${key}"${others.length > 0 ? `; left out ${listed(others)}` : ''}.`,
    );
    value = entries.get(key)!;
    path.push(key);
  }
  return { path: path.join('.'), value };
}

function entriesOrModule(value: Value | undefined): boolean {
  return asKind(value, 'dict') !== undefined || asModule(value) !== undefined;
}

/** Names and values of a dict, list or tuple. */
function entriesOf(value: Value | undefined): [string, Value][] | undefined {
  const entries = asKind(value, 'dict')?.entries;
  if (entries) return [...entries].map(([key, item]) => [nameOf(key), item]);
  return itemsOf(value)?.map((item, i) => [String(i), item]);
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

/** DataParallel puts `module.` before every name. */
function stripParallel(tree: Tree): Tree {
  const prefix = 'module.';
  if (![...tree.tensors.keys()].every((name) => name.startsWith(prefix))) return tree;
  return {
    tensors: new Map([...tree.tensors].map(([name, ref]) => [name.slice(prefix.length), ref])),
    modules: tree.modules
      .filter(({ name }) => name !== '')
      .map((m) => ({ ...m, name: m.name.slice(prefix.length) })),
    notes: [...tree.notes, 'Took "module." (DataParallel) off every name.'],
  };
}

function nameOf(key: Value): string {
  return typeof key === 'string' || typeof key === 'number' ? String(key) : `(${kindOf(key)})`;
}

function listed(names: readonly string[]): string {
  const shown = names
    .slice(0, 8)
    .map((name) => (name.length > 60 ? `${name.slice(0, 60)}...` : name));
  return shown.join(', ') + (names.length > 8 ? ` and ${names.length - 8} more` : '');
}
