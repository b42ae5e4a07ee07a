/**
 * PyTorch `.pt` and `.pth` files: the tensors of a state dict, of a checkpoint around one, or of a
 * network pickled whole (and then its layers, too), without Python and without executing anything.
 *
 * Limits: dense tensors of real numbers; little-endian files; what all tensors expand to (views may
 * share or repeat a storage) is capped as for zip archives.
 */
import { expect, quote } from '../../errors';
import { expansionCap } from '../limits';
import { type Dtype, ITEM_BYTES, toFloat32 } from '../safetensors';
import { rowMajor } from '../strided';
import { listNames } from '../weights/types';
import { type Contents, openTorch } from './container';
import { findTensors, type TorchModule } from './tree';
import type { TensorRef } from './values';

/** A tensor of a PyTorch file. */
export interface TorchTensor {
  /** As stored; `values` are rounded to float32 from it. */
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Row-major, whatever the strides were; a copy, made when asked for. */
  readonly values: Float32Array;
}

export interface TorchFile {
  /** All of the file by full dotted name, in its order. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Dotted paths under which there are tensors, outer ones first; '' is the whole file. */
  readonly keys: readonly string[];
  /** The layers of modules pickled whole, by key, the outermost first; empty for state dicts. */
  readonly modules: ReadonlyMap<string, readonly TorchModule[]>;
  /** What was left out, a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Reads the zip format (PyTorch 1.6 and later) and the legacy format before it. `who`, the file's
 * name, begins every error.
 *
 * Raises EspalierError for a damaged file, for tensors that are sparse, quantised or complex, and
 * for globals that are not on the white list of globals.ts, all of them named at once. So do `values`
 * whose bytes are missing or would be more than the expansion cap in all.
 */
export function readTorch(bytes: Uint8Array, who: string): TorchFile {
  const contents = openTorch(bytes, who);
  const { tensors: refs, keys, modules, left } = findTensors(contents.value, who);
  const cap = expansionCap(bytes.length);
  const made = new Set<string>();
  let total = 0;
  const tensors = new Map<string, TorchTensor>();
  for (const [name, ref] of refs) {
    const field = `${who}, tensor ${quote(name)}`;
    const size = checkedSize(ref, field);
    const { dtype, shape } = ref;
    tensors.set(name, {
      dtype,
      shape,
      get values() {
        if (!made.has(name)) total += 4 * size;
        made.add(name);
        expect(total <= cap, field, `at most ${cap} bytes in all`, total);
        return toFloat32({ dtype, shape, data: bytesOf(ref, size, contents) });
      },
    });
  }
  const notes = left.length > 0 ? [`Left out, as no tensors: ${listNames(left)}.`] : [];
  return { tensors, keys, modules, notes };
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
