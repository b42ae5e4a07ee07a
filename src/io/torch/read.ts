/**
 * PyTorch `.pt` and `.pth` files: the tensors of a state dict, of a checkpoint around one, or of a
 * network pickled whole (and then its layers, too), without Python and without executing anything.
 *
 * Limits: dense tensors of real numbers; little-endian files; what all tensors expand to (views may
 * share or repeat a storage) is capped as for zip archives.
 */
import { expect } from '../../errors';
import { expansionCap } from '../limits';
import { type Dtype, ITEM_BYTES, toFloat32 } from '../safetensors';
import { rowMajor } from '../strided';
import { type Contents, openTorch } from './container';
import { findTensors, type TorchModule } from './tree';
import type { TensorRef } from './values';

/** A tensor of a PyTorch file. */
export interface TorchTensor {
  /** As stored; `values` are rounded to float32 from it. */
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Row-major, whatever the strides were; a copy. */
  readonly values: Float32Array;
}

export interface TorchFile {
  /** By dotted name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** The layers of a module pickled whole, the outermost first; empty for state dicts. */
  readonly modules: readonly TorchModule[];
  /** What was left out or renamed, a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Reads the zip format (PyTorch 1.6 and later) and the legacy format before it. `who`, the file's
 * name, begins every error.
 *
 * Raises EspalierError for a damaged file, for tensors that are sparse, quantised or complex, and
 * for globals that are not on the white list of globals.ts, all of them named at once.
 */
export function readTorch(bytes: Uint8Array, who: string): TorchFile {
  const contents = openTorch(bytes, who);
  const { tensors: refs, modules, notes } = findTensors(contents.value, who);
  const cap = expansionCap(bytes.length);
  let total = 0;
  const tensors = new Map<string, TorchTensor>();
  for (const [name, ref] of refs) {
    const field = `${who}, tensor ${JSON.stringify(name.slice(0, 80))}`;
    const size = checkedSize(ref, field);
    total += 4 * size;
    expect(total <= cap, field, `at most ${cap} bytes in all`, total);
    const { dtype, shape } = ref;
    const data = bytesOf(ref, size, contents);
    tensors.set(name, { dtype, shape, values: toFloat32({ dtype, shape, data }) });
  }
  return { tensors, modules, notes };
}

/** The number of items of a view, every one of which lies inside its storage. */
function checkedSize({ storage, dtype, offset, shape, strides }: TensorRef, who: string): number {
  let size = 1;
  let last = storage.offset + offset;
  for (const [axis, length] of shape.entries()) {
    size *= length;
    last += (length - 1) * strides[axis]!;
  }
  const items =
    storage.dtype === undefined ? Math.floor(storage.count / ITEM_BYTES[dtype]) : storage.count;
  expect(
    Number.isSafeInteger(size) && (size === 0 || last < items),
    who,
    `a view of the ${items} items of its storage`,
    `one of shape [${shape.join(', ')}] and strides [${strides.join(', ')}] from ${offset}`,
  );
  return size;
}

/** The bytes of a view in row-major order; no copy if they are so already. */
function bytesOf(ref: TensorRef, size: number, contents: Contents): Uint8Array {
  if (size === 0) return new Uint8Array(0);
  const { storage, dtype, shape, strides } = ref;
  const item = ITEM_BYTES[dtype];
  const from = contents.bytesOf(storage).subarray((storage.offset + ref.offset) * item);
  return rowMajor(from, item, shape, strides);
}
