/**
 * Inflating, by the runtime's own zlib or by fflate. That is asked for when it is needed: the tables it
 * makes when loaded take 3 ms of a fresh process (measured).
 */
import { nativeZlib } from './native';

/** Inflates deflate data; `most` bytes are what it may make. */
export type Inflate = (packed: Uint8Array, most: number) => Uint8Array;

export async function inflater(): Promise<Inflate> {
  const zlib = nativeZlib();
  if (zlib) return (packed, most) => zlib.inflateRawSync(packed, { maxOutputLength: most });
  const { inflateSync } = await import('./fflate');
  return (packed, most) => inflateSync(packed, { out: new Uint8Array(most) });
}
