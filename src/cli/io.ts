/**
 * The world as a command sees it: two streams, the environment and signals. Tests hand in their own,
 * so the whole command line runs in-process.
 */
import type { Colors } from 'picocolors/types';
import { clipLines, printable, printableJson } from '../text';
import type { Backend } from './backend';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The number of the signal that asked to stop, or 0: true at any moment, in busy code too. */
  asked(): number;
  /** The command that started this process, to start more of it; without it there are no others. */
  readonly self?: readonly string[];
  /** Backend that does the work; without it the real one is loaded when first needed. */
  readonly backend?: Backend;
}

/** Set for processes that this command line starts. */
export const CHILD = 'ESPALIER_CHILD';

/** Data that the first thread hands to the one that runs the command line. */
export interface Outside {
  /** One number, shared: that of the signal, or 0. */
  readonly asked: Int32Array;
  readonly self: readonly string[];
  readonly stdout: Omit<Output, 'write'>;
  readonly stderr: Omit<Output, 'write'>;
}

/** Messages that it gets back: text, and the exit code at the end. */
export type Posted =
  | { readonly to: 'stdout' | 'stderr'; readonly text: string }
  | { readonly code: number };

/** The world from a thread whose streams and signals are those of the first one. */
export function threadIo(
  { asked, self, stdout, stderr }: Outside,
  post: (message: Posted) => void,
): Io {
  return {
    stdout: { ...stdout, write: (text) => post({ to: 'stdout', text }) },
    stderr: { ...stderr, write: (text) => post({ to: 'stderr', text }) },
    env: process.env,
    asked: () => Atomics.load(asked, 0),
    self,
  };
}

/** Colours of a stream: none unless it is a terminal, and as NO_COLOR and FORCE_COLOR say. */
export async function colors(output: Output, env: Io['env']): Promise<Colors> {
  const { createColors } = (await import('picocolors')).default;
  if (env.NO_COLOR) return createColors(false);
  return createColors(Boolean(env.FORCE_COLOR) || (output.isTTY === true && env.TERM !== 'dumb'));
}

/** Writes `value` as the one JSON document of a command's standard output. */
export function printJson(io: Pick<Io, 'stdout'>, value: unknown): void {
  io.stdout.write(`${printableJson(JSON.stringify(value, null, 2))}\n`);
}

/** Longer lines hold what nobody reads, such as a name of a megabyte. */
const MOST_OF_A_LINE = 10_000;

const shown = (text: string): string =>
  printable(clipLines(text, Number.POSITIVE_INFINITY, MOST_OF_A_LINE));

/** Writes text to standard output. Names in it may be any file's: nothing of it acts on a terminal. */
export function print(io: Io, text: string): void {
  io.stdout.write(`${shown(text)}\n`);
}

/** Writes text to standard error as `print` does, behind a mark of ours such as a coloured "error: ". */
export function tell(io: Pick<Io, 'stderr'>, text: string, mark = ''): void {
  io.stderr.write(`${mark}${shown(text)}\n`);
}

/** Writes text that is ours throughout, colours and all. */
export function printOurs(io: Io, text: string): void {
  io.stdout.write(`${text}\n`);
}
