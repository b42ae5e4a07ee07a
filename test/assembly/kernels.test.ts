/**
 * Every kernel of the table, in both binaries: against an f64 reference, writing nothing but its
 * outputs, and bit for bit the same however its rows are split. A kernel without a case fails.
 */
import { describe, expect, it } from 'vitest';
import { type CaseTable, mismatch } from './case';
import { ELEMENTWISE } from './cases-elementwise';
import { LINE_CASES } from './cases-lines';
import { PRODUCTS } from './cases-products';
import { ROWS } from './cases-rows';
import { SPARSE } from './cases-sparse';
import { BINARIES, KERNEL_NAMES, Random } from './harness';

const CASES: CaseTable = { ...ELEMENTWISE, ...PRODUCTS, ...ROWS, ...SPARSE, ...LINE_CASES };

/** The first word that differs between two snapshots outside of the given ranges. */
function differs(a: Int32Array, b: Int32Array, skip: readonly (readonly [number, number])[] = []) {
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue;
    if (skip.some(([from, count]) => i >= from && i < from + count)) continue;
    return `byte ${4 * i}: ${a[i]} became ${b[i]}`;
  }
  return undefined;
}

for (const { title, available, create } of BINARIES) {
  describe.skipIf(!available)(`kernels, ${title}`, () => {
    const machine = available ? create() : undefined;

    it('exports the table and nothing else', () => {
      const kernels = Object.keys(machine!.exports).filter((name) => name !== 'memory');
      expect(kernels.sort()).toEqual([...KERNEL_NAMES].sort());
    });

    it.each(KERNEL_NAMES)('%s', (name) => {
      const m = machine!;
      const makers = CASES[name] ?? [];
      expect(makers.length, `${name} needs a test case`).toBeGreaterThan(0);
      makers.forEach((make, index) => {
        m.reset();
        const rng = new Random(1 + index);
        const { label, args, outputs } = make(m, rng);
        const before = m.snapshot();
        m.run(name, args);
        for (const output of outputs) expect(mismatch(m, output), label).toBeUndefined();
        const once = m.snapshot();
        const written = outputs.map(({ at, want }) => [at >> 2, want.length] as const);
        expect(differs(before, once, written), `${label}: wrote elsewhere`).toBeUndefined();
        const { rows } = m.split(name, args);
        for (const cuts of [
          rng.cuts(rows),
          rng.cuts(rows),
          Array.from({ length: rows + 1 }, (_, r) => r),
        ]) {
          m.restore(before);
          m.run(name, args, rows > 400 ? rng.cuts(rows) : cuts);
          expect(differs(once, m.snapshot()), `${label}: split at ${cuts}`).toBeUndefined();
        }
      });
    });
  });
}
