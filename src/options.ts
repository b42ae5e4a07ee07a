/**
 * Options of plug-ins and of the config, as valibot schemas: one description gives the type, the
 * defaults, the range checks and the error sentence.
 *
 * Every registry entry (objective, strategy, attack, verifier, ...) carries `options`, a strict
 * object schema whose keys all have defaults, so `{}` is always valid.
 */
import * as v from 'valibot';
import { describe, EspalierError, lookup, quote } from './errors';
import { suggest } from './suggest';
import { clip } from './text';

/** A strict object schema: unknown keys are errors. */
export type OptionsSchema = v.StrictObjectSchema<v.ObjectEntries, undefined>;

/** What any such schema gives: the options of an entry whose own type is not known. */
export type Options = Readonly<Record<string, unknown>>;

const RADIUS = 'a radius in (0, 1], as a number or like "8/255"';

/** A perturbation radius in input space, in (0, 1]: a number, or a quotient such as "8/255". */
export const eps = () =>
  v.pipe(
    v.union([v.number(), v.string()], RADIUS),
    v.check((given) => parseEps(given) > 0 && parseEps(given) <= 1, RADIUS),
    v.transform(parseEps),
  );

/** A number in [min, max]. */
export const real = (min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY) =>
  v.pipe(
    v.number(`a number in [${min}, ${max}]`),
    v.check((x) => Number.isFinite(x) && x >= min && x <= max, `a number in [${min}, ${max}]`),
  );

/** A whole number in [min, max]. */
export const whole = (min = 0, max: number = Number.MAX_SAFE_INTEGER) => {
  const what = max === Number.MAX_SAFE_INTEGER ? `>= ${min}` : `in [${min}, ${max}]`;
  return v.pipe(
    v.number(`a whole number ${what}`),
    v.check((x) => Number.isInteger(x) && x >= min && x <= max, `a whole number ${what}`),
  );
};

/** A fraction removed, in [0, 1). */
export const sparsity = () =>
  v.pipe(
    v.number('a fraction in [0, 1): the share of weights removed'),
    v.check((x) => x >= 0 && x < 1, 'a fraction in [0, 1): the share of weights removed'),
  );

/** One of `names`. */
export const choice = <const T extends readonly string[]>(names: T) =>
  v.picklist(names, `one of ${names.join(', ')}`);

/** `value` checked and completed by `schema`; every issue is listed, each with its path. */
export function parseOptions<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  who: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new EspalierError(result.issues.map((issue) => sentence(issue, schema, who)).join('\n'));
}

function sentence(issue: v.BaseIssue<unknown>, schema: v.GenericSchema, who: string): string {
  const path = issue.path?.map((item) => String(item.key)) ?? [];
  const where = [who, clip(path.join('.'), 80)].filter(Boolean).join(': ');
  if (issue.type === 'strict_object' && issue.expected === 'never') {
    const key = path.at(-1) ?? '';
    const hint = suggest(key, knownKeys(schema, path.slice(0, -1)));
    return `${where}: expected a known option, got ${quote(key)}. ${hint}`;
  }
  if (issue.type === 'strict_object' && issue.input === undefined)
    return `${where}: expected a value, got nothing.`;
  const what = issue.message.startsWith('Invalid') ? (issue.expected ?? '') : issue.message;
  return `${where}: expected ${what}, got ${given(issue.input)}.`;
}

/** A value as its writer wrote it: strings in quotes. */
function given(input: unknown): string {
  if (input === undefined) return 'nothing';
  return typeof input === 'string' ? quote(input) : describe(input);
}

/** The keys of the object schema found at `path` below `schema`. */
function knownKeys(schema: v.GenericSchema, path: readonly string[]): string[] {
  let at: unknown = schema;
  for (const key of [...path, '']) {
    while (isRecord(at) && 'wrapped' in at) at = at.wrapped;
    if (!isRecord(at) || !isRecord(at.entries)) return [];
    if (key === '') return Object.keys(at.entries);
    at = Object.hasOwn(at.entries, key) ? at.entries[key] : undefined;
  }
  return [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function parseEps(value: number | string): number {
  if (typeof value === 'number') return value;
  const match = /^\s*((?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?)\s*(?:\/\s*(\d+(?:\.\d+)?)\s*)?$/i.exec(
    value,
  );
  if (!match) return Number.NaN;
  return Number(match[1]) / (match[2] === undefined ? 1 : Number(match[2]));
}

/** A registry entry chosen by its name, with options. */
export interface PlugIn {
  readonly name: string;
  readonly [option: string]: unknown;
}

/** One plug-in, or several in order. */
export type PlugIns = PlugIn | readonly PlugIn[];

/** Plug-ins as a list. */
export const listed = (given: PlugIns): readonly PlugIn[] =>
  Array.isArray(given) ? given : [given as PlugIn];

/** Names of plug-ins, as `pgd, square`. */
export const namesOf = (given: PlugIns): string =>
  listed(given)
    .map(({ name }) => name)
    .join(', ');

export type Registry = Readonly<Record<string, { readonly options?: OptionsSchema }>>;
export type SlotSchema = v.OptionalSchema<v.GenericSchema<PlugIn>, PlugIn>;

/** The schema of an entry's options beside its name. */
export function slotSchema(name: string, options: OptionsSchema | undefined): SlotSchema {
  const schema = v.strictObject({
    name: v.optional(v.literal(name), name),
    ...options?.entries,
  });
  return v.optional(schema, { name }) as unknown as SlotSchema;
}

/**
 * A name, or an object with `name` and options, as a complete plug-in of the registry; an object without
 * a name is one of `fallback`. Raises EspalierError for unknown names and options.
 */
export function parsePlugIn(
  registry: Registry,
  value: unknown,
  who: string,
  fallback?: string,
): PlugIn {
  const given = typeof value === 'string' ? { name: value } : (value ?? {});
  const named = isRecord(given) && Object.hasOwn(given, 'name') ? given.name : fallback;
  const name = String(named);
  const entry = lookup(registry, name, who);
  return parseOptions(slotSchema(name, entry.options), given, who);
}

/** What every entry of a registry has. */
export interface Entry<S extends OptionsSchema = OptionsSchema> {
  /** Its key in the registry. */
  readonly name: string;
  /** One line for the help. */
  readonly about: string;
  readonly options: S;
}

/** The plug-in that an entry gives: its name and all its options. */
export type Chosen<S extends OptionsSchema> = PlugIn & v.InferOutput<S>;

/** Options as they may be given to an entry: what is left out has a default. */
export type Given<S extends OptionsSchema> = v.InferInput<S> & { readonly name?: string };

/** A method, so that a registry can hold entries of different options under one type. */
interface Choosing<S extends OptionsSchema> {
  choose(options?: Given<S>): Chosen<S>;
}

/**
 * An entry, called: `pgd({ steps: 20 })` is `{ name: 'pgd', steps: 20, restarts: 1, ... }`. Complete
 * options stay as they are. Raises EspalierError for options it does not know or that are out of range.
 */
export type Callable<S extends OptionsSchema> = Choosing<S>['choose'];

/**
 * The entry as registries hold it: it can be called, and its methods complete the options they are given.
 * `takes` says which argument of a method holds them.
 */
export function completing<S extends OptionsSchema, E extends Entry<S>>(
  entry: E,
  takes: Readonly<Partial<Record<keyof E, number>>>,
): E & Callable<S> {
  const schema = slotSchema(entry.name, entry.options);
  const choose = (given: unknown = {}): PlugIn => parseOptions(schema, given, entry.name);
  const members = Object.entries(entry).map(([key, member]) => {
    const at = takes[key as keyof E];
    const value =
      at === undefined || typeof member !== 'function'
        ? member
        : (...given: unknown[]) => {
            const { name: _, ...chosen } = choose(given[at]);
            given[at] = chosen;
            return Reflect.apply(member, entry, given);
          };
    return [key, { value, enumerable: true }] as const;
  });
  return Object.defineProperties(choose, Object.fromEntries(members)) as unknown as E & Callable<S>;
}
