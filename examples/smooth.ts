/** Asks the smoothed classifier about one test image. Run quickstart.ts first. */
// #region program
import { datasets, load, loadModel, lower, smooth } from '../src/index';

const engine = await load({ threads: 1 });
const model = lower(await loadModel(engine, 'runs/quickstart/pruned.safetensors'));
const { test, unit } = await datasets.digits.load({});
const image = Float32Array.from(test.images.subarray(0, 64), (pixel) => pixel / unit);
const options = { sigma: 0.25, n0: 100, n: 10_000, alpha: 0.001, seed: 0, radii: [0.1, 0.5] };
const { predicted, radius, draws } = smooth(model, image, 0, options);
console.log(
  predicted === null
    ? `abstains after ${draws} draws`
    : `class ${predicted} within an L2 distance of ${radius}, after ${draws} draws`,
);
engine.close();
// #endregion
