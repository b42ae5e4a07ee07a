/**
 * Patterns of zeros, found in the weights themselves: 4 x 1 blocks, where four rows share the places of
 * their non-zeros (assembly/sparse_blocks.ts), and N:M, where N of every M inputs are kept, whose rows
 * are of one length.
 *
 * Rows that share only most of their places can be blocks too, with the zeros between: what that
 * costs is for the caller to weigh. Cost: a look at every weight.
 */
import type { ConvShape } from '../tensor/convolution';
import { sizeOf } from '../tensor/shape';
import { encodeRows, type Pass, type Planes, type Rows } from './tables';
import { isSparse, placesOf, type Weight } from './weight';

/** Rows of a block. */
export const BLOCK = 4;

/** Non-zeros of a weight [rows, columns], and columns of its blocks that are not all 0. */
export interface Filling {
  readonly nnz: number;
  readonly blocks: number;
  /** Count of all weights. */
  readonly size: number;
}

/** The filling of a weight of so many rows, from the ascending places of its non-zeros. */
export function fillingOf(places: ArrayLike<number>, rows: number, size: number): Filling {
  const columns = rows === 0 ? 0 : size / rows;
  const seen = new Int32Array(columns).fill(-1);
  let blocks = 0;
  for (let n = 0; n < places.length; n++) {
    const row = Math.floor(places[n]! / columns);
    const [block, column] = [Math.floor(row / BLOCK), places[n]! - row * columns];
    if (seen[column] === block) continue;
    seen[column] = block;
    blocks++;
  }
  return { nnz: places.length, blocks, size };
}

/** Rows as blocks: `entries` has four a block, -1 for a zero. */
export function blocksOf({ starts, offsets, entries }: Rows): Rows {
  const rows = starts.length - 1;
  const firsts = [0];
  const at: number[] = [];
  const from: number[] = [];
  for (let first = 0; first < rows; first += BLOCK) {
    const known = new Map<number, number>();
    for (let r = first; r < Math.min(rows, first + BLOCK); r++)
      for (let n = starts[r]!; n < starts[r + 1]!; n++) {
        const offset = offsets[n]!;
        if (!known.has(offset)) {
          known.set(offset, at.push(offset) - 1);
          from.push(-1, -1, -1, -1);
        }
        from[BLOCK * known.get(offset)! + r - first] = entries[n]!;
      }
    firsts.push(at.length);
  }
  return {
    starts: Int32Array.from(firsts),
    offsets: Int32Array.from(at),
    entries: Int32Array.from(from),
  };
}

/** "2:4" where of every 4 neighbouring input channels exactly 2 are kept, at each place of the kernel. */
export const keptOf = (weight: Weight, s: ConvShape): string | undefined =>
  keptOfEvery(
    placesOf(weight),
    sizeOf(weight.shape),
    s.inChannels / s.groups,
    s.kernelHeight * s.kernelWidth,
  );

/**
 * The same of a weight [rows, channels, area], from the places of its non-zeros: the smallest such group of
 * 2, 4, 8 or 16 channels.
 */
export function keptOfEvery(
  places: ArrayLike<number>,
  size: number,
  channels: number,
  area: number,
): string | undefined {
  for (const m of [2, 4, 8, 16]) {
    if (size === 0 || channels % m !== 0) continue;
    const kept = new Uint8Array(size / m);
    for (let i = 0; i < places.length; i++) {
      const at = places[i]!;
      kept[Math.floor(at / (m * area)) * area + (at % area)]!++;
    }
    const n = kept[0]!;
    if (n > 0 && n < m && kept.every((count) => count === n)) return `${n}:${m}`;
  }
  return undefined;
}

/** The tables of a pass, with values of their own in the order of the rows (or blocks). */
export function copiedRows(
  weight: Weight,
  conv: ConvShape,
  pass: Pass,
  source: Planes,
  { transposed, blocks }: { readonly transposed?: boolean | undefined; readonly blocks: boolean },
): {
  readonly rows: number;
  readonly starts: Int32Array;
  readonly offsets: Int32Array;
  readonly values: Float32Array;
} {
  const nonZeros = placesOf(weight);
  const rows = encodeRows(nonZeros, conv, pass, source, transposed);
  const { starts, offsets, entries } = blocks ? blocksOf(rows) : rows;
  const { engine, ptr, size } = isSparse(weight) ? weight.values : weight;
  const from = engine.memory.f32(ptr, size);
  const values = Float32Array.from(entries, (n) =>
    n < 0 ? 0 : from[isSparse(weight) ? n : nonZeros[n]!]!,
  );
  return { rows: rows.starts.length - 1, starts, offsets, values };
}
