/** Tensors by name, as files of weights alone give them. */
import type { Shape } from '../../tensor/shape';

export interface WeightTensor {
  readonly shape: Shape;
  /** Row-major; may be made when asked for. */
  readonly values: Float32Array;
}

/** Tensors by name, in the order of the file. */
export type WeightFile = ReadonlyMap<string, WeightTensor>;

/** What the order of a file's tensors means: `file` is the order of layers, `name` only names are. */
export type TensorOrder = 'file' | 'name';

/** One name and shape, of a parameter or of a tensor. */
export interface Entry {
  readonly name: string;
  readonly shape: Shape;
}

/** Parameter -> tensor. */
export type Pairs = ReadonlyMap<string, string>;

export const entryOf = ([name, { shape }]: readonly [
  string,
  { readonly shape: Shape },
]): Entry => ({ name, shape });

export function show({ name, shape }: Entry): string {
  const short = name.length > 80 ? `${name.slice(0, 80)}...` : name;
  return `${short} [${shape.join(', ')}]`;
}

/** The first tensors of a file with their shapes, for messages. */
export function listTensors(file: WeightFile): string {
  const shown = [...file].slice(0, 8).map((entry) => show(entryOf(entry)));
  return (
    shown.join(', ') + (file.size > shown.length ? `, and ${file.size - shown.length} more` : '')
  );
}

/** The first of some names, for messages. */
export function listNames(names: readonly string[]): string {
  const shown = names
    .slice(0, 8)
    .map((name) => (name.length > 60 ? `${name.slice(0, 60)}...` : name));
  return shown.join(', ') + (names.length > 8 ? ` and ${names.length - 8} more` : '');
}
