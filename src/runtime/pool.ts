/**
 * Threads over one shared linear memory. Each worker holds an instance of the same module; a job is
 * (kernel, arguments, a row range for each worker), offered in a control block by bumping a
 * generation counter. Workers spin briefly for the next job and then sleep in `Atomics.wait`, so an
 * idle engine burns nothing. As no split crosses a reduction, results do not depend on who computes
 * which rows. So the caller, done with its own rows, takes back every range that no worker has begun:
 * a worker that is asleep, still starting or gone costs no wait.
 *
 * A range that a worker has begun is waited for. As only a worker ended from outside stays silent, the
 * caller gives up after `patience` and 20 times its own share, stops the workers and says so.
 *
 * Layout of the control block: Int32 [generation, kernel, argument count, failed, stop], from `SLOTS`
 * the state of each worker's range; then Float64 the arguments, and three numbers a worker: workspace,
 * r0, r1.
 */
import { fail } from '../errors';
import { messageOf, type Spawn, type Thread, type WorkerInit, workerMain } from './worker';

const MAX_ARGS = 40;
const MAX_WORKERS = 63;
const [GENERATION, KERNEL, COUNT, FAILED, STOP, SLOTS] = [0, 1, 2, 3, 4, 16];
const INTS = SLOTS + MAX_WORKERS + 1;
/** States of a range: none or done, for whoever takes it, begun by its worker. */
const [IDLE, OFFERED, TAKEN] = [0, 1, 2];
const SPIN = 4000;
const HANDSHAKE_MS = 10_000;
const PATIENCE_MS = 60_000;
/** Own shares of the caller, summed, after which workers pay: starting one takes it 5 ms (measured). */
const HIRE_MS = 10;

export interface Range {
  /** Byte offset of the thread's workspace, or -1 where the kernel takes none. */
  readonly work: number;
  readonly r0: number;
  readonly r1: number;
}

export type Kernel = (...args: number[]) => void;

export interface Pool {
  /** Threads besides the calling one; none once one of them failed. */
  readonly workers: number;
  /** Why there are none any more. */
  readonly reason: string | undefined;
  /** Offers kernel number `kernel` to every worker whose range in `ranges` is not empty. */
  start(kernel: number, args: readonly number[], ranges: readonly Range[]): void;
  /** Returns when all ranges are done. */
  join(): void;
  /** Resolves when every worker is up, or it is known that one is not. */
  settled(): Promise<void>;
  close(): void;
}

export interface PoolParts {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** The caller's own kernels, by number. */
  readonly kernels: readonly Kernel[];
  /** Their names in the module's exports. */
  readonly names: readonly string[];
  readonly patience?: number;
}

/**
 * A pool of `workers` threads. They are started once there was work enough to pay for them, or when
 * `settled()` is called, and join in as they come up.
 */
export const startPool = (workers: number, spawn: Spawn, parts: PoolParts): Pool =>
  new ThreadPool(workers, spawn, parts);

class ThreadPool implements Pool {
  readonly #workers: number;
  readonly #kernels: readonly Kernel[];
  readonly #patience: number;
  readonly #header: Int32Array;
  readonly #numbers: Float64Array;
  readonly #hire: () => Crew;
  readonly #sleeps = maySleep();
  #crew: Crew | undefined;
  /** When the last job began, the caller's own share of it and of all, in milliseconds. */
  #began = 0;
  #share = 0;
  #shares = 0;

  constructor(workers: number, spawn: Spawn, parts: PoolParts) {
    const control = new SharedArrayBuffer(4 * INTS + 8 * (MAX_ARGS + 3 * workers));
    this.#workers = workers;
    this.#kernels = parts.kernels;
    this.#patience = parts.patience ?? PATIENCE_MS;
    this.#header = new Int32Array(control, 0, INTS);
    this.#numbers = new Float64Array(control, 4 * INTS);
    this.#hire = () => {
      this.#crew ??= new Crew(workers, spawn, { ...parts, control });
      return this.#crew;
    };
  }

  get workers(): number {
    return this.#crew?.lost === undefined ? this.#workers : 0;
  }

  get reason(): string | undefined {
    return this.#crew?.lost;
  }

  start(kernel: number, args: readonly number[], ranges: readonly Range[]): void {
    const [header, numbers] = [this.#header, this.#numbers];
    header[KERNEL] = kernel;
    header[COUNT] = args.length;
    numbers.set(args);
    for (let i = 0; i < ranges.length; i++) {
      const { work, r0, r1 } = ranges[i]!;
      numbers.set([work, r0, r1], MAX_ARGS + 3 * i);
      Atomics.store(header, SLOTS + i, r0 < r1 ? OFFERED : IDLE);
    }
    this.#wake();
    this.#began = performance.now();
  }

  join(): void {
    const header = this.#header;
    this.#share = performance.now() - this.#began;
    for (let i = 0; i < this.#workers; i++)
      if (Atomics.compareExchange(header, SLOTS + i, OFFERED, IDLE) === OFFERED) this.#runHere(i);
    for (let i = 0; i < this.#workers; i++) this.#waitFor(i);
    this.#shares += this.#share;
    if (this.#shares > HIRE_MS) this.#hire();
    if (Atomics.exchange(header, FAILED, 0) !== 0)
      throw new Error('a kernel trapped on a worker thread');
  }

  settled(): Promise<void> {
    return this.#hire().settled();
  }

  close(): void {
    Atomics.store(this.#header, STOP, 1);
    this.#wake();
    this.#crew?.close();
  }

  #wake(): void {
    Atomics.add(this.#header, GENERATION, 1);
    Atomics.notify(this.#header, GENERATION);
  }

  /** Computes a range that its worker has not begun. */
  #runHere(worker: number): void {
    const [header, numbers] = [this.#header, this.#numbers];
    const at = MAX_ARGS + 3 * worker;
    const [work, r0, r1] = [numbers[at]!, numbers[at + 1]!, numbers[at + 2]!];
    const args = [...numbers.subarray(0, header[COUNT]), ...(work < 0 ? [] : [work]), r0, r1];
    try {
      this.#kernels[header[KERNEL]!]!(...args);
    } catch {
      header[FAILED] = 1;
    }
  }

  /** Sleeps where the runtime lets this thread sleep, and spins on the main thread of a page. */
  #waitFor(worker: number): void {
    const header = this.#header;
    const slot = SLOTS + worker;
    const limit = this.#patience + 20 * this.#share;
    let spins = 0;
    let waited = 0;
    while (Atomics.load(header, slot) !== IDLE) {
      if (++spins < SPIN) continue;
      const slice = Math.min(1000, limit);
      if (this.#sleeps) {
        // Slices are counted and not the clock, so that a machine that slept loses no thread.
        if (Atomics.wait(header, slot, TAKEN, slice) === 'timed-out') waited += slice;
      } else if (spins % SPIN === 0) waited = performance.now() - this.#began - this.#share;
      if (waited >= limit) this.#giveUp(worker, waited / 1000);
    }
  }

  #giveUp(worker: number, seconds: number): never {
    const late = `thread ${worker + 2} did not finish its share within ${Math.ceil(seconds)} s`;
    this.#crew?.fail(late);
    return fail('engine', 'an answer of every thread', late, 'The engine goes on with one thread.');
  }
}

/** The workers themselves: how they come up, and what is known of those that do not or that end. */
class Crew {
  readonly #threads: Thread[] = [];
  readonly #up: Promise<void>;
  #closed = false;
  /** Why the workers are no more. */
  lost: string | undefined;

  constructor(count: number, spawn: Spawn, parts: PoolParts & { control: SharedArrayBuffer }) {
    const { module, memory, names, control } = parts;
    const layout = { ints: INTS, slots: SLOTS, maxArgs: MAX_ARGS, spin: SPIN };
    const one = (index: number) =>
      new Promise<void>((resolve) => {
        const init: WorkerInit = { module, memory, control, index, names, layout };
        const gone = (why: string): void => {
          this.fail(why);
          resolve();
        };
        try {
          this.#threads.push(spawn(workerMain, init, { ready: resolve, gone }));
        } catch (error) {
          gone(`a worker did not start: ${messageOf(error)}`);
        }
      });
    this.#up = Promise.all(Array.from({ length: count }, (_, index) => one(index))).then(() => {});
  }

  async settled(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.fail(`no answer of the workers within ${HANDSHAKE_MS} ms`);
        resolve();
      }, HANDSHAKE_MS);
    });
    await Promise.race([this.#up, late]);
    clearTimeout(timer);
  }

  /** Ends all of them: what one began without finishing must not be written later. */
  fail(why: string): void {
    if (this.#closed) return;
    this.lost ??= why;
    this.close();
    for (const thread of this.#threads) thread.end();
  }

  close(): void {
    this.#closed = true;
    for (const thread of this.#threads) thread.leave();
  }
}

/** Whether this thread may sleep; the main thread of a page may not. */
function maySleep(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0);
    return true;
  } catch {
    return false;
  }
}
