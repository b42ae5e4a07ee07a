/** The pool alone: ranges that nobody takes, workers that end, hang or never start. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SIMD_BASE64 } from '../../src/runtime/binaries.gen';
import { load } from '../../src/runtime/engine';
import { KERNELS } from '../../src/runtime/kernels';
import { type Kernel, type Pool, type PoolParts, startPool } from '../../src/runtime/pool';
import { decodeBase64, withSharedMemory } from '../../src/runtime/wasm';
import { type Spawn, spawner, type Thread } from '../../src/runtime/worker';
import { matmul } from '../../src/tensor/ops/product';
import { filled, step } from '../../src/tensor/tensor';
import { workersOnly } from '../helpers/engine';

const module = new WebAssembly.Module(withSharedMemory(decodeBase64(SIMD_BASE64)));
const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
const names = Object.keys(KERNELS);
const ROWS = 64;
const Y = 65_536;
const FILL = names.indexOf('fill');

/** Starts of the control block's states, as pool.ts lays it out. */
const SLOTS = 16;
const TAKEN = 2;

const pools: Pool[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const pool of pools.splice(0)) pool.close();
});

function poolOf(workers: number, spawn: Spawn, parts: Partial<PoolParts> = {}): Pool {
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort: () => {} } });
  const kernels = names.map((name) => exports[name] as Kernel);
  const pool = startPool(workers, spawn, { module, memory, names, kernels, ...parts });
  pools.push(pool);
  void pool.settled();
  return pool;
}

/** Fills all rows by ranges of the pool's workers alone; how many rows hold the value then. */
function filledRows(pool: Pool, workers: number, value: number): number {
  const y = new Float32Array(memory.buffer, Y, ROWS).fill(0);
  const ranges = Array.from({ length: workers }, (_, t) => ({
    work: -1,
    r0: Math.floor((ROWS * t) / workers),
    r1: Math.floor((ROWS * (t + 1)) / workers),
  }));
  pool.start(FILL, [ROWS, value, Y], ranges);
  pool.join();
  return y.filter((x) => x === value).length;
}

const node = spawner() as Spawn;

/** Workers that never do anything; the control block is the test's. */
function puppets(): { spawn: Spawn; ended: () => number; header: () => Int32Array } {
  let ended = 0;
  let control: SharedArrayBuffer | undefined;
  const spawn: Spawn = (_, init, on) => {
    control = init.control;
    on.ready();
    return { leave: () => {}, end: () => void ended++ };
  };
  return { spawn, ended: () => ended, header: () => new Int32Array(control!, 0, 64) };
}

describe('the pool', () => {
  it('computes by its workers', async () => {
    const pool = poolOf(3, node);
    await pool.settled();
    workersOnly();
    for (let value = 1; value < 200; value++) expect(filledRows(pool, 3, value)).toBe(ROWS);
    expect(pool.workers).toBe(3);
    expect(pool.reason).toBeUndefined();
  });

  it('computes by whoever comes first, from the first moment on', () => {
    const pool = poolOf(2, node);
    for (let value = 1; value < 2000; value++)
      if (filledRows(pool, 2, value) !== ROWS) expect.unreachable(`rows missing in ${value}`);
  });

  it('needs no workers at all', () => {
    const pool = poolOf(2, puppets().spawn);
    expect(filledRows(pool, 2, 1)).toBe(ROWS);
    expect(filledRows(pool, 1, 2)).toBe(ROWS);
  });

  it('starts its workers when work pays for them, and not before', () => {
    let hired = 0;
    const spawn: Spawn = () => {
      hired++;
      return { leave: () => {}, end: () => {} };
    };
    const busy: Kernel = (ms) => {
      const end = performance.now() + ms!;
      while (performance.now() < end);
    };
    const pool = startPool(3, spawn, { module, memory, names, kernels: [busy] });
    const job = (ms: number): void => {
      pool.start(0, [ms], [{ work: -1, r0: 0, r1: 1 }]);
      busy(ms);
      pool.join();
    };
    for (let i = 0; i < 10; i++) job(0);
    expect([pool.workers, hired]).toEqual([3, 0]);
    job(20);
    expect([pool.workers, hired]).toEqual([3, 3]);
    pool.close();
  });

  it('passes a trap on, of a worker and of a range taken back, and goes on', async () => {
    const pool = poolOf(1, node);
    await pool.settled();
    const beyond = (): void => {
      pool.start(FILL, [ROWS, 1, 2 * 65_536 - 4], [{ work: -1, r0: 0, r1: ROWS }]);
      pool.join();
    };
    expect(beyond).toThrow('a kernel trapped on a worker thread');
    const mine = workersOnly();
    expect(beyond).toThrow('a kernel trapped on a worker thread');
    mine.mockRestore();
    expect(filledRows(pool, 1, 2)).toBe(ROWS);
  });
});

describe('a worker that ends', () => {
  it('between two calls costs nothing but its help', async () => {
    const threads: Thread[] = [];
    const pool = poolOf(2, (main, init, on) => {
      const thread = node(main, init, on);
      threads.push(thread);
      return thread;
    });
    await pool.settled();
    threads[1]!.end();
    // Whether it is gone already or not: this thread has not yielded since.
    for (let value = 1; value < 500; value++) expect(filledRows(pool, 2, value)).toBe(ROWS);
    await vi.waitFor(() => expect(pool.workers).toBe(0), 60_000);
    expect(pool.reason).toBe('a worker ended');
    expect(filledRows(pool, 2, 7)).toBe(ROWS);
  });

  it.each([
    ['sleeps', false],
    ['spins, as on the main thread of a page,', true],
  ])('within a call is an error and not for ever; the caller %s', (_, spins) => {
    if (spins)
      vi.spyOn(Atomics, 'wait').mockImplementation(() => {
        throw new TypeError('Atomics.wait cannot be called in this context');
      });
    const { spawn, ended, header } = puppets();
    const pool = poolOf(2, spawn, { patience: 30 });
    const call = (): void => {
      pool.start(FILL, [ROWS, 1, Y], [{ work: -1, r0: 0, r1: ROWS }]);
      Atomics.store(header(), SLOTS, TAKEN);
      pool.join();
    };
    expect(call).toThrow('engine: expected an answer of every thread, got thread 2 did not finish');
    expect([pool.workers, ended()]).toEqual([0, 2]);
    expect(pool.reason).toMatch(/did not finish its share within \d+ s/);
  });

  it('before it began is a reason', async () => {
    const refusing = poolOf(2, () => {
      throw new Error('not allowed');
    });
    expect(refusing.workers).toBe(0);
    expect(refusing.reason).toBe('a worker did not start: not allowed');
    const broken = poolOf(1, node, { module: {} as WebAssembly.Module });
    await broken.settled();
    expect(broken.reason).toMatch(/^a worker failed: .*WebAssembly/);
  });
});

describe('the engine', () => {
  it('goes on with one thread and says why', async () => {
    const threads = process.getBuiltinModule('node:worker_threads');
    const { Worker } = threads;
    const made: InstanceType<typeof Worker>[] = [];
    class Known extends Worker {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args);
        made.push(this);
      }
    }
    Reflect.set(threads, 'Worker', Known);
    const engine = await load({ threads: 2, binary: 'simd' });
    await engine.settled();
    Reflect.set(threads, 'Worker', Worker);
    expect([engine.threads, made.length]).toEqual([2, 1]);
    const product = (): number =>
      step(engine, () =>
        matmul(filled(engine, [99, 64], 1), filled(engine, [64, 50], 2)).read(),
      ).filter((x) => x === 128).length;
    expect(product()).toBe(99 * 50);
    await made[0]!.terminate();
    await vi.waitFor(() => expect(engine.threads).toBe(1), 60_000);
    expect(engine.info().reasons).toEqual(['1 thread: a worker ended']);
    expect(product()).toBe(99 * 50);
    engine.close();
  });
});
