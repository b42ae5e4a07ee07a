/**
 * What the restricted unpickler builds: plain inert records. No class of a file exists here; a
 * `global` is a name from the white list, an `object` the arguments and state some class would get.
 */
import type { Dtype } from '../safetensors';

/** A typed block of items by key; several tensors may look at one. */
export interface Storage {
  readonly kind: 'storage';
  readonly key: string;
  /** Absent for untyped storages, whose items are bytes and whose tensors bring their dtype. */
  readonly dtype: Dtype | undefined;
  /** Items in the whole block. */
  readonly count: number;
  /** First item of this view of the block. */
  readonly offset: number;
}

/** A strided view of a storage. Offset and strides count items. */
export interface TensorRef {
  readonly kind: 'tensor';
  readonly storage: Storage;
  readonly dtype: Dtype;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export interface Tuple {
  readonly kind: 'tuple';
  readonly items: readonly Value[];
}

/** A list, or a set: nobody here asks for the difference. */
export interface List {
  readonly kind: 'list';
  readonly items: Value[];
}

/** Keys compare as in a Map: names and numbers by value, all else by identity. */
export interface Dict {
  readonly kind: 'dict';
  readonly entries: Map<Value, Value>;
}

export interface Global {
  readonly kind: 'global';
  readonly name: string;
}

export interface Instance {
  readonly kind: 'object';
  /** The full name of the class. */
  readonly of: string;
  state: Value;
}

/** Stands for whatever a global off the white list would have made; the file is refused at its end. */
export interface Refused {
  readonly kind: 'refused';
}

export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Tuple
  | List
  | Dict
  | Global
  | Instance
  | Storage
  | TensorRef
  | Refused;

export const EMPTY: Tuple = { kind: 'tuple', items: [] };
export const REFUSED: Refused = { kind: 'refused' };

type Kinded = Extract<Value, { kind: string }>;

/** The value's kind in a word, for errors; never walks into it. */
export function kindOf(value: Value | undefined): string {
  if (value === null || value === undefined) return 'none';
  if (value instanceof Uint8Array) return 'bytes';
  return typeof value === 'object' ? value.kind : typeof value;
}

/** `value` if it is of that kind. */
export function asKind<K extends Kinded['kind']>(
  value: Value | undefined,
  kind: K,
): Extract<Kinded, { kind: K }> | undefined {
  return kindOf(value) === kind ? (value as Extract<Kinded, { kind: K }>) : undefined;
}

/** The items of a tuple or list. */
export function itemsOf(value: Value | undefined): readonly Value[] | undefined {
  return (asKind(value, 'tuple') ?? asKind(value, 'list'))?.items;
}

/** A non-negative safe integer. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A tuple of non-negative safe integers, at most 64 (as many dimensions as PyTorch allows). */
export function countsOf(value: Value | undefined): readonly number[] | undefined {
  const items = itemsOf(value);
  return items && items.length <= 64 && items.every(isCount) ? (items as number[]) : undefined;
}
