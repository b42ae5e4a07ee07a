/**
 * Two facts about the WebAssembly binary format that `load()` needs: base64 to bytes, and the one
 * flag that makes the imported memory shared.
 */
import { fail } from '../errors';

const IMPORT_SECTION = 2;
const MEMORY_IMPORT = 2;
/** Limits flags: 1 = has a maximum, 2 = shared. */
const SHARED_WITH_MAXIMUM = 3;

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
