/**
 * Classes of many samples of one model whose weights stay: over its non-zeros by a plan where that
 * should take less time, else in the value domain. The plan is always one of 16 images, the last of them
 * filled up, so that a class depends on nothing that stands beside a sample.
 *
 * Cost: those of the plan (domain/sparse-plan.ts), and two copies of the samples.
 */
import type { Model } from '../nn/model';
import { sizeOf } from '../tensor/shape';
import { GROUP } from '../tensor/sparse';
import type { Tensor } from '../tensor/tensor';
import { classesOf, predict } from './classifier';
import { compileSparsePlan, zerosPay } from './sparse-plan';

export interface Predictor {
  /** [n, ...input] -> n classes, as `classesOf` has them. */
  classes(x: Tensor): Int32Array;
  free(): void;
}

/** Of a model that `lower` made. */
export function predictorOf(model: Model): Predictor {
  if (!zerosPay(model, { batch: GROUP }))
    return { classes: (x) => predict(model, x), free: () => undefined };
  const { graph } = model;
  const plan = compileSparsePlan(model, { batch: GROUP });
  const [size, width] = [sizeOf(graph.network.input), sizeOf(graph.output)];
  return {
    classes(x) {
      const n = x.shape[0]!;
      const samples = x.read();
      const logits = new Float32Array(n * width);
      for (let from = 0; from < n; from += GROUP) {
        const images = new Float32Array(GROUP * size);
        images.set(samples.subarray(from * size, (from + GROUP) * size));
        const found = plan.run(images).subarray(0, (n - from) * width);
        logits.set(found, from * width);
      }
      return classesOf(logits, width);
    },
    free: () => plan.free(),
  };
}
