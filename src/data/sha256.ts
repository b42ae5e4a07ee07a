/**
 * The hash of data sets and configs in provenance, by the platform's Web Crypto (Node, browsers, serverless).
 *
 * Cost: one copy of the bytes if they come in several parts, as Web Crypto hashes in one call.
 */
import { expect } from '../errors';

/** SHA-256 of the concatenation of `parts`, as 64 hexadecimal digits. */
export async function sha256(parts: readonly Uint8Array[]): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  expect(subtle, 'SHA-256', 'Web Crypto', 'none', 'In a browser it needs a secure page (https).');
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  const digest = new Uint8Array(await subtle.digest('SHA-256', all));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
