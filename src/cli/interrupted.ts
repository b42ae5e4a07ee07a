/** What is said when a command was stopped by a signal. */
import { type Output, printJson } from './io';

interface Outputs {
  readonly stdout: Output;
  readonly stderr: Output;
}

/** Says that the command line `argv` was interrupted, what was `saved`, and how to go on. */
export function tellInterrupted(
  io: Outputs,
  saved: string,
  argv: readonly string[],
  emphasis: (text: string) => string = (text) => text,
): void {
  io.stderr.write(`${emphasis('interrupted.')} ${saved}\nTo go on: ${commandLine(argv)}\n`);
  if (argv.includes('--json')) printJson(io, { error: `interrupted. ${saved}` });
}

function commandLine(argv: readonly string[]): string {
  const quoted = argv.map((arg) => (/^[\w./=:,@%+-]+$/.test(arg) ? arg : `'${arg}'`));
  return ['espalier', ...quoted].join(' ');
}
