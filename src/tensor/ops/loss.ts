/** Softmax, cross entropy and what reads classes off logits. */
import { expect } from '../../errors';
import { sizeOf } from '../shape';
import { record } from '../tape';
import { empty, indices, type Tensor } from '../tensor';
import { mul, reshape, sub, sumTo } from './core';

/** Samples and classes of logits [n, k]; further axes, as of global pools, count as classes. */
function rowsOf({ shape }: Tensor, who: string): readonly [n: number, k: number] {
  expect(shape.length > 1, who, 'logits [n, classes]', `[${shape}]`);
  return [shape[0]!, sizeOf(shape.slice(1))];
}

/** Probabilities of each row of [n, k]. */
export function softmax(x: Tensor): Tensor {
  const [n, k] = rowsOf(x, 'softmax');
  const y = empty(x.engine, x.shape);
  x.engine.run('softmax', n, k, x.ptr, y.ptr);
  const rows = (t: Tensor): Tensor => reshape(t, [n, k]);
  const pullback = (g: Tensor): Tensor => {
    const mean = sumTo(mul(rows(g), rows(y)), [n, 1]);
    return reshape(mul(rows(y), sub(rows(g), mean)), x.shape);
  };
  return record(y, [x], [pullback]);
}

/** Cross entropy of each row of logits [n, k] against its label in [0, k): [n]. */
export function crossEntropy(logits: Tensor, labels: ArrayLike<number>): Tensor {
  const [n, k] = rowsOf(logits, 'crossEntropy');
  expect(labels.length === n, 'crossEntropy', `${n} labels`, labels.length);
  const { engine } = logits;
  const at = indices(engine, labels, k, 'crossEntropy: labels');
  const loss = empty(engine, [n]);
  const probabilities = empty(engine, [n, k]);
  engine.run('cross_entropy', n, k, logits.ptr, at, loss.ptr, probabilities.ptr);
  const pullback = (g: Tensor): Tensor => {
    const dx = empty(engine, logits.shape);
    engine.run('cross_entropy_grad', n, k, probabilities.ptr, at, g.ptr, dx.ptr);
    return dx;
  };
  return record(loss, [logits], [pullback]);
}

/** Index of the first largest element of each row of [n, k]. */
export function argmax(x: Tensor): Int32Array {
  const [n, k] = rowsOf(x, 'argmax');
  const at = x.engine.arena.alloc(4 * n);
  x.engine.run('argmax', n, k, x.ptr, at);
  return x.engine.memory.i32(at, n).slice();
}
