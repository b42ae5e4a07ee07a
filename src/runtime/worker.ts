/**
 * One thread of the pool: what it runs, and how it is started as a worker thread of Node or as a Web
 * Worker. Both get the text of `workerMain` as their program, so no bundler has to find a file.
 */

export interface WorkerInit {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: SharedArrayBuffer;
  readonly index: number;
  readonly names: readonly string[];
  /** Layout of the control block: Int32s before the numbers, the first slot, arguments; spins before sleep. */
  readonly layout: {
    readonly ints: number;
    readonly slots: number;
    readonly maxArgs: number;
    readonly spin: number;
  };
}

export interface Thread {
  /** Its program ends by itself; lets the runtime take the worker back. */
  leave(): void;
  /** Stops it wherever it is. */
  end(): void;
}

interface Listeners {
  ready(): void;
  gone(why: string): void;
}

export type Spawn = (main: typeof workerMain, init: WorkerInit, on: Listeners) => Thread;

/** How this runtime starts threads, or the reason why it cannot. */
export function spawner(): Spawn | string {
  const threads = globalThis.process?.getBuiltinModule?.('node:worker_threads');
  if (threads) return inNode(threads);
  if (typeof globalThis.Worker === 'undefined') return 'this runtime has no workers';
  return inBrowser;
}

/** Whether workers start while the thread that made them is busy: those of Node do. */
export const startsAlone = (spawn: Spawn): boolean => spawn !== inBrowser;

function inNode(threads: typeof import('node:worker_threads')): Spawn {
  return (main, init, on) => {
    const source = `${program(main)}
      const { workerData, parentPort } = require('node:worker_threads');
      main(workerData, () => parentPort.postMessage('ready'));`;
    const worker = new threads.Worker(source, { eval: true, workerData: init, execArgv: [] });
    worker.once('message', on.ready);
    worker.once('error', (error) => on.gone(`a worker failed: ${messageOf(error)}`));
    worker.once('exit', () => on.gone('a worker ended'));
    worker.unref();
    return { leave() {}, end: () => void worker.terminate() };
  };
}

const inBrowser: Spawn = (main, init, on) => {
  const source = `${program(main)}
    onmessage = ({ data }) => main(data, () => postMessage('ready'));`;
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const worker = new globalThis.Worker(url, { name: `espalier ${init.index + 2}` });
  worker.onmessage = () => {
    URL.revokeObjectURL(url);
    on.ready();
  };
  worker.onerror = ({ message }) =>
    on.gone(
      `a worker failed: ${message || 'the content security policy must allow worker-src blob:'}`,
    );
  worker.postMessage(init);
  return { leave: () => worker.terminate(), end: () => worker.terminate() };
};

/** Some bundlers wrap functions in a helper `__name`, which the worker has not. */
const program = (main: typeof workerMain): string =>
  `const __name = (f) => f; const main = ${main.toString()};`;

export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/**
 * Runs in the worker, from its source text: it may use nothing from this file's scope, and only
 * syntax that compilers to older JavaScript leave alone. States of a range as in pool.ts.
 */
export function workerMain(
  { module, memory, control, index, names, layout }: WorkerInit,
  ready: () => void,
): void {
  const abort = (): never => {
    throw new Error('abort');
  };
  const exports = new WebAssembly.Instance(module, { env: { memory, abort } }).exports;
  const header = new Int32Array(control, 0, layout.ints);
  const numbers = new Float64Array(control, 4 * layout.ints);
  const slot = layout.slots + index;
  const at = layout.maxArgs + 3 * index;
  let seen = Atomics.load(header, 0);
  ready();
  while (Atomics.load(header, 4) === 0) {
    if (Atomics.compareExchange(header, slot, 1, 2) === 1) {
      try {
        const args = Array.from(numbers.subarray(0, header[2]!));
        if (numbers[at]! >= 0) args.push(numbers[at]!);
        args.push(numbers[at + 1]!, numbers[at + 2]!);
        (exports[names[header[1]!]!] as (...args: number[]) => void).apply(undefined, args);
      } catch {
        Atomics.store(header, 3, 1);
      }
      Atomics.store(header, slot, 0);
      Atomics.notify(header, slot);
    }
    let spins = 0;
    while (Atomics.load(header, 0) === seen)
      if (++spins > layout.spin) Atomics.wait(header, 0, seen);
    seen = Atomics.load(header, 0);
  }
}
