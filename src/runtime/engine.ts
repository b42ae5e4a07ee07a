/**
 * `load()` finds the best binary and thread count this machine allows and returns an `Engine`: one
 * linear memory, its scratch arena, and `run()`, which starts kernels. Engines share nothing.
 */
import { instantiateSync } from '@assemblyscript/loader';
import { EspalierError, fail } from '../errors';
import { Arena } from './arena';
import { RELAXED_BASE64, SIMD_BASE64 } from './binaries.gen';
import { KERNELS, type OptionalPtr, type Split } from './kernels';
import { LinearMemory } from './memory';
import { type Pool, type Range, startPool } from './pool';
import { compileModule, decodeBase64, RELAXED_PROBE, withSharedMemory } from './wasm';
import { spawner, startsAlone } from './worker';

export type Binary = 'simd' | 'relaxed';
export type KernelName = keyof typeof KERNELS;
type KernelArgs<K extends KernelName> = Parameters<(typeof KERNELS)[K]>;
type Kernels = Record<string, (...args: number[]) => void>;

/** A kernel call whose split over the threads is fixed; `Engine.start` runs it as often as wanted. */
export interface Call {
  readonly name: KernelName;
  readonly args: readonly number[];
  readonly rows: number;
  /** Threads that take part. */
  readonly parts: number;
  /** Bytes of workspace of each of them, where the kernel takes one. */
  readonly work: number | undefined;
}

export interface LoadOptions {
  /** Threads to use, the calling one included; `'auto'` is the number of processors, at most 8. */
  readonly threads?: number | 'auto';
  /** `'relaxed'` has fused multiply-add where the processor does; `'auto'` takes it if it can. */
  readonly binary?: Binary | 'auto';
  /** Upper limit of the linear memory in bytes, at most 4 GiB. */
  readonly maxMemory?: number;
  /**
   * A compiled `WebAssembly.Module`, or bytes, or where to fetch them, instead of the built-in; say in
   * `binary` which of the two it is (default: `simd`).
   */
  readonly module?: object;
  readonly bytes?: Uint8Array<ArrayBuffer>;
  /** A URL as text, or a `URL`. */
  readonly url?: string | { readonly href: string };
}

export interface EngineInfo {
  readonly binary: Binary;
  readonly threads: number;
  /** Why not more threads, why not the other binary: one sentence each. */
  readonly reasons: readonly string[];
  readonly memory: {
    readonly shared: boolean;
    readonly maxBytes: number;
    readonly totalBytes: number;
    readonly usedBytes: number;
    readonly scratchHighWater: number;
  };
}

/** Bytes of workspace of all threads of a call. */
export const workspaceOf = ({ work = 0, parts }: Call): number => work * parts;

/** Calls with fewer elementary operations than this a thread are not split. */
const COST_PER_THREAD = 131_072;
const NAMES = Object.keys(KERNELS) as KernelName[];
const INDEX = new Map(NAMES.map((name, index) => [name, index]));

export class Engine {
  readonly memory: LinearMemory;
  readonly arena: Arena;
  readonly binary: Binary;
  readonly #kernels: Kernels;
  readonly #pool: Pool | undefined;
  readonly #reasons: readonly string[];
  #closed = false;

  /** @internal Use `load()`. */
  constructor(parts: {
    memory: LinearMemory;
    kernels: Kernels;
    pool: Pool | undefined;
    binary: Binary;
    reasons: readonly string[];
  }) {
    this.memory = parts.memory;
    this.arena = new Arena(parts.memory);
    this.binary = parts.binary;
    this.#kernels = parts.kernels;
    this.#pool = parts.pool;
    this.#reasons = parts.reasons;
  }

  /** Threads that compute, the calling one included. */
  get threads(): number {
    return 1 + (this.#pool?.workers ?? 0);
  }

  /**
   * Starts the threads, if no work has, and resolves when every one is up, or it is known (and said in
   * `info().reasons`) that one is not. Nothing has to wait for it: those that are up do the work.
   */
  async settled(): Promise<void> {
    await this.#pool?.settled();
  }

  info(): EngineInfo {
    const lost = this.#pool?.reason;
    const { shared, maxBytes, totalBytes, usedBytes } = this.memory;
    const scratchHighWater = this.arena.highWater;
    return {
      binary: this.binary,
      threads: this.threads,
      reasons: [...this.#reasons, ...(lost === undefined ? [] : [`1 thread: ${lost}`])],
      memory: { shared, maxBytes, totalBytes, usedBytes, scratchHighWater },
    };
  }

  /** Fixes how a kernel runs over all its rows: on as many threads as pay. */
  prepare<K extends KernelName>(name: K, ...args: KernelArgs<K>): Call {
    const { rows, cost, work } = (KERNELS[name] as (...args: number[]) => Split)(...args);
    const useful = Math.max(1, Math.floor(cost / COST_PER_THREAD));
    const parts = Math.min(this.threads, useful, rows);
    return { name, args, rows, parts, work: work && Math.ceil(work / 64) * 64 };
  }

  /** Runs a prepared call; `workspace` is the address of `workspaceOf(call)` bytes, if it needs any. */
  start({ name, args, rows, parts, work }: Call, workspace: OptionalPtr = 0): void {
    if (this.#closed) fail('engine', 'an open engine', 'a closed one');
    if (rows <= 0) return;
    const range = (t: number): Range => ({
      work: work === undefined ? -1 : workspace + t * work,
      r0: Math.floor((rows * t) / parts),
      r1: Math.floor((rows * (t + 1)) / parts),
    });
    const kernel = this.#kernels[name]!;
    if (parts > 1)
      this.#pool!.start(
        INDEX.get(name)!,
        args,
        Array.from({ length: parts - 1 }, (_, t) => range(t + 1)),
      );
    try {
      const { r1 } = range(0);
      if (work === undefined) kernel(...args, 0, r1);
      else kernel(...args, workspace, 0, r1);
    } finally {
      if (parts > 1) this.#pool!.join();
    }
  }

  /** A prepared call on its workspace as a function, to be called often. */
  bind(call: Call, workspace: OptionalPtr): () => void {
    const { name, args, rows, parts, work } = call;
    if (parts !== 1) return () => this.start(call, workspace);
    const all = work === undefined ? [...args, 0, rows] : [...args, workspace, 0, rows];
    const kernel = this.#kernels[name]!.bind(undefined, ...all);
    return () => {
      if (this.#closed) fail('engine', 'an open engine', 'a closed one');
      kernel();
    };
  }

  /** Runs one kernel over all its rows, on as many threads as pay. */
  run<K extends KernelName>(name: K, ...args: KernelArgs<K>): void {
    const call = this.prepare(name, ...args);
    this.start(call, call.work === undefined ? 0 : this.arena.alloc(workspaceOf(call)));
  }

  /** Stops the workers; the linear memory goes with the last reference to the engine. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pool?.close();
  }
}

/**
 * Compiles the kernels and starts the threads.
 *
 * Where threads or the relaxed binary are not available it goes on without and says why in
 * `engine.info().reasons`; asking for `binary: 'relaxed'` by name where there is none is an error.
 */
export async function load(options: LoadOptions = {}): Promise<Engine> {
  const reasons: string[] = [];
  const wanted = threadCount(options.threads ?? 'auto');
  const { binary, bytes, module: given } = await chooseBinary(options, reasons);
  const spawn = wanted > 1 ? threading(given !== undefined) : undefined;
  if (typeof spawn === 'string') reasons.push(`1 thread: ${spawn}`);
  const threaded = typeof spawn === 'function';
  const memory = new LinearMemory(threaded, options.maxMemory);
  const module = given ?? compileModule(threaded ? withSharedMemory(bytes) : bytes);
  const shared = memory.memory as WebAssembly.Memory;
  const kernels = instantiate(module, shared);
  let pool: Pool | undefined;
  if (threaded) {
    const own = NAMES.map((name) => kernels[name]!);
    pool = startPool(wanted - 1, spawn, { module, memory: shared, kernels: own, names: NAMES });
    if (!startsAlone(spawn)) await pool.settled();
  }
  return new Engine({ memory, kernels, pool, binary, reasons });
}

function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const kernels = instantiateSync(module, { env: { memory } }).exports as unknown as Kernels;
  for (const name of NAMES)
    if (typeof kernels[name] !== 'function')
      fail('load', `a module that exports the kernel ${name}`, 'one without it');
  return kernels;
}

const others = new WeakMap<Engine, Engine>();

/**
 * An engine of one thread over the built-in binary that `engine` does not run, to compare with; made
 * at the first call, once an engine. Undefined where this runtime cannot compile it.
 */
export function otherBinary(engine: Engine): Engine | undefined {
  const binary = engine.binary === 'simd' ? 'relaxed' : 'simd';
  if (!others.has(engine) && supports(binary)) {
    const memory = new LinearMemory(false, engine.memory.maxBytes);
    const bytes = decodeBase64(binary === 'relaxed' ? RELAXED_BASE64 : SIMD_BASE64);
    const kernels = instantiate(compileModule(bytes), memory.memory as WebAssembly.Memory);
    others.set(engine, new Engine({ memory, kernels, pool: undefined, binary, reasons: [] }));
  }
  return others.get(engine);
}

/** Whether this runtime can compile the named built-in binary. */
export function supports(binary: Binary): boolean {
  return WebAssembly.validate(binary === 'relaxed' ? RELAXED_PROBE : decodeBase64(SIMD_BASE64));
}

function threadCount(threads: number | 'auto'): number {
  if (threads !== 'auto') {
    if (!Number.isInteger(threads) || threads < 1 || threads > 64)
      fail('load: threads', "a whole number in [1, 64] or 'auto'", threads);
    return threads;
  }
  const os = globalThis.process?.getBuiltinModule?.('node:os');
  const processors = os?.availableParallelism() ?? globalThis.navigator?.hardwareConcurrency;
  return Math.min(8, processors ?? 1);
}

/** How to start threads over a shared memory, or the reason why there can be none. */
function threading(compiled: boolean): ReturnType<typeof spawner> {
  if (globalThis.crossOriginIsolated === false)
    return 'the page is not cross-origin isolated (its server has to send Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp)';
  if (typeof SharedArrayBuffer === 'undefined') return 'this runtime has no SharedArrayBuffer';
  if (compiled) return 'a compiled module cannot be given a shared memory';
  return spawner();
}

async function chooseBinary(
  options: LoadOptions,
  reasons: string[],
): Promise<{ binary: Binary; bytes: Uint8Array<ArrayBuffer>; module?: WebAssembly.Module }> {
  const named = options.binary ?? 'auto';
  if (named !== 'auto' && named !== 'simd' && named !== 'relaxed')
    fail('load: binary', "'simd', 'relaxed' or 'auto'", named);
  const label = named === 'auto' ? 'simd' : named;
  if (options.module)
    return { binary: label, bytes: new Uint8Array(), module: options.module as WebAssembly.Module };
  if (options.bytes ?? options.url) {
    const bytes = options.bytes ?? (await fetchBytes(options.url!));
    if (!WebAssembly.validate(bytes))
      fail('load', 'a module that this runtime can compile', `${bytes.length} other bytes`);
    return { binary: label, bytes };
  }
  if (named !== 'simd') {
    if (supports('relaxed')) return { binary: 'relaxed', bytes: decodeBase64(RELAXED_BASE64) };
    const why = 'this runtime cannot compile relaxed SIMD';
    const hint = 'Node 20 needs --experimental-wasm-relaxed-simd; newer ones have it.';
    if (named === 'relaxed') throw new EspalierError(`load: ${why}. ${hint}`);
    reasons.push(`simd binary: ${why} (${hint})`);
  }
  return { binary: 'simd', bytes: decodeBase64(SIMD_BASE64) };
}

async function fetchBytes(
  given: string | { readonly href: string },
): Promise<Uint8Array<ArrayBuffer>> {
  const url = typeof given === 'string' ? given : given.href;
  const response = await fetch(url);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const magic = bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d;
  if (!response.ok || !magic)
    fail(
      `load: ${url}`,
      'a WebAssembly module',
      `${response.headers.get('content-type') ?? 'no content type'}, status ${response.status}`,
    );
  return bytes;
}
