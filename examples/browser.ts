/** Training in a page or a Web Worker: the same program as in Node, with the same bits. */
// #region program
import {
  createModel,
  crossEntropy,
  gradients,
  input,
  type LoadOptions,
  lincomb,
  load,
  logits,
  mean,
  sequential,
  step,
} from '../src/index';

const network = sequential(
  'small',
  [1, 12, 12],
  [['conv2d', { channels: 16, kernel: 3 }], ['relu'], ['flatten'], ['dense', { units: 10 }]],
);
const labels = Array.from({ length: 64 }, (_, i) => i % 10);
const images = Float32Array.from({ length: 64 * 144 }, (_, i) => ((i * 37) % 101) / 100);

/** Five steps of gradient descent: the weights, and how they were computed. */
export async function train(options: LoadOptions) {
  const engine = await load(options);
  const model = createModel(engine, network, { seed: 1 });
  const weights = [...model.params.values()];
  for (let i = 0; i < 5; i++)
    step(engine, () => {
      const x = input(engine, images, [64, 1, 12, 12]);
      const loss = () => ({ loss: mean(crossEntropy(logits(model, x), labels)) });
      const { gradients: found } = gradients(engine, weights, loss);
      weights.forEach((w, k) => {
        w.write(lincomb(1, w, -0.1, found[k]!).read());
      });
    });
  const { binary, threads, reasons } = engine.info();
  const result = { binary, threads, reasons, weights: weights.map((w) => w.read()) };
  engine.close();
  return result;
}
// #endregion
