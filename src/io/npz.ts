/**
 * NumPy `.npz` files: a zip archive of `.npy` files, as `numpy.savez` (stored) and
 * `numpy.savez_compressed` (deflated) write them.
 */
import { expect, quote } from '../errors';
import { type NpyArray, type NumericArray, readNpy, refusedKind, writeNpy } from './npy';
import { openZip, writeZip } from './zip';

const SUFFIX = '.npy';

/** An archive whose arrays are read when asked for. Errors begin with `who`. */
export interface NpzFile {
  /** Names of the arrays (without `.npy`), in the order of the archive. */
  readonly names: readonly string[];
  /** Names of entries that are no arrays. */
  readonly others: readonly string[];
  read(name: string): NpyArray;
  /** An array, or what it holds that is not read, such as "text". */
  readIfNumbers(name: string): NpyArray | string;
}

export function openNpz(bytes: Uint8Array, who: string): NpzFile {
  const zip = openZip(bytes, who);
  const field = (name: string): string => `${who}, ${quote(name)}`;
  return {
    names: zip.names.filter((name) => name.endsWith(SUFFIX)).map((n) => n.slice(0, -SUFFIX.length)),
    others: zip.names.filter((name) => !name.endsWith(SUFFIX)),
    read: (name) => readNpy(zip.read(name + SUFFIX), field(name)),
    readIfNumbers(name) {
      const file = zip.read(name + SUFFIX);
      return refusedKind(file, field(name)) ?? readNpy(file, field(name));
    },
  };
}

/** All arrays of numbers by name; text, objects and other files beside them are left, with a note. */
export function readNumbers(
  bytes: Uint8Array,
  who: string,
): { readonly arrays: ReadonlyMap<string, NpyArray>; readonly notes: readonly string[] } {
  const { names, others, readIfNumbers } = openNpz(bytes, who);
  const left = others.map((name) => quote(name));
  const arrays = new Map<string, NpyArray>();
  for (const name of names) {
    const found = readIfNumbers(name);
    if (typeof found === 'string') left.push(`${quote(name)} (${found})`);
    else arrays.set(name, found);
  }
  const more = left.length > 8 ? ` and ${left.length - 8} more` : '';
  const said = `${who}: left out, as no numbers: ${left.slice(0, 8).join(', ')}${more}.`;
  return { arrays, notes: left.length > 0 ? [said] : [] };
}

/** The arrays by name, all of which must be numbers. */
export function readNpz(bytes: Uint8Array, who: string): ReadonlyMap<string, NpyArray> {
  const { names, others, read } = openNpz(bytes, who);
  const shown = JSON.stringify(others.slice(0, 8)).slice(0, 200);
  expect(others.length === 0, who, 'only .npy files in the archive', shown);
  return new Map(names.map((name) => [name, read(name)]));
}

/** An array to write: row-major values and their shape. */
export interface NpyInput {
  readonly values: NumericArray;
  readonly shape: readonly number[];
}

/** The archive of `arrays`, deflated unless told not to; equal content gives equal bytes. */
export function writeNpz(
  arrays: ReadonlyMap<string, NpyInput>,
  { compress = true }: { readonly compress?: boolean } = {},
): Uint8Array {
  const files = [...arrays].map(([name, { values, shape }]): [string, Uint8Array] => [
    name + SUFFIX,
    writeNpy(values, shape),
  ]);
  return writeZip(new Map(files), compress);
}
