/**
 * The one error class of the library and the helpers that raise it.
 *
 * Every message reads `<who>: expected <what>, got <what>. <hint>`, where *who* is the layer's path
 * in the model, or the file and field. All that is wrong is listed at once, one sentence a line; a
 * message stays readable whatever the file: at most 40 lines of 2000 characters, a value's first 300.
 */
import { suggest } from './suggest';
import { clip, clipLines } from './text';

const MOST_LINES = 40;
const MOST_OF_A_LINE = 2000;
const MOST_OF_A_PART = 300;

export class EspalierError extends Error {
  override readonly name = 'EspalierError';

  constructor(message: string, options?: ErrorOptions) {
    super(clipLines(message, MOST_LINES, MOST_OF_A_LINE), options);
  }
}

/** Raises `<who>: expected <expected>, got <got>. <hint>`. */
export function fail(
  who: string,
  expected: string,
  got: unknown,
  hint = '',
  options?: ErrorOptions,
): never {
  const subject = clip(who, MOST_OF_A_PART);
  throw new EspalierError(
    `${subject}: expected ${expected}, got ${describe(got)}.${hint && ` ${hint}`}`,
    options,
  );
}

/** Raises the same sentence unless `condition` holds. */
export function expect(
  condition: unknown,
  who: string,
  expected: string,
  got: unknown,
  hint = '',
): asserts condition {
  if (!condition) fail(who, expected, got, hint);
}

/** The entry `name` of a registry, or an error with the nearest right name. */
export function lookup<T>(registry: Readonly<Record<string, T>>, name: string, who: string): T {
  const entry = Object.hasOwn(registry, name) ? registry[name] : undefined;
  if (entry === undefined) {
    const keys = Object.keys(registry);
    fail(who, `one of ${keys.join(', ')}`, `"${name}"`, suggest(name, keys));
  }
  return entry;
}

/** A text of a file in quotes and escaped, cut to what a line can hold. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

/** Any value in a few words, as JSON where it has one; never fails, however deep it is nested. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return value === '' ? '""' : clip(value, MOST_OF_A_PART);
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    const flat = Array.isArray(value) && value.every((item) => typeof item !== 'object');
    return clip(flat ? `[${value.join(', ')}]` : JSON.stringify(value), MOST_OF_A_PART);
  } catch {
    return Array.isArray(value) ? `a list of ${value.length} items` : 'an object';
  }
}

const NO_ROOM: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** True where the operating system says, here or as the cause, that a file can grow no more. */
export const isNoRoom = (error: unknown): boolean =>
  error instanceof Error &&
  (('code' in error && NO_ROOM.includes(error.code)) || isNoRoom(error.cause));

/** The engine or JavaScript could not have the memory it asked for. */
export const isOutOfMemory = (error: unknown): boolean =>
  (error instanceof EspalierError && error.message.startsWith('memory:')) ||
  (error instanceof RangeError &&
    (/allocation failed/i.test(error.message) ||
      Number(/typed array length: (.+)/i.exec(error.message)?.[1]) > 2 ** 31));
