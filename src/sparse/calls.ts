/**
 * Sparse passes in linear memory: tables of src/sparse/tables.ts, put where the kernels read them,
 * and calls over them; copies between rows of images [n, c, h, w] and planes with lanes.
 */
import type { Call, Engine } from '../runtime/engine';
import { element, type OptionalPtr, type Ptr } from '../runtime/kernels';
import type { ConvShape } from '../tensor/convolution';
import { copiedRows } from './blocks';
import {
  type CsrTables,
  encodePlaces,
  offsetsOf,
  type Pass,
  type Planes,
  phasesOf,
  putTiles,
  withoutGroups,
} from './tables';
import { isSparse, type SparseWeight, type Weight } from './weight';

/** Where memory comes from: a plan, or the arena of a step. */
export type Keep = (bytes: number) => Ptr;

/** One pass, encoded: its tables and values. */
export interface SparsePass extends CsrTables {
  readonly values: Ptr;
  readonly target: Planes;
  readonly source: Planes;
  /** Tables of assembly/sparse_blocks.ts: `nnz` counts entries of four. */
  readonly blocks: boolean;
}

export interface PassJob {
  readonly engine: Engine;
  readonly keep: Keep;
  /** [oc, c / groups, kh, kw]; stays as it is. */
  readonly weight: Weight;
  readonly conv: ConvShape;
  readonly pass: Pass;
  readonly source: Planes;
  readonly target: Planes;
  readonly transposed?: boolean;
  /** Default: rows. */
  readonly form?: 'rows' | 'blocks';
}

const putIn =
  ({ engine, keep }: Pick<PassJob, 'engine' | 'keep'>) =>
  (words: Int32Array): Ptr => {
    const at = keep(4 * words.length);
    engine.memory.i32(at, words.length).set(words);
    return at;
  };

/** Encodes the non-zeros of a weight for one pass. Those of a sparse weight are used as they lie. */
export function encode(job: PassJob): SparsePass {
  const { pass, source, target, weight, form, transposed } = job;
  const asTheyLie = isSparse(weight) && form !== 'blocks' && !transposed;
  return {
    ...(asTheyLie ? rowsInPlace(job, weight) : rowsOf(job, weight)),
    ...putTiles(putIn(job), encodePlaces(pass, source, target)),
    ...{ source, target, blocks: form === 'blocks' },
  };
}

type RowTables = Pick<SparsePass, 'rows' | 'nnz' | 'starts' | 'values' | 'offsets'>;

function rowsOf(job: PassJob, weight: Weight): RowTables {
  const { engine, keep, conv, pass, source, transposed, form } = job;
  const put = putIn(job);
  const { rows, starts, offsets, values } = copiedRows(weight, conv, pass, source, {
    transposed,
    blocks: form === 'blocks',
  });
  const at = keep(4 * values.length);
  engine.memory.f32(at, values.length).set(values);
  return { rows, nnz: offsets.length, starts: put(starts), values: at, offsets: put(offsets) };
}

/** Makes the tables by a kernel, as forward passes keep the order of the non-zeros. */
function rowsInPlace(
  { engine, keep, conv, pass, source }: PassJob,
  { pattern, values }: SparseWeight,
): RowTables {
  const { inChannels: c, outChannels: oc, kernelHeight, kernelWidth } = conv;
  const area = kernelHeight * kernelWidth;
  const { nnz } = pattern;
  const { inChannel, inKernel } = offsetsOf(c, area, pass.taps, source);
  const tables = [inChannel, inKernel].map((table) => {
    const ptr = engine.memory.alloc(4 * table.length);
    engine.memory.i32(ptr, table.length).set(table);
    return ptr;
  }) as [Ptr, Ptr];
  const offsets = keep(4 * nnz);
  pattern.write(offsets);
  withoutGroups(engine.memory.i32(offsets, nnz), conv);
  const starts = keep(4 * (oc + 1));
  const call = engine.prepare(
    ...(['sparse_rows', oc, nnz, c, area, offsets, ...tables, starts, offsets] as const),
  );
  // In place, hence unsplit.
  engine.start({ ...call, parts: 1 });
  for (const ptr of tables) engine.memory.free(ptr);
  return { rows: oc, nnz, starts, values: values.ptr, offsets };
}

export interface Operands {
  /** Images (or blocks of lanes) of x and y, one after the other. Default: 1. */
  readonly n?: number;
  readonly x: Ptr;
  readonly y: Ptr;
  readonly bias?: OptionalPtr;
  readonly lo?: number;
  readonly hi?: number;
}

/** y = min(max(A x + bias, lo), hi). */
export function productCall(engine: Engine, pass: SparsePass, o: Operands): Call {
  const { rows, starts, values, offsets, tiles, places, masks, source, target, blocks } = pass;
  const { n = 1, x, y, bias = 0, lo = -Infinity, hi = Infinity } = o;
  const [, h, w] = target.shape;
  // One number a row: there are no lanes to fill.
  if (!blocks && n === 1 && target.channel * h * w === 1) {
    const [from, to] = engine.memory.i32(places, 2);
    return engine.prepare(
      ...(['sparse_vector', rows, starts, values, offsets, bias] as const),
      ...([element(x, from! / 4), element(y, to! / 4), lo, hi] as const),
    );
  }
  return engine.prepare(
    blocks ? 'sparse_blocks' : 'sparse_product',
    ...([rows, n, tiles, starts, values, offsets, places, masks] as const),
    ...([bias, x, 4 * source.size, y, 4 * target.size, 4 * target.channel, lo, hi] as const),
  );
}

/** Strides, in elements, of images in memory. */
export interface View {
  readonly ptr: Ptr;
  readonly image: number;
  readonly channel: number;
  readonly line: number;
  readonly column: number;
}

export const viewOfImages = (ptr: Ptr, [c, h, w]: Planes['shape']): View => ({
  ptr,
  image: c * h * w,
  channel: h * w,
  line: w,
  column: 1,
});

/** View of planes; where these have one lane, images may lie `image` elements apart. */
export const viewOfPlanes = (ptr: Ptr, planes: Planes, image = 1): View => ({
  ptr: element(ptr, planes.origin),
  image,
  channel: planes.channel,
  line: planes.line,
  column: planes.column,
});

/** Copies `count` images [c, h, w] from one view to another. */
export function copyCall(
  engine: Engine,
  count: number,
  [c, h, w]: Planes['shape'],
  from: View,
  to: View,
): Call {
  // What lies side by side goes innermost: columns, or the images that are lanes.
  if (h * w === 1 && c % 16 === 0)
    return engine.prepare(
      ...(['copy_strided', c / 16, 1, 16, count] as const),
      ...([from.ptr, 16 * from.channel, 0, from.channel, from.image] as const),
      ...([to.ptr, 16 * to.channel, 0, to.channel, to.image, 0] as const),
    );
  if (count === 1 || (from.image !== 1 && to.image !== 1))
    return engine.prepare(
      ...(['copy_strided', c, count, h, w] as const),
      ...([from.ptr, from.channel, from.image, from.line, from.column] as const),
      ...([to.ptr, to.channel, to.image, to.line, to.column, 0] as const),
    );
  return engine.prepare(
    ...(['copy_strided', c, h, w, count] as const),
    ...([from.ptr, from.channel, from.line, from.column, from.image] as const),
    ...([to.ptr, to.channel, to.line, to.column, to.image, 0] as const),
  );
}

/** Copies that split images [c, h, w] into planes of every sy-th line and sx-th column. */
export function splitCalls(
  engine: Engine,
  count: number,
  shape: Planes['shape'],
  steps: readonly [number, number],
  whole: View,
  split: View,
): Call[] {
  return eachPhase(shape, steps, whole, split).map(([part, from, to]) =>
    copyCall(engine, count, part, from, to),
  );
}

/** Copies that put such planes together again. */
export function mergeCalls(
  engine: Engine,
  count: number,
  shape: Planes['shape'],
  steps: readonly [number, number],
  split: View,
  whole: View,
): Call[] {
  return eachPhase(shape, steps, whole, split).map(([part, to, from]) =>
    copyCall(engine, count, part, from, to),
  );
}

function eachPhase(
  [c, h, w]: Planes['shape'],
  [sy, sx]: readonly [number, number],
  whole: View,
  split: View,
): (readonly [part: Planes['shape'], whole: View, split: View])[] {
  const [all] = phasesOf([c, h, w], [sy, sx]);
  return Array.from({ length: all / c }, (_, phase) => {
    const [py, px] = [Math.floor(phase / sx), phase % sx];
    const part = [
      c,
      Math.max(0, Math.ceil((h - py) / sy)),
      Math.max(0, Math.ceil((w - px) / sx)),
    ] as const;
    return [
      part,
      {
        ...whole,
        ptr: element(whole.ptr, py * whole.line + px * whole.column),
        line: sy * whole.line,
        column: sx * whole.column,
      },
      { ...split, ptr: element(split.ptr, phase * c * split.channel) },
    ] as const;
  });
}
