/** Patterns of zeros: what is found in weights, and rows as blocks, against plain loops. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blocksOf, fillingOf, keptOfEvery } from '../../src/sparse/blocks';
import { nonZeros } from '../../src/sparse/tables';

const matrices = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 7 }))
  .chain(([rows, columns]) =>
    fc
      .array(fc.constantFrom(0, 0, 1, -2), { minLength: rows * columns, maxLength: rows * columns })
      .map((weight) => ({ rows, columns, weight })),
  );

/** CSR whose offsets are 4 bytes a column, entries counted in order. */
function csr(weight: readonly number[], rows: number, columns: number) {
  const [starts, offsets]: [number[], number[]] = [[0], []];
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < columns; i++) if (weight[r * columns + i] !== 0) offsets.push(4 * i);
    starts.push(offsets.length);
  }
  return {
    starts: Int32Array.from(starts),
    offsets: Int32Array.from(offsets),
    entries: Int32Array.from(offsets, (_, n) => n),
  };
}

describe('blocks of four rows', () => {
  it('hold every non-zero once, and zeros between', () => {
    fc.assert(
      fc.property(matrices, ({ rows, columns, weight }) => {
        const values = weight.filter((v) => v !== 0);
        const { starts, offsets, entries } = blocksOf(csr(weight, rows, columns));
        expect(starts).toHaveLength(Math.ceil(rows / 4) + 1);
        const dense = new Array<number>(rows * columns).fill(0);
        for (let b = 0; b + 1 < starts.length; b++)
          for (let e = starts[b]!; e < starts[b + 1]!; e++)
            for (let i = 0; i < 4; i++) {
              const n = entries[4 * e + i]!;
              if (n >= 0) dense[(4 * b + i) * columns + offsets[e]! / 4]! += values[n]!;
            }
        expect(dense).toEqual(weight);
        const filling = fillingOf(nonZeros(weight), rows, weight.length);
        expect(filling).toEqual({
          nnz: values.length,
          blocks: offsets.length,
          size: weight.length,
        });
      }),
    );
  });
});

const nOfM = (weight: readonly number[], channels: number, area: number) =>
  keptOfEvery(nonZeros(weight), weight.length, channels, area);

describe('N of M', () => {
  /** [rows, channels, area] that keeps the channels i with keep(i) at every place. */
  const weight = (rows: number, channels: number, area: number, keep: (i: number) => boolean) =>
    Array.from({ length: rows * channels * area }, (_, n) =>
      keep(Math.floor(n / area) % channels) ? 1 : 0,
    );

  it('is found along the channels', () => {
    expect(
      nOfM(
        weight(3, 8, 9, (i) => i % 4 < 2),
        8,
        9,
      ),
    ).toBe('2:4');
    expect(
      nOfM(
        weight(3, 8, 1, (i) => i % 4 === 3),
        8,
        1,
      ),
    ).toBe('1:4');
    expect(
      nOfM(
        weight(2, 8, 4, (i) => i % 2 === 0),
        8,
        4,
      ),
    ).toBe('1:2');
    expect(
      nOfM(
        weight(2, 16, 1, (i) => i < 3),
        16,
        1,
      ),
    ).toBe('3:16');
  });

  it('is not seen where it is not', () => {
    expect(nOfM([], 4, 1)).toBeUndefined();
    expect(
      nOfM(
        weight(2, 8, 3, () => true),
        8,
        3,
      ),
    ).toBeUndefined();
    expect(
      nOfM(
        weight(2, 8, 3, () => false),
        8,
        3,
      ),
    ).toBeUndefined();
    expect(
      nOfM(
        weight(2, 6, 3, (i) => i % 3 === 0),
        6,
        3,
      ),
    ).toBeUndefined();
    const almost = weight(3, 8, 9, (i) => i % 4 < 2);
    almost[almost.length - 1] = 1;
    expect(nOfM(almost, 8, 9)).toBeUndefined();
  });
});
