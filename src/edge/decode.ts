/**
 * Weights of compact models as values and places in linear memory, by the kernels of
 * assembly/compact.ts. Where those find a file at fault, its reader says in which way.
 *
 * Beside the result a byte a non-zero weight is held, twice.
 */
import type { CompactTensor } from '../io/compact';
import { element, type Ptr } from '../runtime/kernels';
import type { LinearMemory } from '../runtime/memory';

export interface DecodeKernels {
  compact_places(count: number, steps: Ptr, nnz: number, size: number, to: Ptr): number;
  compact_values(nnz: number, codes: Ptr, k: number, table: Ptr, to: Ptr): number;
}

/** Bytes of a table of float32 for every code. */
const TABLE = 4 * 256;

export class Decoder {
  constructor(
    readonly memory: LinearMemory,
    readonly kernels: DecodeKernels,
  ) {}

  /** Values that `places` and `values` write. */
  count({ coding, size }: CompactTensor): number {
    return coding?.nonzero ?? size;
  }

  /** Writes where the non-zero weights are, row-major and ascending. */
  places(tensor: CompactTensor, to: Ptr): void {
    const { parts, size } = tensor;
    const nnz = this.count(tensor);
    const right =
      parts &&
      this.#with(parts.steps(), 0, (steps, count) =>
        this.kernels.compact_places(count, steps, nnz, size, to),
      );
    if (!right) this.memory.i32(to, nnz).set(tensor.sparse().positions);
  }

  /** Their values, in that order. */
  values(tensor: CompactTensor, to: Ptr): void {
    const { parts, coding } = tensor;
    const nnz = this.count(tensor);
    const k = coding?.centroids ?? 0;
    if (!parts || k === 0) {
      this.memory.f32(to, nnz).set(parts ? parts.table() : tensor.values);
      return;
    }
    const right = this.#with(parts.codes(), TABLE, (table) => {
      this.memory.f32(table, k).set(parts.table());
      return this.kernels.compact_values(nnz, element(table, TABLE / 4), k, table, to);
    });
    if (!right) this.memory.f32(to, nnz).set(tensor.sparse().values);
  }

  /** Multiplies values of `values` by the factors of their rows. */
  scaleRows(tensor: CompactTensor, values: Ptr, factors: Float32Array): void {
    const count = this.count(tensor);
    const ptr = this.memory.alloc(4 * count);
    try {
      this.places(tensor, ptr);
      const [places, scaled] = [this.memory.i32(ptr, count), this.memory.f32(values, count)];
      const row = tensor.size / factors.length;
      for (let i = 0; i < count; i++) scaled[i]! *= factors[Math.floor(places[i]! / row)]!;
    } finally {
      this.memory.free(ptr);
    }
  }

  /** What `use` finds of bytes in linear memory, with `room` before them. */
  #with(bytes: Uint8Array, room: number, use: (ptr: Ptr, count: number) => number): number {
    const ptr = this.memory.alloc(room + bytes.length);
    try {
      this.memory.bytes(element(ptr, room / 4), bytes.length).set(bytes);
      return use(ptr, bytes.length);
    } finally {
      this.memory.free(ptr);
    }
  }
}
