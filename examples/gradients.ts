/** Tensors, a step, a gradient: the engine alone. */
// #region program
import { gradients, input, item, load, matmul, mean, square, step } from '../src/index';

const engine = await load({ threads: 1 });
const slope = step(engine, () => {
  const w = input(engine, [1, 2], [2, 1]);
  const x = input(engine, [3, 4], [1, 2]);
  const loss = () => ({ loss: mean(square(matmul(x, w))) });
  const { result, gradients: found } = gradients(engine, [w], loss);
  return { loss: item(result.loss), gradient: found[0]!.read() };
});
console.log(slope.loss, slope.gradient); // 121, [66, 88]
engine.close();
// #endregion
