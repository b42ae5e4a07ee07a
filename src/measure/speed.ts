/** Speed of a network on its data. */
import { batchOf } from '../data/batches';
import type { DataSet } from '../data/types';
import { predict } from '../domain/classifier';
import { withCanonical } from '../nn/freeze';
import type { Model } from '../nn/model';
import { input, step } from '../tensor/tensor';

/** Images a second of plain inference: the median over nine batches of up to 500 test images, after two more. */
export function imagesPerSecond(model: Model, set: DataSet): number {
  const { images, labels } = batchOf(set, set.test, 0, Math.min(500, set.test.count));
  const shape = [labels.length, ...model.graph.network.input];
  const seconds: number[] = [];
  withCanonical(model, (canonical) => {
    for (let run = 0; run < 11; run++) {
      const started = performance.now();
      step(model.engine, () => predict(canonical, input(model.engine, images, shape)));
      if (run >= 2) seconds.push((performance.now() - started) / 1000);
    }
  });
  return labels.length / seconds.sort((a, b) => a - b)[seconds.length >> 1]!;
}
