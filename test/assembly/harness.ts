/**
 * Runs kernels without the engine: a raw instance on an imported memory, arrays placed at
 * addresses that are only 4-byte aligned, and a workspace full of NaN with a guard behind it.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { KERNELS, type Ptr, type Split } from '../../src/runtime/kernels';

export type KernelName = keyof typeof KERNELS;
export const KERNEL_NAMES = Object.keys(KERNELS) as KernelName[];

const BASE = 64;
const GUARD = 0x7fc0beef;

export interface Binary {
  /** For titles: says so when the runtime cannot run it. */
  readonly title: string;
  readonly available: boolean;
  readonly create: () => Machine;
}

function binary(name: string): Binary {
  const bytes = readFileSync(new URL(`../../build/${name}.wasm`, import.meta.url));
  // Node 20 has the relaxed instructions behind a flag, which may still be set from here.
  if (!WebAssembly.validate(bytes)) setFlagsFromString('--experimental-wasm-relaxed-simd');
  const available = WebAssembly.validate(bytes);
  const title = available ? name : `${name} (skipped: this runtime lacks its instructions)`;
  return { title, available, create: () => new Machine(bytes) };
}

export const BINARIES: readonly Binary[] = [binary('simd'), binary('relaxed')];

export class Machine {
  readonly buffer: ArrayBuffer;
  readonly f32: Float32Array;
  readonly i32: Int32Array;
  readonly exports: Record<string, (...args: number[]) => void>;
  #top = BASE;

  constructor(bytes: NodeJS.ArrayBufferView) {
    const memory = new WebAssembly.Memory({ initial: 256, maximum: 65536 });
    const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    this.exports = exports as Record<string, (...args: number[]) => void>;
    this.buffer = memory.buffer as ArrayBuffer;
    this.f32 = new Float32Array(this.buffer);
    this.i32 = new Int32Array(this.buffer);
  }

  reset(): void {
    this.i32.fill(GUARD, 0, this.#top >> 2);
    this.#top = BASE;
  }

  /** Room for `count` elements, surrounded by guards and never aligned to 16 bytes. */
  room(count: number): Ptr {
    const at = Math.ceil(this.#top / 16) * 16 + 4 * (1 + (count % 3));
    this.#top = at + 4 * count + 32;
    if (this.#top > this.buffer.byteLength / 2) throw new Error('harness: a case is too large');
    return at as Ptr;
  }

  floats(values: ArrayLike<number>): Ptr {
    const at = this.room(values.length);
    this.f32.set(values, at >> 2);
    return at;
  }

  ints(values: ArrayLike<number>): Ptr {
    const at = this.room(values.length);
    this.i32.set(values, at >> 2);
    return at;
  }

  /** Everything placed so far, as bits. */
  snapshot(): Int32Array {
    return this.i32.slice(0, this.#top >> 2);
  }

  restore(bits: Int32Array): void {
    this.i32.set(bits);
  }

  split(name: KernelName, args: readonly number[]): Split {
    return (KERNELS[name] as (...args: number[]) => Split)(...args);
  }

  /** Calls the kernel once for every range between neighbouring `cuts`, in a shuffled order. */
  run(name: KernelName, args: readonly number[], cuts?: readonly number[]): void {
    const { rows, work } = this.split(name, args);
    const ends = cuts ?? [0, rows];
    const ranges = ends.slice(1).map((end, i) => [ends[i]!, end] as const);
    for (const [r0, r1] of ranges.reverse()) {
      if (work === undefined) {
        this.#call(name, [...args, r0, r1]);
        continue;
      }
      const at = Math.ceil(this.#top / 16) * 16 + 16;
      const words = Math.ceil(work / 4);
      this.i32.fill(GUARD, at >> 2, (at >> 2) + words + 16);
      this.#call(name, [...args, at, r0, r1]);
      const after = this.i32.subarray((at >> 2) + words, (at >> 2) + words + 16);
      if (after.some((word) => word !== GUARD))
        throw new Error(`${name}: wrote past its workspace`);
    }
  }

  #call(name: KernelName, args: readonly number[]): void {
    const run = this.exports[name];
    if (!run) throw new Error(`${name}: not exported`);
    if (run.length !== args.length) {
      throw new Error(`${name}: takes ${run.length} arguments, got ${args.length}`);
    }
    run(...args);
  }
}

/** A small generator for test data; the kernels' own is under test. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x45d9f3b);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  }

  int(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }

  /** f32 values in [-scale, scale). */
  floats(count: number, scale = 2): Float32Array {
    return Float32Array.from({ length: count }, () => (this.next() * 2 - 1) * scale);
  }

  ints(count: number, bound: number): Int32Array {
    return Int32Array.from({ length: count }, () => this.int(bound));
  }

  /** Like floats, with NaN, infinities, zeros of both signs and denormals among them. */
  wild(count: number): Float32Array {
    const odd = [Number.NaN, Infinity, -Infinity, 0, -0, 1e-42, -1e-42, 3e38, -3e38];
    return this.floats(count, 4).map((v) => (this.next() < 0.3 ? this.pick(odd) : v));
  }

  /** Sorted cuts of [0, rows], some ranges empty. */
  cuts(rows: number): number[] {
    const inner = Array.from({ length: 1 + this.int(5) }, () => this.int(rows + 1));
    return [0, ...inner, rows].sort((a, b) => a - b);
  }
}
