/**
 * One WebAssembly linear memory as a heap of 64-byte aligned blocks, and the only place that makes
 * typed-array views of it.
 *
 * Kept tensors are heap blocks; the scratch arena (`arena.ts`) takes its segments from the same
 * heap. First fit over a sorted free list with coalescing: blocks are few and large, so a linear
 * scan costs nothing beside the kernels.
 */
import { fail } from '../errors';
import type { Ptr } from './kernels';

const PAGE = 65_536;
const ALIGN = 64;
/** The first page holds the module's static data. */
const HEAP_START = PAGE;
export const MAX_BYTES = 65_536 * PAGE;

/** What the rest of the library needs of a `WebAssembly.Memory`; names no DOM type. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

interface Block {
  ptr: Ptr;
  size: number;
}

export class LinearMemory {
  readonly memory: WasmMemory;
  readonly shared: boolean;
  readonly maxBytes: number;
  readonly #free: Block[] = [];
  readonly #used = new Map<Ptr, number>();
  #usedBytes = 0;

  /** @param maxBytes upper limit in bytes, at most 4 GiB (wasm32). */
  constructor(shared: boolean, maxBytes: number = MAX_BYTES) {
    if (!(maxBytes >= 2 * PAGE && maxBytes <= MAX_BYTES))
      fail('load: maxMemory', `bytes in [${2 * PAGE}, ${MAX_BYTES}]`, maxBytes);
    this.shared = shared;
    this.maxBytes = Math.floor(maxBytes / PAGE) * PAGE;
    const pages = { initial: 1, maximum: this.maxBytes / PAGE, shared };
    try {
      this.memory = new WebAssembly.Memory(pages);
    } catch (error) {
      const got = error instanceof Error ? error.message : error;
      fail('load: maxMemory', `room for ${this.maxBytes} bytes`, got, 'Give a smaller one.');
    }
  }

  /** Bytes in blocks handed out. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Bytes of the whole linear memory; it never shrinks. */
  get totalBytes(): number {
    return this.memory.buffer.byteLength;
  }

  /** A block of at least `bytes` bytes; its contents are undefined. */
  alloc(bytes: number): Ptr {
    if (!(bytes >= 0)) fail('memory', 'a size >= 0', bytes);
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    let index = this.#free.findIndex((block) => block.size >= size);
    if (index < 0) index = this.#grow(size, bytes);
    const block = this.#free[index]!;
    const { ptr } = block;
    if (block.size === size) this.#free.splice(index, 1);
    else {
      block.ptr = (ptr + size) as Ptr;
      block.size -= size;
    }
    this.#used.set(ptr, size);
    this.#usedBytes += size;
    return ptr;
  }

  free(ptr: Ptr): void {
    const size = this.#used.get(ptr);
    if (size === undefined) fail('memory', 'a block in use', `offset ${ptr}`);
    this.#used.delete(ptr);
    this.#usedBytes -= size;
    this.#release({ ptr, size });
  }

  f32(ptr: Ptr, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, ptr, length);
  }

  i32(ptr: Ptr, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, ptr, length);
  }

  bytes(ptr: Ptr, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, ptr, length);
  }

  /** Puts a block back, merged with its neighbours, and returns its place in the list. */
  #release(block: Block): number {
    const list = this.#free;
    let at = list.findIndex((other) => other.ptr > block.ptr);
    if (at < 0) at = list.length;
    const next = list[at];
    if (next && block.ptr + block.size === next.ptr) {
      block.size += next.size;
      list.splice(at, 1);
    }
    const previous = list[at - 1];
    if (previous && previous.ptr + previous.size === block.ptr) {
      previous.size += block.size;
      return at - 1;
    }
    list.splice(at, 0, block);
    return at;
  }

  #grow(size: number, asked: number): number {
    const end = Math.max(this.totalBytes, HEAP_START);
    const last = this.#free.at(-1);
    const missing = size - (last && last.ptr + last.size === end ? last.size : 0);
    const pages = Math.ceil(missing / PAGE);
    if (end + pages * PAGE > this.maxBytes || !this.#growPages(pages))
      fail(
        'memory',
        `at most ${this.maxBytes} bytes`,
        `a request of ${asked} bytes with ${this.#usedBytes} in use`,
        'Use a smaller batch or network, or raise maxMemory (wasm32 ends at 4 GiB).',
      );
    return this.#release({ ptr: end as Ptr, size: pages * PAGE });
  }

  #growPages(pages: number): boolean {
    try {
      this.memory.grow(pages);
      return true;
    } catch {
      return false;
    }
  }
}
