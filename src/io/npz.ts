/**
 * NumPy `.npz` files: a zip archive of `.npy` files, as `numpy.savez` (stored) and
 * `numpy.savez_compressed` (deflated) write them.
 */
import { expect } from '../errors';
import { type NpyArray, type NumericArray, readNpy, writeNpy } from './npy';
import { openZip, writeZip } from './zip';

const SUFFIX = '.npy';

/** The arrays by name (without `.npy`), in the order of the archive. Errors begin with `who`. */
export function readNpz(bytes: Uint8Array, who: string): ReadonlyMap<string, NpyArray> {
  const zip = openZip(bytes, who);
  const others = zip.names.filter((name) => !name.endsWith(SUFFIX));
  const shown = JSON.stringify(others.slice(0, 8)).slice(0, 200);
  expect(others.length === 0, who, 'only .npy files in the archive', shown);
  return new Map(
    zip.names.map((entry) => {
      const name = entry.slice(0, -SUFFIX.length);
      return [name, readNpy(zip.read(entry), `${who}, ${JSON.stringify(name.slice(0, 80))}`)];
    }),
  );
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
