/** Margins z_y - z_j of a classifier as rows of linear bounds; differentiable where the rows' bounds are. */
import { reshape } from '../tensor/ops/core';
import { addRows } from '../tensor/ops/shape';
import { sizeOf } from '../tensor/shape';
import { input, type Tensor } from '../tensor/tensor';
import type { Rows } from './backward';
import type { BoundContext } from './context';
import { type BoundedNetwork, lowerBounds } from './linear';

/** Lower bounds of z_y - z_j for every class j, [n, classes] with 0 at j = y. */
export function linearMargins(context: BoundedNetwork, labels: ArrayLike<number>): Tensor {
  return marginTable(context, labels, lowerBounds(context, marginRows(context, labels)));
}

/** Numbers of the rows of `marginRows` as [n, classes], with 0 at the label. */
function marginTable({ graph }: BoundContext, labels: ArrayLike<number>, rows: Tensor): Tensor {
  const [n, k] = [labels.length, sizeOf(graph.output)];
  const places = Int32Array.from({ length: rows.size }, (_, r) => {
    const [i, j] = [Math.floor(r / (k - 1)), r % (k - 1)];
    return i * k + (j < labels[i]! ? j : j + 1);
  });
  return reshape(addRows(reshape(rows, [rows.size, 1]), places, n * k), [n, k]);
}

/** Rows e_y - e_j for j != y in order, samples one after the other. */
export function marginRows({ engine, graph }: BoundContext, labels: ArrayLike<number>): Rows {
  const k = sizeOf(graph.output);
  const sample = new Int32Array(labels.length * (k - 1));
  const values = new Float32Array(sample.length * k);
  for (let i = 0, r = 0; i < labels.length; i++)
    for (let j = 0; j < k; j++) {
      if (j === labels[i]!) continue;
      sample[r] = i;
      values[r * k + labels[i]!] = 1;
      values[r * k + j] = -1;
      r++;
    }
  return { sample, values: input(engine, values, [sample.length, ...graph.output]) };
}
