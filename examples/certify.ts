/** Asks a finished run's pruned network about one test image. Run quickstart.ts first. */
// #region program
import { datasets, leastMargins, load, loadModel, lower } from '../src/index';

const engine = await load({ threads: 1 });
const model = lower(await loadModel(engine, 'runs/quickstart/pruned.safetensors'));
const { test, unit } = await datasets.digits.load({});
const image = Float32Array.from(test.images.subarray(0, 64), (pixel) => pixel / unit);
const label = Number(test.labels[0]);
const [margin = 0] = leastMargins(model, image, [label], 0.02, { sound: true });
console.log(
  margin > 0
    ? `certified: no change of up to 0.02 a pixel makes this anything but a ${label}`
    : `unknown: the bounds leave a margin of ${margin}`,
);
engine.close();
// #endregion
