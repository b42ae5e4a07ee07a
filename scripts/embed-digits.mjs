/**
 * Packs the UCI digits into data/digits/digits.zlib, which `npm run build:wasm` embeds as base64 in
 * src/data/digits.gen.ts.
 *
 * usage: node scripts/embed-digits.mjs DIGITS.csv.gz
 *
 * The input has one image a line: 64 pixels 0..16, row-major, then the label, comma-separated; 1797
 * lines. The output is a zlib stream over
 *   1797 label bytes in the file's order, then
 *   64 x 1797 pixel bytes, pixel-major, the images sorted by label (stable).
 * Pixel-major and sorted by class, equal positions of alike images stand together, which makes the
 * base64 49 268 characters where image after image takes 57 800. The labels give the file's order
 * back.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { deflateSync, gunzipSync } from 'node:zlib';

const COUNT = 1797;
const PIXELS = 64;

const source = process.argv[2];
if (source === undefined) {
  console.error('usage: node scripts/embed-digits.mjs DIGITS.csv.gz');
  process.exit(2);
}
const rows = gunzipSync(await readFile(source))
  .toString('ascii')
  .trim()
  .split('\n')
  .map((line) => line.split(',').map(Number));
const valid = (row) =>
  row.length === PIXELS + 1 &&
  row.every(Number.isInteger) &&
  row.every((value, i) => value >= 0 && value <= (i < PIXELS ? 16 : 9));
if (rows.length !== COUNT || !rows.every(valid)) {
  console.error(`${source}: expected ${COUNT} lines of 64 pixels 0..16 and a label 0..9.`);
  process.exit(1);
}

const packed = new Uint8Array(COUNT * (1 + PIXELS));
rows.forEach((row, i) => {
  packed[i] = row[PIXELS];
});
const sorted = rows.toSorted((a, b) => a[PIXELS] - b[PIXELS]);
for (let p = 0; p < PIXELS; p++)
  for (let i = 0; i < COUNT; i++) packed[COUNT * (1 + p) + i] = sorted[i][p];

const zlib = deflateSync(packed, { level: 9, memLevel: 9 });
await writeFile(new URL('../data/digits/digits.zlib', import.meta.url), zlib);
console.log(`${rows.length} images, ${packed.length} bytes packed, ${zlib.length} deflated`);
