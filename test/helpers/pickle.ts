/**
 * A small pickle writer and PyTorch containers around it, to make good and evil files for tests.
 */
import { zipSync } from 'fflate';

/** A value to pickle: arrays are lists, Maps dicts; the rest is spelt out by `kind`. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Pickled[]
  | ReadonlyMap<string, Pickled>
  | { readonly kind: 'tuple'; readonly items: readonly Pickled[] }
  | { readonly kind: 'global'; readonly module: string; readonly name: string }
  | {
      readonly kind: 'call';
      readonly of: Pickled;
      readonly args: readonly Pickled[];
      readonly state?: Pickled;
      readonly items?: ReadonlyMap<string, Pickled>;
    }
  | { readonly kind: 'persistent'; readonly id: Pickled }
  | { readonly kind: 'raw'; readonly bytes: readonly number[] };

export const tuple = (...items: Pickled[]): Pickled => ({ kind: 'tuple', items });
export const global = (module: string, name: string): Pickled => ({ kind: 'global', module, name });
export const call = (of: Pickled, args: readonly Pickled[], state?: Pickled): Pickled =>
  state === undefined ? { kind: 'call', of, args } : { kind: 'call', of, args, state };
export const ordered = (entries: Readonly<Record<string, Pickled>>): Pickled => ({
  kind: 'call',
  of: global('collections', 'OrderedDict'),
  args: [],
  items: new Map(Object.entries(entries)),
});

const ascii = (text: string): number[] => [...Buffer.from(text, 'utf8')];
const u32 = (value: number): number[] => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return [...bytes];
};
const f64 = (value: number): number[] => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return [...bytes];
};

/** One opcode by its character, and its argument. */
export const op = (char: string, ...argument: number[]): number[] => [
  char.charCodeAt(0),
  ...argument,
];

/** `value` with the opcodes of protocol 2, between PROTO and STOP. */
export function pickle(value: Pickled): Uint8Array {
  return Uint8Array.from([0x80, 2, ...body(value), ...op('.')]);
}

function body(value: Pickled): number[] {
  if (value === null) return op('N');
  if (typeof value === 'boolean') return [value ? 0x88 : 0x89];
  if (typeof value === 'bigint') return long(value);
  if (typeof value === 'string') return op('X', ...u32(ascii(value).length), ...ascii(value));
  if (typeof value === 'number')
    return Number.isInteger(value) && Math.abs(value) < 2 ** 31
      ? op('J', ...u32(value >>> 0))
      : op('G', ...f64(value));
  if (value instanceof Map) return [...op('}'), ...items(value)];
  if (Array.isArray(value)) return [...op(']'), ...op('('), ...value.flatMap(body), ...op('e')];
  if ('kind' in value)
    switch (value.kind) {
      case 'tuple':
        return [...op('('), ...value.items.flatMap(body), ...op('t')];
      case 'global':
        return op('c', ...ascii(`${value.module}\n${value.name}\n`));
      case 'persistent':
        return [...body(value.id), ...op('Q')];
      case 'raw':
        return [...value.bytes];
      case 'call':
        return [
          ...body(value.of),
          ...body({ kind: 'tuple', items: value.args }),
          ...op('R'),
          ...(value.items ? items(value.items) : []),
          ...(value.state === undefined ? [] : [...body(value.state), ...op('b')]),
        ];
    }
  throw new Error('not picklable here');
}

function items(map: ReadonlyMap<string, Pickled>): number[] {
  return [...op('('), ...[...map].flatMap(([k, v]) => [...body(k), ...body(v)]), ...op('u')];
}

function long(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest !== 0n && rest !== -1n) {
    bytes.push(Number(BigInt.asUintN(8, rest)));
    rest >>= 8n;
  }
  bytes.push(Number(BigInt.asUintN(8, rest)));
  return [0x8a, bytes.length, ...bytes];
}

/** A tensor's pickle; row-major strides unless given. */
export function tensor(
  key: string,
  type: string,
  shape: readonly number[],
  options: { count?: number; strides?: readonly number[]; offset?: number; view?: Pickled } = {},
): Pickled {
  const size = shape.reduce((product, length) => product * length, 1);
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((p, length) => p * length, 1));
  const id: Pickled[] = ['storage', global('torch', type), key, 'cpu', options.count ?? size];
  if (options.view !== undefined) id.push(options.view);
  return call(global('torch._utils', '_rebuild_tensor_v2'), [
    { kind: 'persistent', id: tuple(...id) },
    options.offset ?? 0,
    tuple(...shape),
    tuple(...(options.strides ?? strides)),
    false,
    ordered({}),
  ]);
}

/** The zip container; `extra` adds or replaces entries, all stored. */
export function torchZip(
  data: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>>,
  extra: Readonly<Record<string, Uint8Array>> = {},
): Uint8Array {
  const entries: Record<string, Uint8Array> = { 'archive/data.pkl': data, ...extra };
  for (const [key, bytes] of Object.entries(storages)) entries[`archive/data/${key}`] = bytes;
  return zipSync(entries, { level: 0, mtime: new Date(1980, 0, 1) });
}

export const MAGIC = 0x1950a86a20f9469cfc6cn;

/** The container from before PyTorch 1.6; storages are their item count and bytes. */
export function torchLegacy(
  data: Uint8Array,
  storages: Readonly<Record<string, readonly [number, Uint8Array]>>,
  { magic = MAGIC, version = 1001, little = true } = {},
): Uint8Array {
  const facts = new Map<string, Pickled>([['little_endian', little]]);
  const parts = [pickle(magic), pickle(version), pickle(facts), data];
  parts.push(pickle(Object.keys(storages)));
  for (const [count, bytes] of Object.values(storages)) {
    const size = Buffer.alloc(8);
    size.writeBigInt64LE(BigInt(count));
    parts.push(size, bytes);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** The little-endian bytes of float32 values. */
export function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}
