/** The decoding kernels of the runtime against the reader of compact models, on sound and unsound streams. */

import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { edgeEngine } from '../../src/edge/engine';
import { type CompactTensor, readCompact, SKIP } from '../../src/io/compact';
import { smallestDeflate, writeCompact } from '../../src/io/compact-write';
import { inflater } from '../../src/io/inflate';
import { element } from '../../src/runtime/kernels';
import { bits } from '../helpers/engine';
import { signed } from '../helpers/format-seeds';

const inflate = await inflater();
const { engine, decoder } = edgeEngine(undefined, 2 ** 26, inflate);

/** What the decoder writes, and how often it asked the reader. */
function decoded(tensor: CompactTensor) {
  const count = decoder.count(tensor);
  let asked = 0;
  const counted: CompactTensor = {
    ...tensor,
    sparse() {
      asked++;
      return tensor.sparse();
    },
  };
  const [at, of] = [engine.memory.alloc(4 * count + 4), engine.memory.alloc(4 * count + 4)];
  const guards = [at, of].map((ptr) => element(ptr, count));
  for (const ptr of guards) engine.memory.i32(ptr, 1)[0] = 12345;
  try {
    decoder.places(counted, at);
    decoder.values(counted, of);
    for (const ptr of guards) expect(engine.memory.i32(ptr, 1)[0]).toBe(12345);
    return {
      asked,
      positions: Uint32Array.from(engine.memory.i32(at, count)),
      values: engine.memory.f32(of, count).slice(),
    };
  } finally {
    for (const ptr of [at, of]) engine.memory.free(ptr);
  }
}

it('decodes what the writer coded', async () => {
  const deflate = await smallestDeflate();
  const sizes = [0, 1, 3, 17, 600, 20_000];
  for (const size of sizes)
    for (const zeros of [0, 0.5, 0.9, 0.9999, 1])
      for (const own of [false, true]) {
        const { shape, values } = signed(size, zeros);
        const given = { shape, values: own ? values.map((v, i) => v && v + i / 1e6) : values };
        const file = writeCompact(new Map([['w', given]]), {}, deflate);
        const tensor = readCompact(file, 'x', inflate).tensor('w');
        const want = tensor.sparse();
        const got = decoded(tensor);
        expect(got.positions).toEqual(want.positions);
        expect(bits(got.values)).toEqual(bits(want.values));
      }
});

const byte = fc.integer({ min: 0, max: 255 });
const steps = fc.array(fc.oneof(byte, fc.constant(SKIP), fc.constant(0)), { maxLength: 40 });

/** A shared tensor of given streams, read in plain steps; nothing if they are unsound. */
function reference(size: number, nonzero: number, gaps: number[], codes: number[], k: number) {
  const positions: number[] = [];
  let at = 0;
  for (const gap of gaps) {
    at += gap;
    if (gap !== SKIP) positions.push(at++);
  }
  const sound = positions.length === nonzero && at <= size && codes.every((code) => code < k);
  return sound ? positions : undefined;
}

it('finds unsound streams, and writes nothing outside', () => {
  const seen = { sound: 0, unsound: 0 };
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: -2, max: 2 }),
      fc.integer({ min: -3, max: 400 }),
      fc.integer({ min: 1, max: 256 }),
      fc.integer(),
      (gaps, more, room, k, seed) => {
        const real = gaps.filter((gap) => gap !== SKIP).length;
        const end = gaps.reduce((sum, gap) => sum + gap + Number(gap !== SKIP), 0);
        const nonzero = Math.max(0, real + (seed % 2 === 0 ? more : 0));
        const size = Math.max(0, end + (seed % 3 === 0 ? Math.min(room, 0) : Math.abs(room)));
        const codes = Array.from({ length: nonzero }, (_, i) => {
          const code = Math.abs(seed + 31 * i) % 256;
          return seed % 5 === 0 ? code : code % k;
        });
        const table = Float32Array.from({ length: k }, (_, i) => i - 7.5);
        const want = reference(size, nonzero, gaps, codes, k);
        const tensor: CompactTensor = {
          ...{ shape: [size], size, bytes: 0, values: new Float32Array(0) },
          coding: { shape: [size], nonzero, centroids: k, steps: gaps.length, codes: 0 },
          parts: {
            table: () => table,
            codes: () => Uint8Array.from(codes),
            steps: () => Uint8Array.from(gaps),
          },
          sparse() {
            throw new Error('unsound');
          },
        };
        seen[want ? 'sound' : 'unsound']++;
        if (!want) {
          expect(() => decoded(tensor)).toThrow('unsound');
          return;
        }
        const got = decoded(tensor);
        expect(got.asked).toBe(0);
        expect([...got.positions]).toEqual(want);
        expect([...got.values]).toEqual(codes.map((code) => table[code]));
      },
    ),
    { numRuns: 500 },
  );
  expect(Math.min(seen.sound, seen.unsound)).toBeGreaterThan(50);
});

it('places beyond 2^32 are outside, however many skips there are', () => {
  const count = 2 ** 24 + 2 ** 17;
  const gaps = new Uint8Array(count).fill(SKIP);
  gaps[count - 1] = 0;
  const [ptr, to] = [engine.memory.alloc(count), engine.memory.alloc(4)];
  engine.memory.bytes(ptr, count).set(gaps);
  const end = SKIP * (count - 1) + 1;
  const { compact_places: places } = decoder.kernels;
  expect(end).toBeGreaterThan(2 ** 32);
  expect(places(count, ptr, 1, end % 2 ** 32, to)).toBe(0);
  expect(places(count, ptr, 1, end - 1, to)).toBe(0);
  expect(places(count, ptr, 1, end, to)).toBe(1);
});
