/**
 * The two containers of PyTorch files: the zip archive `torch.save` writes since 1.6, and the
 * legacy row of pickles before it. Either gives one unpickled value and the bytes of its storages.
 *
 * zip: `<stem>/data.pkl`, `<stem>/data/<key>` a storage each, `<stem>/byteorder` in newer files.
 * legacy: pickles of a magic number, a protocol version, facts on the writer's machine, the value
 * and the list of storage keys; then, in the order of that list, an i64 count and the items.
 */
import { expect, fail, quote } from '../../errors';
import { ITEM_BYTES } from '../safetensors';
import { isZip, openZip } from '../zip';
import { TorchHost } from './globals';
import { unpickle } from './pickle';
import { asKind, itemsOf, type Storage, type Value } from './values';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_VERSION = 1001;

export interface Contents {
  readonly value: Value;
  /** The little-endian bytes of a whole storage. */
  bytesOf(storage: Storage): Uint8Array;
}

/** Reads either container; raises EspalierError for anything else. Errors begin with `who`. */
export function openTorch(bytes: Uint8Array, who: string): Contents {
  if (isZip(bytes)) return openArchive(bytes, who);
  if (bytes[0] === 0x80) return openLegacy(bytes, who);
  const start = [...bytes.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0'));
  return fail(
    who,
    'a PyTorch file: a zip archive or a pickle',
    start.length === 0 ? 'an empty file' : `one that starts ${start.join(' ')}`,
  );
}

function openArchive(bytes: Uint8Array, who: string): Contents {
  const zip = openZip(bytes, who);
  const pickles = zip.names.filter((name) => /^([^/]*\/)?data\.pkl$/.test(name));
  const [name] = pickles;
  if (name === undefined || pickles.length > 1)
    fail(who, 'one data.pkl in the archive', `${pickles.length}`, 'Is it a PyTorch file?');
  const stem = name.slice(0, -'data.pkl'.length);
  expect(
    !zip.names.includes(`${stem}constants.pkl`),
    who,
    'a state dict',
    'a TorchScript archive',
    'Save the weights alone: torch.save(model.state_dict(), path).',
  );
  // PyTorch can be told to leave checksums out, and its own reader does not look at them.
  const read = (entry: string): Uint8Array => zip.read(stem + entry, { checksum: false });
  if (zip.names.includes(`${stem}byteorder`)) {
    const order = String.fromCharCode(...read('byteorder').subarray(0, 8));
    expect(order === 'little', who, 'little-endian storages', `byte order ${quote(order)}`);
  }
  const host = new TorchHost(who);
  const value = guarded(host, () => unpickle(read('data.pkl'), host, `${who}, data.pkl`).value);
  const known = new Map<string, Uint8Array>();
  return {
    value,
    bytesOf(storage) {
      const { key } = storage;
      const found = known.get(key) ?? read(`data/${key}`);
      known.set(key, found);
      checkSize(storage, found.length, who);
      return found;
    },
  };
}

function openLegacy(bytes: Uint8Array, who: string): Contents {
  const host = new TorchHost(who);
  let at = 0;
  const next = (what: string): Value => {
    const { value, end } = unpickle(bytes, host, `${who}, ${what}`, at);
    at = end;
    return value;
  };
  const value = guarded(host, () => {
    const magic = next('magic number');
    expect(magic === MAGIC, who, 'a PyTorch file', 'a pickle of something else');
    const version = next('version');
    expect(version === LEGACY_VERSION, `${who}, version`, LEGACY_VERSION.toString(), 'another');
    const facts = asKind(next('machine'), 'dict');
    const little = facts?.entries.get('little_endian') !== false;
    expect(little, who, 'little-endian storages', 'big-endian ones');
    return next('value');
  });
  const keys = itemsOf(guarded(host, () => next('storage keys'))) ?? [];
  const found = new Map<string, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const key of keys) {
    const storage = typeof key === 'string' ? host.storages.get(key) : undefined;
    if (!storage || found.has(storage.key))
      fail(`${who}, storage keys`, 'each storage of the file once', 'another key', DAMAGED);
    expect(at + 8 <= bytes.length, `${who}, storage ${quote(storage.key)}`, 'a size', 'the end');
    expect(
      view.getBigInt64(at, true) === BigInt(storage.count),
      `${who}, storage ${quote(storage.key)}`,
      `${storage.count} items`,
      view.getBigInt64(at, true),
      DAMAGED,
    );
    const begin = at + 8;
    at = begin + storage.count * itemBytes(storage);
    const inside = bytes.subarray(begin, at);
    checkSize(storage, inside.length, who);
    found.set(storage.key, inside);
  }
  return {
    value,
    bytesOf: ({ key }) =>
      found.get(key) ?? fail(`${who}, storage ${quote(key)}`, 'its bytes', 'none', DAMAGED),
  };
}

const DAMAGED = 'The file is damaged or cut short; fetch it again.';

function itemBytes({ dtype }: Storage): number {
  return dtype === undefined ? 1 : ITEM_BYTES[dtype];
}

function checkSize(storage: Storage, found: number, who: string): void {
  const bytes = storage.count * itemBytes(storage);
  const fits = bytes === found;
  expect(fits, `${who}, storage ${quote(storage.key)}`, `${bytes} bytes`, found, DAMAGED);
}

/** Runs `read`; refused globals, if any, are the error, whatever went wrong because of them. */
function guarded(host: TorchHost, read: () => Value): Value {
  try {
    return read();
  } finally {
    host.check();
  }
}
