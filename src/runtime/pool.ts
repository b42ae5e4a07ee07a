/**
 * Threads over one shared linear memory. Each worker holds an instance of the same module; a job is
 * (kernel, arguments, a row range for each thread) in a control block, started by bumping a
 * generation counter. Workers spin briefly for the next job and then sleep in `Atomics.wait`, so an
 * idle engine burns nothing. As no split crosses a reduction, results do not depend on the count.
 *
 * Layout of the control block (Int32): [generation, done, kernel, argument count, failed, stop],
 * then (Float64, from byte 64) the arguments, then from `RANGES` three numbers a thread: workspace,
 * r0, r1.
 */
import type { Worker } from 'node:worker_threads';

const MAX_ARGS = 40;
const GENERATION = 0;
const DONE = 1;
const KERNEL = 2;
const COUNT = 3;
const FAILED = 4;
const STOP = 5;
const HEADER_BYTES = 64;
const SPIN = 4000;
const HANDSHAKE_MS = 3000;

export interface Range {
  /** Byte offset of the thread's workspace, or -1 where the kernel takes none. */
  readonly work: number;
  readonly r0: number;
  readonly r1: number;
}

export interface Pool {
  /** Threads besides the calling one. */
  readonly workers: number;
  /** Starts kernel number `kernel` on every worker whose range in `ranges` is not empty. */
  start(kernel: number, args: readonly number[], ranges: readonly Range[]): void;
  /** Returns when all of them are done. */
  join(): void;
  close(): void;
}

interface WorkerInit {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: SharedArrayBuffer;
  readonly index: number;
  readonly names: readonly string[];
  readonly layout: {
    readonly headerBytes: number;
    readonly maxArgs: number;
    readonly spin: number;
  };
}

/** Starts `workers` threads, or returns the reason why there can be none. */
export async function startPool(
  workers: number,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  names: readonly string[],
): Promise<Pool | string> {
  let threads: typeof import('node:worker_threads');
  try {
    threads = await import('node:worker_threads');
  } catch {
    return 'this runtime has no worker_threads';
  }
  const bytes = HEADER_BYTES + 8 * (MAX_ARGS + 3 * workers);
  const control = new SharedArrayBuffer(bytes);
  const layout = { headerBytes: HEADER_BYTES, maxArgs: MAX_ARGS, spin: SPIN };
  const started: Worker[] = [];
  try {
    for (let index = 0; index < workers; index++) {
      const workerData: WorkerInit = { module, memory, control, index, names, layout };
      const source = `(${workerMain.toString()})(require('node:worker_threads'))`;
      started.push(new threads.Worker(source, { eval: true, workerData, execArgv: [] }));
    }
    await withTimeout(Promise.all(started.map(ready)), HANDSHAKE_MS);
  } catch (error) {
    for (const worker of started) void worker.terminate();
    return `workers did not start: ${error instanceof Error ? error.message : String(error)}`;
  }
  for (const worker of started) worker.unref();
  return poolOver(started, control);
}

function poolOver(workers: readonly Worker[], control: SharedArrayBuffer): Pool {
  const header = new Int32Array(control, 0, HEADER_BYTES / 4);
  const numbers = new Float64Array(control, HEADER_BYTES);
  return {
    workers: workers.length,
    start(kernel, args, ranges) {
      header[KERNEL] = kernel;
      header[COUNT] = args.length;
      numbers.set(args);
      for (let i = 0; i < workers.length; i++) {
        const range = ranges[i];
        const at = MAX_ARGS + 3 * i;
        numbers[at] = range?.work ?? -1;
        numbers[at + 1] = range?.r0 ?? 0;
        numbers[at + 2] = range?.r1 ?? 0;
      }
      Atomics.store(header, DONE, 0);
      Atomics.add(header, GENERATION, 1);
      Atomics.notify(header, GENERATION);
    },
    join() {
      let spins = 0;
      for (;;) {
        const done = Atomics.load(header, DONE);
        if (done === workers.length) break;
        if (++spins > SPIN) Atomics.wait(header, DONE, done);
      }
      if (Atomics.exchange(header, FAILED, 0) !== 0)
        throw new Error('a kernel trapped on a worker thread');
    },
    close() {
      Atomics.store(header, STOP, 1);
      Atomics.add(header, GENERATION, 1);
      Atomics.notify(header, GENERATION);
    },
  };
}

function ready(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
  });
}

async function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs in the worker, from its source text: it may use nothing from this file's scope. */
function workerMain(threads: typeof import('node:worker_threads')): void {
  const { module, memory, control, index, names, layout } = threads.workerData as WorkerInit;
  const abort = (): never => {
    throw new Error('abort');
  };
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort } });
  const kernels = names.map((name) => exports[name] as (...args: number[]) => void);
  const header = new Int32Array(control, 0, layout.headerBytes / 4);
  const numbers = new Float64Array(control, layout.headerBytes);
  const at = layout.maxArgs + 3 * index;
  let seen = Atomics.load(header, 0);
  threads.parentPort?.postMessage('ready');
  for (;;) {
    let spins = 0;
    while (Atomics.load(header, 0) === seen)
      if (++spins > layout.spin) Atomics.wait(header, 0, seen);
    seen = Atomics.load(header, 0);
    if (Atomics.load(header, 5) === 1) return;
    const [work, r0, r1] = [numbers[at]!, numbers[at + 1]!, numbers[at + 2]!];
    if (r0 < r1) {
      const args = Array.from(numbers.subarray(0, header[3]!));
      if (work >= 0) args.push(work);
      try {
        kernels[header[2]!]!(...args, r0, r1);
      } catch {
        Atomics.store(header, 4, 1);
      }
    }
    Atomics.add(header, 1, 1);
    Atomics.notify(header, 1);
  }
}
