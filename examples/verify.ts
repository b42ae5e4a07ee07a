/** Asks whether another class can win near one test image, in L2. Run quickstart.ts first. */
// #region program
import {
  Budget,
  ballRegion,
  datasets,
  finish,
  load,
  loadModel,
  lower,
  marginProperty,
  verifySpecification,
} from '../src/index';

const engine = await load({ threads: 1 });
const model = lower(await loadModel(engine, 'runs/quickstart/pruned.safetensors'));
const { test, unit } = await datasets.digits.load({});
const image = Float32Array.from(test.images.subarray(0, 64), (pixel) => pixel / unit);
const region = ballRegion(image, 0.2, { norm: 'l2' });
const unsafe = marginProperty(10, Number(test.labels[0]));
const budget = new Budget({ seconds: 10 });
const { verdict, bound, by } = finish(verifySpecification(model, { region, unsafe }, { budget }));
console.log(`${verdict} by ${by}: proven distance from unsafe ${bound.toFixed(2)}`);
engine.close();
// #endregion
