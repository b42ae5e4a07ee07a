/**
 * The `espalier` command: finds the command, checks its arguments, runs it, and turns whatever is
 * raised into a message and an exit code. Commands are loaded only when named, so help is quick.
 */
import { EspalierError, isNoRoom } from '../errors';
import { Interrupted } from '../events';
import { suggest } from '../suggest';
import { VERSION } from '../version';
import { checkArgs, shared, UsageError, Values } from './args';
import { type Command, commandHelp, EXIT, renderSection } from './command';
import { tellInterrupted } from './interrupted';
import { colors, type Io, print, printJson, printOurs, tell } from './io';

interface Entry {
  readonly args: string;
  readonly about: string;
  load(): Promise<{ readonly command: Command }>;
}

/** Every command, in the order of the help. */
export const COMMANDS: Readonly<Record<string, Entry>> = {
  compress: {
    args: '[CONFIG]',
    about: 'pre-train, prune, fine-tune, evaluate: the main job',
    load: () => import('./commands/compress'),
  },
  sweep: {
    args: 'CONFIG',
    about: 'many runs: networks, objectives, strategies, sparsities and seeds, compared',
    load: () => import('./commands/sweep'),
  },
  train: {
    args: 'CONFIG',
    about: 'only the pre-training of a config',
    load: () => import('./commands/train'),
  },
  prune: {
    args: 'MODEL',
    about: 'remove weights of a trained model',
    load: () => import('./commands/prune'),
  },
  finetune: {
    args: 'MODEL',
    about: 'train on what pruning left, zeros staying zero',
    load: () => import('./commands/finetune'),
  },
  evaluate: {
    args: 'MODEL',
    about: 'benign, attacked and certified accuracy on a data set',
    load: () => import('./commands/evaluate'),
  },
  bounds: {
    args: 'MODEL',
    about: 'output and margin bounds of given inputs, by a named method',
    load: () => import('./commands/bounds'),
  },
  smooth: {
    args: 'MODEL',
    about: 'certified L2 accuracy of the network under noise (randomised smoothing)',
    load: () => import('./commands/smooth'),
  },
  certify: {
    args: 'MODEL',
    about: 'certificates of given inputs, as files that anyone can check',
    load: () => import('./commands/certify'),
  },
  check: {
    args: 'CERTIFICATE MODEL',
    about: 'an independent checker of certificates',
    load: () => import('./commands/check'),
  },
  verify: {
    args: 'MODEL SPEC',
    about: 'a model against a VNN-LIB property: sat, unsat, unknown or timeout',
    load: () => import('./commands/verify'),
  },
  vnncomp: {
    args: 'FOLDER',
    about: 'a benchmark folder of VNN-COMP: every instance of its list, and the results',
    load: () => import('./commands/vnncomp'),
  },
  convert: {
    args: 'IN OUT',
    about: 'between formats: safetensors, compact, ONNX, PyTorch, npz',
    load: () => import('./commands/convert'),
  },
  compact: {
    args: 'MODEL',
    about: 'shared weights, coded indices: the file for the edge',
    load: () => import('./commands/compact'),
  },
  inspect: {
    args: 'MODEL',
    about: 'layers, shapes, density, bytes, multiply-adds',
    load: () => import('./commands/inspect'),
  },
  bench: { args: '', about: 'the speed of this machine', load: () => import('./commands/bench') },
  doctor: {
    args: '',
    about: 'what the runtime found here, and why',
    load: () => import('./commands/doctor'),
  },
};

/** Runs one command line (without node and script) and returns the exit code. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(argv, io);
  } catch (error) {
    return explain(error, argv, io);
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
  const [first, ...rest] = argv;
  if (first === undefined || first === '--help' || first === '-h') return rootHelp(io);
  if (first === '--version' || first === '-V' || first === '-v') {
    print(io, VERSION);
    return EXIT.done;
  }
  if (first === 'help') return rest[0] === undefined ? rootHelp(io) : dispatch([rest[0], '-h'], io);
  const names = Object.keys(COMMANDS);
  if (first.startsWith('-'))
    throw new UsageError(`espalier: expected a command first (${names.join(', ')}), got ${first}.`);
  const entry = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  if (!entry)
    throw new UsageError(
      `espalier: expected one of ${names.join(', ')}, got "${first}". ${suggest(first, names)}`,
    );
  const { command } = await entry.load();
  const every = checkArgs(rest, command.args);
  if (rest.includes('--help') || rest.includes('-h')) {
    const paint = await colors(io.stdout, io.env);
    printOurs(io, await commandHelp(first, entry.about, command, paint));
    return EXIT.done;
  }
  const { defineCommand, runCommand } = await import('citty');
  const faults: string[] = [];
  const backend = io.backend ?? (await import('./wiring')).backend;
  const runnable = defineCommand({
    meta: { name: first, description: entry.about },
    args: command.args,
    run: ({ args }) => command.run({ io, values: new Values(args, every), backend, argv, faults }),
  });
  const { result } = await runCommand(runnable, { rawArgs: rest });
  return result === EXIT.done && faults.length > 0 ? EXIT.output : (result as number);
}

async function rootHelp(io: Io): Promise<number> {
  const paint = await colors(io.stdout, io.env);
  const lines = Object.entries(COMMANDS).map(
    ([name, { args, about }]) => [`${name} ${args}`.trim(), about] as const,
  );
  const examples = [
    ['espalier compress', 'the whole recipe on the embedded digits, in under a minute'],
    [
      'espalier compress --set prune.sparsity=0.95 --out runs/twenty',
      'the same, pruned twenty times',
    ],
    ['espalier doctor', 'what this machine can do'],
  ] as const;
  const globals = Object.entries(shared).map(
    ([name, def]) => [`--${name}`, def.description] as const,
  );
  printOurs(
    io,
    [
      `${paint.bold('espalier')} ${VERSION}: train, prune and certify neural networks on CPUs`,
      '',
      `${paint.bold('USAGE')}  espalier <command> [options]`,
      '',
      renderSection({ title: 'COMMANDS', lines }, paint),
      '',
      renderSection({ title: 'OPTIONS OF EVERY COMMAND', lines: globals }, paint),
      '',
      renderSection({ title: 'EXAMPLES', lines: examples }, paint),
      '',
      'Exit code: 0 done, 1 the answer is bad news, 2 wrong use or input, 70 a bug, 74 output that could',
      'not be made or written, 130 interrupted (129 and 143: by SIGHUP, SIGTERM).',
      'More: espalier <command> --help',
    ].join('\n'),
  );
  return EXIT.done;
}

/** Says what went wrong: users' errors as one message, ours with the stack. */
async function explain(error: unknown, argv: readonly string[], io: Io): Promise<number> {
  const paint = await colors(io.stderr, io.env);
  const json = argv.includes('--json');
  if (error instanceof Interrupted) {
    tellInterrupted(io, error.saved, argv, paint.yellow);
    return EXIT.signalled + io.asked();
  }
  const message = error instanceof Error ? error.message : String(error);
  if (json) printJson(io, { error: message });
  if (error instanceof EspalierError) {
    for (const line of message.split('\n')) tell(io, line, paint.red('error: '));
    if (error instanceof UsageError) tell(io, `See: espalier${helpFor(argv)} --help`);
    return isNoRoom(error) ? EXIT.output : EXIT.wrongUse;
  }
  if (isOfSystem(error)) {
    tell(
      io,
      `${error.path ?? 'espalier'}: expected to ${error.syscall}, got ${message}.`,
      paint.red('error: '),
    );
    return isNoRoom(error) ? EXIT.output : EXIT.wrongUse;
  }
  const stack = error instanceof Error ? (error.stack ?? message) : message;
  tell(io, stack, paint.red('error: '));
  tell(io, `This is a bug in espalier ${VERSION}; please report it with the lines above.`);
  return EXIT.bug;
}

/** True where the operating system refused something, which is no bug of ours. */
const isOfSystem = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && 'errno' in error;

function helpFor([first = '']: readonly string[]): string {
  return Object.hasOwn(COMMANDS, first) ? ` ${first}` : '';
}
