/**
 * An image as a `data:` address, for `<img>`: an uncompressed 24-bit BMP, 54 bytes of header before
 * the pixels. Test images are a few kilobytes; nothing is gained by compressing them, and no encoder
 * is needed.
 */
import { expect } from '../errors';

/** `pixels` in [0, 1], [C, H, W] row-major with C = 3 (red, green, blue), else the first channel in grey. */
export function bitmap(
  pixels: readonly number[],
  [channels, height, width]: readonly [number, number, number],
): string {
  const fits =
    channels > 0 && height > 0 && width > 0 && pixels.length === channels * height * width;
  expect(fits, 'bitmap: pixels', `${channels} x ${height} x ${width} numbers`, pixels.length);
  const stride = Math.ceil((3 * width) / 4) * 4;
  const size = 54 + stride * height;
  const file = new Uint8Array(size);
  const header = new DataView(file.buffer);
  header.setUint16(0, 0x424d); // "BM"; what follows is little-endian
  header.setUint32(2, size, true);
  header.setUint32(10, 54, true); // where the pixels start
  header.setUint32(14, 40, true); // bytes of the second header
  header.setInt32(18, width, true);
  header.setInt32(22, height, true); // positive: the bottom row comes first
  header.setUint16(26, 1, true); // planes
  header.setUint16(28, 24, true); // bits a pixel
  header.setUint32(34, stride * height, true);
  const plane = height * width;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) {
        const channel = channels === 3 ? 2 - c : 0; // stored blue, green, red
        const value = pixels[channel * plane + y * width + x]!;
        file[54 + (height - 1 - y) * stride + 3 * x + c] = Math.round(
          255 * Math.min(1, Math.max(0, value)),
        );
      }
  let binary = '';
  for (const byte of file) binary += String.fromCharCode(byte);
  return `data:image/bmp;base64,${btoa(binary)}`;
}

/** `b - a` scaled to be seen: grey where equal, the largest change at black or white. */
export function difference(
  a: readonly number[],
  b: readonly number[],
): { pixels: number[]; largest: number } {
  const change = a.map((value, i) => (b[i] ?? value) - value);
  const largest = change.reduce((most, d) => Math.max(most, Math.abs(d)), 0);
  const scale = largest > 0 ? 0.5 / largest : 0;
  return { pixels: change.map((d) => 0.5 + scale * d), largest };
}
