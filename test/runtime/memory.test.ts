/** The heap in linear memory: against a model that only remembers which bytes are whose. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Ptr } from '../../src/runtime/kernels';
import { LinearMemory, MAX_BYTES } from '../../src/runtime/memory';

const PAGE = 65_536;
const rounded = (bytes: number): number => Math.max(64, Math.ceil(bytes / 64) * 64);

describe('LinearMemory', () => {
  it('hands out aligned blocks that keep what is written in them', () => {
    const command = fc.oneof(
      fc.record({ alloc: fc.integer({ min: 0, max: 100_000 }) }),
      fc.record({ free: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const memory = new LinearMemory(false, 256 * PAGE);
        const live: { ptr: Ptr; bytes: number; mark: number }[] = [];
        let mark = 0;
        for (const c of commands) {
          if ('alloc' in c) {
            mark = (mark + 1) % 256;
            const block = { ptr: memory.alloc(c.alloc), bytes: rounded(c.alloc), mark };
            memory.bytes(block.ptr, block.bytes).fill(mark);
            live.push(block);
          } else if (live.length > 0) {
            const [block] = live.splice(c.free % live.length, 1);
            expect(memory.bytes(block!.ptr, block!.bytes).every((b) => b === block!.mark)).toBe(
              true,
            );
            memory.free(block!.ptr);
          }
          expect(memory.usedBytes).toBe(live.reduce((sum, b) => sum + b.bytes, 0));
          for (const { ptr, bytes } of live) {
            expect(ptr % 64).toBe(0);
            expect(ptr).toBeGreaterThanOrEqual(PAGE);
            expect(ptr + bytes).toBeLessThanOrEqual(memory.totalBytes);
          }
        }
        for (const block of live)
          expect(memory.bytes(block.ptr, block.bytes).every((b) => b === block.mark)).toBe(true);
        // All blocks back, in any order, is one block again: it can be had whole without growing.
        for (const block of live) memory.free(block.ptr);
        const total = memory.totalBytes;
        if (total > PAGE) expect(memory.alloc(total - PAGE)).toBe(PAGE);
        expect(memory.totalBytes).toBe(total);
      }),
      { numRuns: 60 },
    );
  });

  it('grows by what is missing behind the last free block', () => {
    const memory = new LinearMemory(false, 64 * PAGE);
    expect(memory.totalBytes).toBe(PAGE);
    memory.free(memory.alloc(PAGE));
    expect(memory.totalBytes).toBe(2 * PAGE);
    memory.alloc(3 * PAGE);
    expect(memory.totalBytes).toBe(4 * PAGE);
  });

  it('names the bytes asked for at its limit, and goes on working', () => {
    const memory = new LinearMemory(false, 4 * PAGE);
    const ptr = memory.alloc(PAGE);
    expect(() => memory.alloc(123_456_789)).toThrow(
      /memory: expected at most 262144 bytes, got a request of 123456789 bytes with 65536 in use\./,
    );
    expect(memory.usedBytes).toBe(PAGE);
    expect(memory.alloc(2 * PAGE)).toBe(ptr + PAGE);
    expect(() => memory.alloc(1)).toThrow(/a request of 1 bytes/);
  });

  it('refuses to free what is not in use', () => {
    const memory = new LinearMemory(false);
    const ptr = memory.alloc(100);
    memory.free(ptr);
    expect(() => memory.free(ptr)).toThrow(`expected a block in use, got offset ${ptr}`);
    expect(() => memory.free(12_345 as Ptr)).toThrow('offset 12345');
  });

  it.each([0, PAGE, 2 * PAGE - 1, MAX_BYTES + 1, Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses %d bytes as its limit',
    (limit) => {
      expect(() => new LinearMemory(false, limit)).toThrow('load: maxMemory: expected bytes in');
    },
  );

  it('can be shared', () => {
    const memory = new LinearMemory(true, 8 * PAGE);
    expect(memory.memory.buffer).toBeInstanceOf(SharedArrayBuffer);
    memory.f32(memory.alloc(PAGE), 4).set([1, 2, 3, 4]);
    expect(memory.usedBytes).toBe(PAGE);
  });
});
