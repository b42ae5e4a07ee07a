/** Philox against the known-answer vectors of Random123, and the shape of the distributions. */
import { describe, expect, it } from 'vitest';
import { BINARIES } from './harness';

/** counter, key and result, from the `kat_vectors` of Salmon et al.'s Random123. */
const KNOWN: readonly [number[], number[], number[]][] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

for (const { title, available, create } of BINARIES) {
  describe.skipIf(!available)(`random numbers, ${title}`, () => {
    it('matches the published vectors', () => {
      const m = create();
      const counter = m.ints(KNOWN.flatMap(([c]) => c));
      const key = m.ints(KNOWN.flatMap(([, k]) => k));
      const y = m.room(12);
      m.run('philox', [KNOWN.length, counter, key, y]);
      const got = [...m.i32.subarray(y >> 2, (y >> 2) + 12)].map((v) => v >>> 0);
      expect(got).toEqual(KNOWN.flatMap(([, , result]) => result));
    });

    it('has the moments of its distributions and stays inside', () => {
      const m = create();
      const n = 100_000;
      const y = m.room(n);
      const draw = () => m.f32.slice(y >> 2, (y >> 2) + n);
      const mean = (list: Float32Array) => list.reduce((a, b) => a + b, 0) / n;
      m.run('random_uniform', [1, n, 1, 2, 3, 0, -1, 1, y]);
      const uniform = draw();
      expect(uniform.every((v) => v >= -1 && v <= 1)).toBe(true);
      expect(Math.abs(mean(uniform))).toBeLessThan(0.01);
      expect(Math.abs(mean(uniform.map((v) => v * v)) - 1 / 3)).toBeLessThan(0.01);
      m.run('random_normal', [1, n, 1, 2, 3, 0, 0, 1, y]);
      const normal = draw();
      expect(normal.every(Number.isFinite)).toBe(true);
      expect(Math.abs(mean(normal))).toBeLessThan(0.02);
      expect(Math.abs(mean(normal.map((v) => v * v)) - 1)).toBeLessThan(0.02);
      expect(Math.abs(mean(normal.map((v) => v ** 4)) - 3)).toBeLessThan(0.15);
    });
  });
}
