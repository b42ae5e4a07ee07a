/**
 * Sparse passes in linear memory: tables of src/sparse/tables.ts, put where the kernels read them,
 * and calls over them; copies between rows of images [n, c, h, w] and planes with lanes.
 */
import { fail } from '../errors';
import type { Call, Engine } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import type { Tensor } from '../tensor/tensor';
import { blocksOf } from './blocks';
import {
  type ConvSizes,
  encodePlaces,
  encodeRows,
  nonZeros,
  offsetsOf,
  type Pass,
  type Planes,
  phasesOf,
} from './tables';

/** Where memory comes from: a plan, or the arena of a step. */
export type Keep = (bytes: number) => Ptr;

/** A weight as its non-zeros, row-major. */
export interface NonZeros {
  readonly count: number;
  readonly values: Ptr;
  /** Writes where they are in the dense weight, ascending. */
  places(to: Ptr): void;
}

/**
 * One pass, encoded. Addresses of its tables; `weights` are places of the values in the dense tensor,
 * 0 where there is none.
 */
export interface SparsePass {
  readonly rows: number;
  readonly nnz: number;
  readonly starts: Ptr;
  readonly values: Ptr;
  readonly offsets: Ptr;
  readonly weights: Ptr;
  readonly groups: number;
  readonly places: Ptr;
  readonly masks: Ptr;
  readonly target: Planes;
  readonly source: Planes;
  /** Tables of assembly/sparse_blocks.ts: `nnz` counts entries of four. */
  readonly blocks: boolean;
}

export interface PassJob {
  readonly engine: Engine;
  readonly keep: Keep;
  /** [oc, c, kh, kw]. */
  readonly weight: Tensor | NonZeros;
  readonly sizes: ConvSizes;
  readonly pass: Pass;
  readonly source: Planes;
  readonly target: Planes;
  readonly transposed?: boolean;
  /** The weight stays as it is, so nothing is kept to `refresh` its values. */
  readonly fixed?: 'rows' | 'blocks';
}

function put(engine: Engine, keep: Keep, values: Int32Array): Ptr {
  const at = keep(4 * values.length);
  engine.memory.i32(at, values.length).set(values);
  return at;
}

/** Encodes the non-zeros of a weight for one pass. Values that are given apart are used as they lie. */
export function encode(job: PassJob): SparsePass {
  const { engine, keep, pass, source, target } = job;
  const rows = 'places' in job.weight ? givenRows(job, job.weight) : rowsOf(job, job.weight);
  const { places, masks } = encodePlaces(pass, source, target);
  const encoded = {
    ...rows,
    groups: places.length / 2,
    places: put(engine, keep, places),
    masks: masks ? put(engine, keep, masks) : 0,
    source,
    target,
    blocks: job.fixed === 'blocks',
  };
  if (!('places' in job.weight || job.fixed)) refresh(engine, encoded, job.weight);
  return encoded;
}

type RowTables = Pick<SparsePass, 'rows' | 'nnz' | 'starts' | 'values' | 'offsets' | 'weights'>;

function rowsOf(job: PassJob, w: Tensor): RowTables {
  const { engine, keep, sizes, pass, source, transposed, fixed } = job;
  const positions = nonZeros(engine.memory.f32(w.ptr, w.size));
  const rows = encodeRows(positions, sizes, pass, source, transposed);
  const { starts, offsets, entries } = fixed === 'blocks' ? blocksOf(rows) : rows;
  if (fixed) {
    const values = keep(4 * entries.length);
    const from = engine.memory.f32(w.ptr, w.size);
    const given = Float32Array.from(entries, (n) => (n < 0 ? 0 : from[positions[n]!]!));
    engine.memory.f32(values, entries.length).set(given);
    return {
      rows: rows.starts.length - 1,
      nnz: offsets.length,
      starts: put(engine, keep, starts),
      values,
      offsets: put(engine, keep, offsets),
      weights: 0,
    };
  }
  return {
    rows: starts.length - 1,
    nnz: offsets.length,
    starts: put(engine, keep, starts),
    values: keep(4 * offsets.length),
    offsets: put(engine, keep, offsets),
    weights: put(
      engine,
      keep,
      entries.map((n) => positions[n]!),
    ),
  };
}

/** By a kernel, as forward passes keep the order of the non-zeros. */
function givenRows(
  { engine, keep, sizes: [c, , , oc, kh, kw], pass, source, transposed }: PassJob,
  { count: nnz, values, places }: NonZeros,
): RowTables {
  if (transposed) fail('sparse product', 'a forward pass', 'a transposed one');
  const area = kh * kw;
  const { inChannel, inKernel } = offsetsOf(c, area, pass.taps, source);
  const tables = [inChannel, inKernel].map((table) => {
    const ptr = engine.memory.alloc(4 * table.length);
    engine.memory.i32(ptr, table.length).set(table);
    return ptr;
  }) as [Ptr, Ptr];
  const offsets = keep(4 * nnz);
  places(offsets);
  const starts = keep(4 * (oc + 1));
  const call = engine.prepare(
    ...(['sparse_rows', oc, nnz, c, area, offsets, ...tables, starts, offsets] as const),
  );
  // In place, hence unsplit.
  engine.start({ ...call, parts: 1 }, 0);
  for (const ptr of tables) engine.memory.free(ptr);
  return { rows: oc, nnz, starts, values, offsets, weights: 0 };
}

/** Takes the values from the weight, whose zeros are where they were. */
export function refresh(engine: Engine, { nnz, weights, values }: SparsePass, w: Tensor): void {
  engine.run('take_rows', nnz, 1, w.ptr, weights, values);
}

export interface Operands {
  /** Images (or blocks of lanes) of x and y, one after the other. Default: 1. */
  readonly n?: number;
  readonly x: Ptr;
  readonly y: Ptr;
  readonly bias?: Ptr;
  readonly lo?: number;
  readonly hi?: number;
}

/** y = min(max(A x + bias, lo), hi). */
export function productCall(engine: Engine, pass: SparsePass, o: Operands): Call {
  const { rows, starts, values, offsets, groups, places, masks, source, target, blocks } = pass;
  const { n = 1, x, y, bias = 0, lo = -Infinity, hi = Infinity } = o;
  const [, h, w] = target.shape;
  // One number a row: there are no lanes to fill.
  if (!blocks && n === 1 && target.channel * h * w === 1) {
    const [from, to] = engine.memory.i32(places, 2);
    return engine.prepare(
      ...(['sparse_vector', rows, starts, values, offsets, bias] as const),
      ...([x + from!, y + to!, lo, hi] as const),
    );
  }
  return engine.prepare(
    blocks ? 'sparse_blocks' : 'sparse_product',
    ...([rows, n, groups, starts, values, offsets, places, masks] as const),
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

/** Of planes with one lane, images may lie `image` elements apart. */
export const viewOfPlanes = (ptr: Ptr, planes: Planes, image = 1): View => ({
  ptr: ptr + 4 * planes.origin,
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
        ptr: whole.ptr + 4 * (py * whole.line + px * whole.column),
        line: sy * whole.line,
        column: sx * whole.column,
      },
      { ...split, ptr: split.ptr + 4 * phase * c * split.channel },
    ] as const;
  });
}
