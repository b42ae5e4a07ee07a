/** CRC-32 of zip and gzip (ISO 3309, reflected polynomial 0xedb88320), by the runtime or a table look-up a byte. */
import { nativeZlib } from './native';

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  return value >>> 0;
});

export function crc32(bytes: Uint8Array): number {
  const native = nativeZlib()?.crc32;
  if (native) return native(bytes);
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
