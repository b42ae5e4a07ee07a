/**
 * gzip (RFC 1952) for every reader: what a file holds once unpacked, within a stated limit.
 *
 * A limit is the reader's own, or 64 MiB or 50 times the packed size (`expansionCap`), whichever is
 * less; so memory is bounded by the packed file. Formats that say at their start how long they are
 * (IDX) are asked before the rest is unpacked. Node's zlib unpacks and checks checksum and length.
 */
import { fail } from '../errors';
import { expansionCap } from './limits';

/** Bytes at a time while only the start is wanted: at most 1032 times as many come out. */
const CHUNK = 1 << 10;

/** Whether `bytes` begin as gzip data do: magic, deflate, no reserved flag, no safetensors' "{". */
export function isGzip(bytes: Uint8Array): boolean {
  const [one, two, method, flags = 0xff] = bytes;
  return one === 0x1f && two === 0x8b && method === 8 && flags < 0x20 && bytes[8] !== 0x7b;
}

/**
 * The content of gzip data. Raises EspalierError beginning with `who` for damage, and where more than
 * `limit` bytes, or than the expansion cap of so many packed ones, would come out.
 */
export async function gunzip(bytes: Uint8Array, who: string, limit: number): Promise<Uint8Array> {
  const most = Math.min(limit, expansionCap(bytes.length));
  const zlib = await import('node:zlib');
  const { promisify } = await import('node:util');
  try {
    const out = await promisify(zlib.gunzip)(bytes, { maxOutputLength: most });
    return new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE')
      return fail(who, `at most ${most} bytes after decompression`, 'more');
    const cause = error instanceof Error ? error.message : String(error);
    return fail(who, 'gzip data', cause, 'The file may be cut short; fetch it again.');
  }
}

/** `bytes` themselves, or what they hold if they are gzip; once, as gzip in gzip is nobody's format. */
export async function plainOrGzip(
  bytes: Uint8Array,
  who: string,
  limit: number,
): Promise<Uint8Array> {
  return isGzip(bytes) ? gunzip(bytes, who, limit) : bytes;
}

/** The first `count` bytes of gzip data, or as many as there are, without unpacking much more. */
export async function gzipStart(
  bytes: Uint8Array,
  who: string,
  count: number,
): Promise<Uint8Array> {
  const { Gunzip } = await import('fflate');
  const start = new Uint8Array(count);
  let filled = 0;
  const stream = new Gunzip((part) => {
    const taken = part.subarray(0, count - filled);
    start.set(taken, filled);
    filled += taken.length;
  });
  try {
    for (let at = 0; at < bytes.length && filled < count; at += CHUNK)
      stream.push(bytes.subarray(at, at + CHUNK), at + CHUNK >= bytes.length);
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    return fail(who, 'gzip data', cause, 'The file may be cut short; fetch it again.');
  }
  return start.subarray(0, filled);
}
