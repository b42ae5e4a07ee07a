/**
 * The thread that a process begins with. It computes nothing: the command line runs in a worker
 * thread, so that signals, the end of a parent and broken streams are answered at once, whatever is
 * being computed.
 *
 * The first signal is noted where the computation looks for it, which then saves and ends. If it does
 * not within `GRACE_MS`, or at a second signal, the process ends all the same: files are written so
 * that they survive that, as they survive kill -9.
 */
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { EXIT } from './command';
import { tellInterrupted } from './interrupted';
import { CHILD, type Outside, type Posted } from './io';

const GRACE_MS = 1500;
const SHOW_CURSOR = '\u001b[?25h';

/** Runs `program` in a worker thread, as the command line of this process. */
export function supervise(program: URL): void {
  const { stdout, stderr } = process;
  const argv = process.argv.slice(2);
  const asked = new Int32Array(new SharedArrayBuffer(4));
  const outside: Outside = {
    asked,
    self: [process.execPath, ...process.execArgv, ...process.argv.slice(1, 2)],
    stdout: { isTTY: stdout.isTTY, columns: stdout.columns },
    stderr: { isTTY: stderr.isTTY, columns: stderr.columns },
  };
  let code: number | undefined;
  let unwritten = false;
  stdout.on('error', ({ code: why, message }: NodeJS.ErrnoException) => {
    // A reader that has seen enough, such as `head`, needs no words.
    if (!unwritten && why !== 'EPIPE')
      stderr.write(`error: standard output: expected to write the answer, got: ${message}.\n`);
    unwritten = true;
  });
  // Nobody reads what is told on the way: the work goes on.
  stderr.on('error', () => undefined);

  const worker = new Worker(program, { workerData: { argv, ...outside } });
  worker.on('message', (message: Posted) => {
    if ('code' in message) code = message.code;
    else if (message.to === 'stderr') stderr.write(message.text);
    else if (!unwritten) stdout.write(message.text);
  });
  worker.on('error', (error: NodeJS.ErrnoException) => {
    const full = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
    code = full ? EXIT.wrongUse : EXIT.bug;
    const hint = 'Give Node more, as in NODE_OPTIONS=--max-old-space-size=16384.';
    const sentence = `espalier: expected enough memory for its objects, got none left. ${hint}`;
    stderr.write(`error: ${full ? sentence : (error.stack ?? error.message)}\n`);
  });
  process.on('exit', () => {
    const final = code ?? EXIT.bug;
    if (asked[0] === 0 || code !== undefined)
      process.exitCode = unwritten && final <= EXIT.badNews ? EXIT.output : final;
  });

  answerSignals((signal) => {
    if (code !== undefined) return;
    if (Atomics.compareExchange(asked, 0, 0, signal) !== 0) end(argv, asked[0]!);
    else setTimeout(() => code === undefined && end(argv, asked[0]!), GRACE_MS).unref();
  });
}

/** Ends the process, whatever it is at. */
function end(argv: readonly string[], signal: number): void {
  if (process.stderr.isTTY) process.stderr.write(SHOW_CURSOR);
  const saved = 'The step at work was cut short; what was saved before it stays.';
  tellInterrupted(process, saved, argv);
  process.exit(EXIT.signalled + signal);
}

/** Calls `stop` with the number of each signal, and with that of SIGHUP when a parent has ended. */
function answerSignals(stop: (signal: number) => void): void {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => stop(constants.signals[name]));
  // One of several processes of a job ends with the one that started it.
  if (process.env[CHILD] !== undefined)
    process.stdin
      .on('end', () => stop(constants.signals.SIGHUP))
      .on('error', () => stop(constants.signals.SIGHUP))
      .resume()
      .unref();
}
