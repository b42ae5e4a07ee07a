/**
 * The white list of the restricted unpickler: what a PyTorch file may name, and the inert record
 * each makes. A name that is not here is collected, and the file refused with all of them.
 *
 * Deviation from `torch.load(weights_only=True)`: classes below `torch.nn.modules` are allowed, as
 * records of their state, so that networks pickled whole can be read without their code; and so are
 * inert values beside weights.
 */
import { EspalierError, fail } from '../../errors';
import type { Dtype } from '../safetensors';
import type { Host } from './machine';
import {
  asKind,
  countsOf,
  isCount,
  itemsOf,
  kindOf,
  REFUSED,
  type Storage,
  type TensorRef,
  type Value,
} from './values';

type Maker = (args: readonly Value[], who: string, charge: (items: number) => void) => Value;

const first: Maker = ([value]) => value ?? null;
/** Shares the list: nothing grows by naming it many times. */
const listOf: Maker = ([value]) => asKind(value, 'list') ?? { kind: 'list', items: [] };
const record =
  (of: string): Maker =>
  () => ({ kind: 'object', of, state: null });

/** Callables by name, `__builtin__` written as `builtins`. */
const MAKERS: Readonly<Record<string, Maker>> = {
  'collections.OrderedDict': dict,
  'collections.Counter': dict,
  'collections.defaultdict': defaultDict,
  'collections.deque': listOf,
  'builtins.dict': dict,
  'builtins.set': listOf,
  'builtins.frozenset': listOf,
  'builtins.list': listOf,
  'builtins.bytearray': first,
  '_codecs.encode': first,
  'torch.Size': first,
  'torch.serialization._get_layout': record('torch.layout'),
  'copy_reg._reconstructor': reconstructed,
  'copyreg._reconstructor': reconstructed,
  'torch._utils._rebuild_tensor': tensor,
  'torch._utils._rebuild_tensor_v2': tensor,
  'torch._utils._rebuild_tensor_v3': tensor,
  'torch._utils._rebuild_parameter': first,
  'torch._utils._rebuild_parameter_with_state': first,
  'torch._tensor._rebuild_from_type_v2': rebuildFromType,
};

const STORAGES: Readonly<Record<string, Dtype | undefined>> = {
  ...{ FloatStorage: 'F32', DoubleStorage: 'F64', HalfStorage: 'F16', BFloat16Storage: 'BF16' },
  ...{ LongStorage: 'I64', IntStorage: 'I32', ShortStorage: 'I16', CharStorage: 'I8' },
  ...{ ByteStorage: 'U8', BoolStorage: 'BOOL' },
};
const UNTYPED = /^torch\.(storage\.)?_?UntypedStorage$/;
const STORAGE = /^torch\.(?:cuda\.)?(\w+Storage)$/;

const DTYPES: Readonly<Record<string, Dtype>> = {
  ...{ float32: 'F32', float64: 'F64', float16: 'F16', bfloat16: 'BF16', bool: 'BOOL' },
  ...{ int64: 'I64', int32: 'I32', int16: 'I16', int8: 'I8' },
  ...{ uint64: 'U64', uint32: 'U32', uint16: 'U16', uint8: 'U8' },
};

/** Names that mean something as an argument only. */
const MARKERS: ReadonlySet<string> = new Set([
  'torch.Tensor',
  'torch.nn.parameter.Parameter',
  'torch.nn.Parameter',
  'torch.nn.parameter.Buffer',
  'torch.storage.TypedStorage',
  'torch.storage._TypedStorage',
]);

/**
 * What checkpoints keep beside weights, which are records that nobody looks into: classes of Python and
 * NumPy, settings of common tools, and the hooks by which modules compute a weight of its parts.
 */
const INERT: readonly RegExp[] = [
  /^torch\.device$/,
  /^argparse\.Namespace$|^types\.SimpleNamespace$/,
  /^pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path$/,
  /^datetime\.(datetime|date|time|timedelta|timezone)$/,
  /^(uuid\.UUID|decimal\.Decimal|fractions\.Fraction)$/,
  /^builtins\.(int|float|str|bool|complex|tuple|bytes|range|slice|object)$/,
  /^numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|ndarray|dtype)$/,
  /^numpy\.(dtypes\.\w+DType|u?int(8|16|32|64)|float(16|32|64)|bool_?|str_|bytes_)$/,
  /^(yacs\.config\.CfgNode|easydict\.EasyDict)$/,
  /^omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig|nodes\.\w+Node)$/,
  /^omegaconf\.base\.(ContainerMetadata|Metadata)$|^typing\.Any$/,
  /^(pytorch_lightning|lightning|lightning_fabric)\.[\w.]{1,60}\.AttributeDict$/,
  /^torch\.nn\.utils\.(weight_norm\.WeightNorm|spectral_norm\.SpectralNorm\w*)$/,
  /^torch\.nn\.utils\.prune\.[A-Z]\w*$/,
  /^torch\.(contiguous_format|channels_last|preserve_format|strided)$/,
];

const MODULE = /^torch\.nn\.(modules\.\w+\.[A-Z]\w*|parallel\.data_parallel\.DataParallel)$/;

/** Known, and refused for a reason better than their name. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/_rebuild_sparse/, 'a sparse tensor'],
  [/_rebuild_qtensor|Q(U?Int|Bits)\w*Storage$/, 'a quantised tensor'],
  [/Complex\w+Storage$/, 'a complex tensor'],
  [/_rebuild_nested_tensor/, 'a nested tensor'],
  [/_rebuild_meta_tensor/, 'a tensor without data'],
  [/^__torch__\./, 'a class of a TorchScript archive'],
];

/** The host of one file. `refused` fills up while unpickling; call `check` at the end. */
export class TorchHost implements Host {
  /** The storages met, by key. */
  readonly storages = new Map<string, Storage>();
  readonly #refused = new Set<string>();
  readonly #who: string;

  constructor(who: string) {
    this.#who = who;
  }

  global(name: string): Value {
    const known = name.replace(/^__builtin__\./, 'builtins.');
    if (isKnown(known)) return { kind: 'global', name: known };
    this.#refused.add(name);
    return REFUSED;
  }

  call(callee: Value, args: readonly Value[], charge: (items: number) => void): Value {
    if (callee === REFUSED) return REFUSED;
    const name = asKind(callee, 'global')?.name;
    if (name === undefined) fail(this.#who, 'a class or function to call', kindOf(callee));
    const make = Object.hasOwn(MAKERS, name) ? MAKERS[name] : undefined;
    if (make) return args.includes(REFUSED) ? REFUSED : make(args, this.#who, charge);
    return isClass(name) ? { kind: 'object', of: name, state: null } : REFUSED;
  }

  /**
   * `('storage', type, key, device, items, view?)`, where the view of old files is
   * `(key, first item, items)`; or `('module', class, source file, source)`, whose source is left.
   */
  persistent(id: Value): Value {
    const items = itemsOf(id);
    if (items?.includes(REFUSED)) return REFUSED;
    if (items?.[0] === 'module') return items[1] ?? null;
    const [tag, type, key, , count, view] = items ?? [];
    const name = asKind(type, 'global')?.name ?? '';
    if (tag !== 'storage' || typeof key !== 'string' || !isCount(count))
      fail(this.#who, 'a storage by type, key and size', 'something else', 'The file is damaged.');
    const short = STORAGE.exec(name)?.[1];
    if (short === undefined && !UNTYPED.test(name))
      fail(this.#who, 'a type of storage', name === '' ? 'no name' : name);
    const dtype = short === undefined ? undefined : STORAGES[short];
    const known = this.storages.get(key);
    if (known && (known.dtype !== dtype || known.count !== count))
      fail(this.#who, 'one type and size of a storage', 'two of each', 'The file is damaged.');
    const storage: Storage = known ?? { kind: 'storage', key, dtype, count, offset: 0 };
    this.storages.set(key, storage);
    const from = itemsOf(view)?.[1];
    return isCount(from) ? { ...storage, offset: from } : storage;
  }

  /** Raises the error that names every refused global, if there is any. */
  check(): void {
    if (this.#refused.size === 0) return;
    const names = [...this.#refused].map((name) => {
      const reason = REASONS.find(([pattern]) => pattern.test(name))?.[1];
      return JSON.stringify(name) + (reason === undefined ? '' : ` (${reason})`);
    });
    const shown = names.slice(0, 20).join(', ');
    const more = names.length > 20 ? `, and ${names.length - 20} more` : '';
    throw new EspalierError(
      `${this.#who}: expected only what state dicts are made of, got ${shown}${more}. ` +
        'Nothing was executed. Save the weights alone: torch.save(model.state_dict(), path).',
    );
  }
}

/** Whether what this makes is a record. */
const isClass = (name: string): boolean =>
  MODULE.test(name) || INERT.some((pattern) => pattern.test(name));

function isKnown(name: string): boolean {
  if (Object.hasOwn(MAKERS, name) || MARKERS.has(name) || isClass(name)) return true;
  const short = STORAGE.exec(name)?.[1];
  if (short !== undefined && Object.hasOwn(STORAGES, short)) return true;
  return UNTYPED.test(name) || dtypeNamed(name) !== undefined;
}

function dtypeNamed(name: string): Dtype | undefined {
  const short = name.startsWith('torch.') ? name.slice(6) : '';
  return Object.hasOwn(DTYPES, short) ? DTYPES[short] : undefined;
}

/** Empty, or of the pairs Python 2 gave to the constructor. */
function dict([pairs]: readonly Value[], who: string, charge: (items: number) => void): Value {
  const items = itemsOf(pairs) ?? [];
  charge(items.length);
  const entries = items.map((pair): [Value, Value] => {
    const [key, value] = itemsOf(pair) ?? [];
    if (key === undefined || value === undefined) fail(who, 'pairs of key and value', 'others');
    return [key, value];
  });
  return { kind: 'dict', entries: new Map(entries) };
}

/** The factory of missing values, which comes first, is left. */
function defaultDict([, pairs]: readonly Value[], ...rest: [string, (n: number) => void]): Value {
  return dict([pairs ?? null], ...rest);
}

/** `(class, base, value)`, as protocols 0 and 1 make objects. */
function reconstructed([of]: readonly Value[]): Value {
  const name = asKind(of, 'global')?.name ?? '';
  return isClass(name) ? { kind: 'object', of: name, state: null } : REFUSED;
}

/** `(storage, offset, shape, strides, ...)`, the rest being about gradients and at last a dtype. */
function tensor(args: readonly Value[], who: string): Value {
  const [source, offset, size, stride] = args;
  const storage = asKind(source, 'storage');
  const shape = countsOf(size);
  const strides = countsOf(stride);
  const dtype = storage?.dtype ?? dtypeNamed(asKind(args[6], 'global')?.name ?? '');
  const sound = storage && isCount(offset) && shape && strides && shape.length === strides.length;
  if (!sound || dtype === undefined)
    fail(who, 'a tensor of storage, offset, shape and strides', 'others', 'The file is damaged.');
  const ref: TensorRef = { kind: 'tensor', storage, dtype, offset, shape, strides };
  return ref;
}

/** `(function, type, arguments, state)`: a tensor with Python attributes, which are left. */
function rebuildFromType(args: readonly Value[], who: string, charge: (n: number) => void): Value {
  const name = asKind(args[0], 'global')?.name ?? '';
  const inner = itemsOf(args[2]);
  const make = name.startsWith('torch._utils._rebuild_') ? MAKERS[name] : undefined;
  if (!make || !inner) fail(who, 'a function that rebuilds a tensor', name || 'none');
  return inner.includes(REFUSED) ? REFUSED : make(inner, who, charge);
}
