/**
 * What `load()` needs to know of the WebAssembly binary format: base64 to bytes, the one flag that makes
 * the imported memory shared, and a probe for relaxed SIMD that costs nothing.
 */
import { fail } from '../errors';

const IMPORT_SECTION = 2;
const MEMORY_IMPORT = 2;
/** Limits flags: 1 = has a maximum, 2 = shared. */
const SHARED_WITH_MAXIMUM = 3;

/** A function that returns f32x4.relaxed_madd of three splats of 0: valid where relaxed SIMD is. */
export const RELAXED_PROBE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  // One type, () -> v128, and one function of it.
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x13, 0x01, 0x11, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f],
  ...[0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x85, 0x02, 0x0b],
);

/** Compiles a valid module; the only thing that can be missing is SIMD. */
export function compileModule(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes);
  } catch {
    return fail('load', 'a runtime with WebAssembly SIMD', 'one without');
  }
}

export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  if (typeof Buffer !== 'undefined') return new Uint8Array(Buffer.from(text, 'base64'));
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** A copy of the module whose imported memory is shared. */
export function withSharedMemory(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  let at = 8;
  const uint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = copy[at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const skipName = (): void => {
    const length = uint();
    at += length;
  };
  while (at < copy.length) {
    const section = copy[at++];
    const end = uint() + at;
    if (section !== IMPORT_SECTION) {
      at = end;
      continue;
    }
    for (let count = uint(); count > 0; count--) {
      skipName();
      skipName();
      const kind = copy[at++];
      if (kind === MEMORY_IMPORT) {
        copy[at] = SHARED_WITH_MAXIMUM;
        return copy;
      }
      if (kind !== 0) break;
      uint();
    }
    break;
  }
  return fail('load', 'a module that imports its memory', 'one that does not');
}
