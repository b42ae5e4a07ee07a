/**
 * Scratch memory: a bump allocator with nested scopes. Entering a scope remembers the top, leaving
 * it resets the top, so a training step frees everything it made at once and in no time.
 *
 * Every scope has an epoch. A block belongs to the epoch it was made in and is live while that
 * scope is open; epoch 0 is the kept region, live for ever. When the outermost scope ends after
 * the arena had to take several segments they are merged into one, so from the second step on the
 * memory high water is constant.
 */
import { fail } from '../errors';
import type { Ptr } from './kernels';
import type { LinearMemory } from './memory';

const ALIGN = 64;
const FIRST_SEGMENT = 1 << 20;

/** The epoch of kept blocks. */
export const KEPT = 0;

interface Segment {
  ptr: Ptr;
  size: number;
  top: number;
}

interface Scope {
  readonly epoch: number;
  readonly segment: number;
  readonly top: number;
}

export class Arena {
  readonly #memory: LinearMemory;
  #segments: Segment[] = [];
  #current = 0;
  readonly #scopes: Scope[] = [];
  readonly #live = new Set<number>([KEPT]);
  #lastEpoch = KEPT;
  #highWater = 0;

  constructor(memory: LinearMemory) {
    this.#memory = memory;
  }

  /** Largest number of scratch bytes ever in use at once. */
  get highWater(): number {
    return this.#highWater;
  }

  /** Epoch of the innermost open scope, or undefined outside of all. */
  get epoch(): number | undefined {
    return this.#scopes.at(-1)?.epoch;
  }

  isLive(epoch: number): boolean {
    return this.#live.has(epoch);
  }

  /** Opens a scope. */
  enter(): void {
    const epoch = ++this.#lastEpoch;
    const top = this.#segments[this.#current]?.top ?? 0;
    this.#scopes.push({ epoch, segment: this.#current, top });
    this.#live.add(epoch);
  }

  /** Closes the innermost scope and frees all that was made in it. */
  leave(): void {
    const scope = this.#scopes.pop();
    if (!scope) fail('arena', 'an open scope', 'none');
    this.#live.delete(scope.epoch);
    for (let i = scope.segment; i <= this.#current; i++) {
      const segment = this.#segments[i];
      if (segment) segment.top = i === scope.segment ? scope.top : 0;
    }
    this.#current = scope.segment;
    if (this.#scopes.length === 0 && this.#segments.length > 1) this.#merge();
  }

  /** A scratch block of the innermost scope; its contents are undefined. */
  alloc(bytes: number): Ptr {
    if (this.#scopes.length === 0)
      fail(
        'arena',
        'to be inside step()',
        'an operation outside of it',
        'Wrap the computation in step(engine, () => ...).',
      );
    if (!(bytes >= 0)) fail('arena', 'a size >= 0', bytes);
    const size = Math.ceil(bytes / ALIGN) * ALIGN;
    let segment = this.#segments[this.#current];
    while (!segment || segment.top + size > segment.size) {
      if (segment) this.#current++;
      segment = this.#segments[this.#current];
      if (!segment) {
        const total = this.#segments.reduce((sum, s) => sum + s.size, 0);
        const wanted = Math.max(size, total >> 1, FIRST_SEGMENT);
        segment = { ptr: this.#memory.alloc(wanted), size: wanted, top: 0 };
        this.#segments.push(segment);
      }
    }
    const ptr = (segment.ptr + segment.top) as Ptr;
    segment.top += size;
    let used = segment.top;
    for (let i = 0; i < this.#current; i++) used += this.#segments[i]!.top;
    if (used > this.#highWater) this.#highWater = used;
    return ptr;
  }

  /** Gives all segments back to the heap; allowed between steps only. */
  trim(): void {
    if (this.#scopes.length > 0) fail('arena', 'to be outside step() to trim', 'inside');
    for (const segment of this.#segments) this.#memory.free(segment.ptr);
    this.#segments = [];
    this.#current = 0;
  }

  #merge(): void {
    const size = this.#segments.reduce((sum, s) => sum + s.size, 0);
    this.trim();
    try {
      this.#segments = [{ ptr: this.#memory.alloc(size), size, top: 0 }];
    } catch {
      // No hole of that size: the next step takes segments again.
    }
  }
}
