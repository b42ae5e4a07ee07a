/**
 * Options and arguments of commands: the ones all share, a strict check, and typed reading.
 *
 * citty parses, but takes whatever it does not know, turns a missing value into "" and keeps only
 * the last of a repeated option; so the arguments are checked before it sees them.
 */
import { parseArgs as tokenize } from 'node:util';
import type { ArgDef, ArgsDef } from 'citty';
import type * as v from 'valibot';
import { EspalierError } from '../errors';
import { parseOptions, whole } from '../options';
import { suggest } from '../suggest';

/** Wrong use of the command line: the message, then where to read more. */
export class UsageError extends EspalierError {}

/** Options of every command. */
export const shared = {
  json: { type: 'boolean', description: 'print one JSON document on standard output' },
  seed: { type: 'string', valueHint: 'n', description: 'seed of all random numbers' },
  threads: { type: 'string', valueHint: 'n', description: "threads, or 'auto' (the default)" },
  help: { type: 'boolean', alias: 'h', description: 'print this text' },
} as const satisfies ArgsDef;

/** Options of commands that start the engine. */
export const engineArgs = {
  binary: {
    type: 'enum',
    options: ['auto', 'simd', 'relaxed'],
    default: 'auto',
    description: 'kernels: simd runs everywhere, relaxed has fused multiply-add',
  },
} as const satisfies ArgsDef;

/** Options of commands that read a config. */
export const configArgs = {
  set: {
    type: 'string',
    valueHint: 'key=value',
    description: 'change one key of the config, such as prune.sparsity=0.95; repeatable',
  },
} as const satisfies ArgsDef;

export const modelArg = {
  model: {
    type: 'positional',
    required: true,
    description: 'a model: safetensors, compact, ONNX, PyTorch or npz',
  },
} as const satisfies ArgsDef;

export const epsArg = {
  eps: {
    type: 'string',
    valueHint: 'radius',
    description: 'such as 0.1 or 8/255 (default: as trained)',
  },
} as const satisfies ArgsDef;

/** Single images; read by `parseIndices`. */
export const indexArg = {
  index: {
    type: 'string',
    valueHint: 'i,j-k,...',
    default: '0',
    description: 'positions in the test split',
  },
} as const satisfies ArgsDef;

/** Options for models of other tools. */
export const foreignArgs = {
  network: {
    type: 'string',
    valueHint: 'name|file',
    description: 'for files of weights alone: a network of the zoo, or a JSON network',
  },
  input: {
    type: 'string',
    valueHint: 'c,h,w',
    description: 'shape of one input of a network of the zoo, such as 1,28,28',
  },
  classes: { type: 'string', valueHint: 'n', description: 'its outputs (default: by the weights)' },
  key: {
    type: 'string',
    valueHint: 'key',
    description: 'the key of a checkpoint (or prefix of names) under which the weights are',
  },
  'by-order': {
    type: 'boolean',
    description: 'match weights by order and shape where their names are others',
  },
  ignore: {
    type: 'string',
    valueHint: 'pattern',
    description: 'tensors of the file to leave out, such as "*.popup_scores"; repeatable',
  },
  mean: {
    type: 'string',
    valueHint: 'm,...',
    description: 'the network takes (x - mean) / std: puts that in front, as inputs are in [0, 1]',
  },
  std: { type: 'string', valueHint: 's,...', description: 'one number a channel, or one for all' },
  output: {
    type: 'string',
    valueHint: 'name',
    description: 'of ONNX files: the output (or inner value) that the network ends in',
  },
} as const satisfies ArgsDef;

export const outFile = {
  out: { type: 'string', alias: 'o', valueHint: 'file', description: 'where to write the model' },
  force: { type: 'boolean', description: 'replace the output file if it exists' },
} as const satisfies ArgsDef;

export const dataArgs = {
  data: {
    type: 'string',
    valueHint: 'name',
    description: 'data set (default: the one trained on)',
  },
  path: { type: 'string', valueHint: 'path', description: 'folder or file of the data set' },
} as const satisfies ArgsDef;

/** Values that were given, by name. */
export class Values {
  constructor(
    private readonly parsed: Readonly<Record<string, unknown>>,
    private readonly every: ReadonlyMap<string, readonly string[]>,
  ) {}

  text(name: string): string | undefined {
    const value = this.parsed[name];
    return typeof value === 'string' ? value : undefined;
  }

  on(name: string): boolean {
    return this.parsed[name] === true;
  }

  /** All values of a repeatable option, in order. */
  all(name: string): readonly string[] {
    return this.every.get(name) ?? [];
  }

  /** A value checked by a schema such as `eps()`. */
  checked<S extends v.GenericSchema>(name: string, schema: S): v.InferOutput<S> | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : parseOptions(schema, text, `--${name}`);
  }

  /** A numeric value checked by a schema such as `whole(1)`. */
  number<S extends v.GenericSchema>(name: string, schema: S): v.InferOutput<S> | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = text.trim() === '' ? Number.NaN : Number(text);
    return parseOptions(schema, Number.isNaN(number) ? text : number, `--${name}`);
  }

  seed(): number | undefined {
    return this.number('seed', whole());
  }

  /** Options for loading the engine. */
  engine(): { threads: number | 'auto'; binary: 'auto' | 'simd' | 'relaxed' } {
    const threads =
      this.text('threads') === 'auto' ? undefined : this.number('threads', whole(1, 64));
    const binary = this.text('binary');
    return {
      threads: threads ?? 'auto',
      binary: binary === 'simd' || binary === 'relaxed' ? binary : 'auto',
    };
  }
}

/**
 * Raises UsageError on an unknown option (naming the nearest), a missing value, a value outside
 * its list, and a missing or surplus argument; returns all values of every option.
 */
export function checkArgs(
  rawArgs: readonly string[],
  defs: ArgsDef,
): ReadonlyMap<string, readonly string[]> {
  const named = Object.entries(defs).filter(([, def]) => def.type !== 'positional');
  const positional = Object.entries(defs).filter(([, def]) => def.type === 'positional');
  const options = Object.fromEntries(named.map(([name, def]) => [name, tokenOption(def)]));
  const { tokens } = tokenize({
    args: [...rawArgs],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const every = new Map<string, string[]>();
  let given = 0;
  for (const token of tokens) {
    if (token.kind === 'positional' && given++ >= positional.length)
      wrong('arguments', describe(positional), `"${token.value}" too`);
    if (token.kind !== 'option') continue;
    const def = Object.hasOwn(options, token.name) ? defs[token.name] : undefined;
    if (!def) unknownOption(token.rawName, named);
    const value = checkValue(token.rawName, token.value, token.inlineValue === true, def);
    if (value !== undefined) every.set(token.name, [...(every.get(token.name) ?? []), value]);
  }
  const missing = positional[given];
  if (missing && isRequired(missing[1]) && !rawArgs.some((arg) => arg === '--help' || arg === '-h'))
    wrong(missing[0].toUpperCase(), missing[1].description ?? 'a value', 'nothing');
  return every;
}

export function isRequired(def: ArgDef): boolean {
  return def.required !== false && def.default === undefined;
}

function tokenOption(def: ArgDef) {
  const type = def.type === 'boolean' ? ('boolean' as const) : ('string' as const);
  const alias = 'alias' in def && typeof def.alias === 'string' ? { short: def.alias } : {};
  return { type, ...alias };
}

function checkValue(
  option: string,
  value: string | undefined,
  inline: boolean,
  def: ArgDef,
): string | undefined {
  if (def.type === 'boolean') {
    if (value !== undefined) wrong(option, 'no value', `"${value}"`);
    return undefined;
  }
  const hint = def.valueHint ? `a value, ${option} <${def.valueHint}>` : 'a value';
  // "--out --json": the next option is no value, but "-0.1" may be a (wrong) number.
  const swallowed = value !== undefined && !inline && /^-[^\d.]/.test(value);
  if (value === undefined || swallowed) return wrong(option, hint, value ?? 'nothing');
  if (value === '') wrong(option, hint, 'an empty one');
  const list = def.type === 'enum' ? (def.options ?? []) : [];
  if (list.length > 0 && !list.includes(value))
    wrong(option, `one of ${list.join(', ')}`, `"${value}"`, suggest(value, list));
  return value;
}

function unknownOption(option: string, named: readonly [string, ArgDef][]): never {
  const keys = named.map(([name]) => `--${name}`);
  wrong('options', `one of ${keys.join(', ')}`, option, suggest(option, keys));
}

function describe(positional: readonly [string, ArgDef][]): string {
  if (positional.length === 0) return 'none';
  return `only ${positional.map(([name]) => name.toUpperCase()).join(', ')}`;
}

function wrong(who: string, expected: string, got: string, hint = ''): never {
  throw new UsageError(`${who}: expected ${expected}, got ${got}.${hint && ` ${hint}`}`);
}
