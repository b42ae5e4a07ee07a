/** A compact model in Node, Deno or Bun. */
// #region program
import { readFile } from 'node:fs/promises';
import { openModel } from '../../src/edge/index';

const model = await openModel(await readFile('digits.compact'));
const image = new Float32Array(64).fill(0.5);
const { label } = model.predict(image);
const { certified, margin } = model.certify(image, 0.01);
console.log(`a ${label}`, certified ? 'within 0.01 of it too' : `margin ${margin}`);
console.log('certified up to', model.radius(image));
model.close();
// #endregion
