/**
 * UCI digits (Alpaydin and Kaynak; CC BY 4.0): 1797 images of 8 x 8 pixels 0..16, embedded, so that
 * examples, tests and the first five minutes need no download.
 *
 * Split: 360 test images (a fifth), chosen by `holdout` with the fixed seed 1797, hence stratified by
 * class and the same on every machine; the other 1437 train. Both keep the file's order. Writers are
 * mixed between the two. Cost: a lazy chunk of 50 KB.
 */
import { expect } from '../errors';
import { holdout } from './holdout';
import { sha256 } from './sha256';
import type { DataSet, DataSource } from './types';

const COUNT = 1797;
const TEST = 360;
const PIXELS = 64;

export const digits: DataSource = {
  title: 'UCI digits',
  about: '8 x 8 handwritten digits, 1437 + 360 images, embedded: nothing to get.',
  async load(): Promise<DataSet> {
    const { DIGITS_BASE64 } = await import('./digits.gen');
    const { images, labels } = unpack(await inflate(DIGITS_BASE64));
    const all = { images, labels, count: COUNT };
    const { train, held } = holdout(all, [1, 8, 8], TEST, COUNT);
    return {
      name: 'digits',
      title: digits.title,
      shape: [1, 8, 8],
      classes: Array.from({ length: 10 }, (_, digit) => String(digit)),
      unit: 16,
      train,
      test: held,
      source:
        'Optical Recognition of Handwritten Digits, E. Alpaydin, C. Kaynak, UCI ML Repository, ' +
        'CC BY 4.0; embedded; fixed stratified split by espalier',
      sha256: await sha256([images, labels]),
    };
  },
};

/** Base64 of a zlib stream to bytes. */
async function inflate(base64: string): Promise<Uint8Array> {
  const packed = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undoes the layout of scripts/embed-digits.mjs: back to the file's order, image after image. */
function unpack(packed: Uint8Array): { images: Uint8Array; labels: Uint8Array } {
  const bytes = COUNT * (1 + PIXELS);
  expect(packed.length === bytes, 'digits', `${bytes} embedded bytes`, packed.length);
  const labels = packed.slice(0, COUNT);
  // Where the next image of each class stands in the order sorted by class.
  const next = new Array<number>(10).fill(0);
  for (const label of labels) for (let c = label + 1; c < 10; c++) next[c]!++;
  const images = new Uint8Array(COUNT * PIXELS);
  for (let i = 0; i < COUNT; i++) {
    const from = next[labels[i]!]!++;
    for (let p = 0; p < PIXELS; p++) images[i * PIXELS + p] = packed[COUNT * (1 + p) + from]!;
  }
  return { images, labels };
}
