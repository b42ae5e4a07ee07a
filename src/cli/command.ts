/**
 * What a command is: its arguments, its examples and `run`, which returns the exit code. Help is
 * written here, from the same table that citty parses by.
 */
import type { ArgDef, ArgsDef } from 'citty';
import type { Colors } from 'picocolors/types';
import { isRequired, type Values } from './args';
import type { Backend } from './backend';
import type { Io } from './io';

/**
 * Exit codes: 0 done, 1 the answer is bad news, 2 wrong use or input, 70 a bug, 74 output could not be made
 * or written, 128 and the number of a signal that ended it (130: Ctrl-C).
 */
export const EXIT = {
  done: 0,
  badNews: 1,
  wrongUse: 2,
  bug: 70,
  output: 74,
  signalled: 128,
} as const;

export interface Context {
  readonly io: Io;
  readonly values: Values;
  readonly backend: Backend;
  /** The command line as typed, to print how to go on. */
  readonly argv: readonly string[];
  /** Filled with what could not be made although the work is done. */
  readonly faults: string[];
}

/** A list printed below a command's help, such as the keys of a registry. */
export interface Section {
  readonly title: string;
  readonly lines: readonly (readonly [name: string, about: string])[];
}

export interface Command {
  readonly args: ArgsDef;
  readonly examples: readonly (readonly [line: string, about: string])[];
  readonly sections?: () => Promise<readonly Section[]>;
  run(context: Context): Promise<number>;
}

/** The keys of a registry with what they are. */
export function registrySection(
  title: string,
  registry: Readonly<Record<string, { readonly about: string }>>,
): Section {
  return { title, lines: Object.entries(registry).map(([name, entry]) => [name, entry.about]) };
}

export async function commandHelp(
  name: string,
  about: string,
  command: Command,
  paint: Colors,
): Promise<string> {
  const entries = Object.entries(command.args);
  const positional = entries.filter(([, def]) => def.type === 'positional');
  const named = entries.filter(([, def]) => def.type !== 'positional');
  const words = positional.map(([key, def]) =>
    isRequired(def) ? key.toUpperCase() : `[${key.toUpperCase()}]`,
  );
  const sections: Section[] = [
    {
      title: 'ARGUMENTS',
      lines: positional.map(([key, def]) => [key.toUpperCase(), def.description ?? '']),
    },
    {
      title: 'OPTIONS',
      lines: named.map(([key, def]) => [optionName(key, def), optionAbout(def)]),
    },
    ...((await command.sections?.()) ?? []),
    { title: 'EXAMPLES', lines: command.examples },
  ];
  return [
    `${paint.bold(`espalier ${name}`)}: ${about}`,
    '',
    `${paint.bold('USAGE')}  espalier ${[name, ...words].join(' ')} [options]`,
    ...sections.filter((s) => s.lines.length > 0).flatMap((s) => ['', renderSection(s, paint)]),
  ].join('\n');
}

export function renderSection({ title, lines }: Section, paint: Colors): string {
  const width = Math.min(34, Math.max(...lines.map(([name]) => name.length)));
  const body = lines.map(([name, about]) =>
    name.length > width
      ? `  ${paint.cyan(name)}\n  ${' '.repeat(width)}  ${about}`
      : `  ${paint.cyan(name.padEnd(width))}  ${about}`,
  );
  return [paint.bold(title), ...body].join('\n');
}

function optionName(key: string, def: ArgDef): string {
  const alias = 'alias' in def && typeof def.alias === 'string' ? `-${def.alias}, ` : '';
  const list = def.type === 'enum' ? def.options?.join('|') : undefined;
  const value = list ?? def.valueHint;
  return `${alias}--${key}${def.type !== 'boolean' && value ? ` <${value}>` : ''}`;
}

function optionAbout(def: ArgDef): string {
  const about = def.description ?? '';
  return def.default === undefined ? about : `${about} (default: ${def.default})`;
}
