/** Words for a command that was stopped by a signal. */
import { type Output, printJson, tell } from './io';

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
  tell(io, saved, emphasis('interrupted. '));
  tell(io, `To go on: ${commandLine(argv)}`);
  if (argv.includes('--json')) printJson(io, { error: `interrupted. ${saved}` });
}

function commandLine(argv: readonly string[]): string {
  const quoted = argv.map((arg) =>
    /^[\w./=:,@%+-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`,
  );
  return ['espalier', ...quoted].join(' ');
}
