/**
 * Classes of many samples of one model whose weights stay: over its non-zeros by a plan where that
 * should take less time, else in the value domain. The plan is always one of 16 images, the last of them
 * filled up, so that a class depends on nothing that stands beside a sample.
 *
 * Cost: those of the plan (plan/sparse-plan.ts), and two copies of the samples.
 */
import { classesOf, predict } from '../domain/classifier';
import type { AnyModel } from '../nn/model';
import { TILE } from '../sparse/tables';
import { sizeOf } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { compileSparsePlan, sparsePlanPays } from './sparse-plan';

export interface Predictor {
  /** [n, ...input] -> n classes, as `classesOf` has them. */
  classes(x: Tensor): Int32Array;
  free(): void;
}

/** Makes the predictor of a model that `lower` made. */
export function predictorOf(model: AnyModel): Predictor {
  if (!sparsePlanPays(model, { batch: TILE }))
    return { classes: (x) => predict(model, x), free: () => undefined };
  const { graph } = model;
  const plan = compileSparsePlan(model, { batch: TILE });
  const [size, width] = [sizeOf(graph.network.input), sizeOf(graph.output)];
  return {
    classes(x) {
      const n = x.shape[0]!;
      const samples = x.read();
      const logits = new Float32Array(n * width);
      for (let from = 0; from < n; from += TILE) {
        const images = new Float32Array(TILE * size);
        images.set(samples.subarray(from * size, (from + TILE) * size));
        const found = plan.run(images).subarray(0, (n - from) * width);
        logits.set(found, from * width);
      }
      return classesOf(logits, width);
    },
    free: () => plan.free(),
  };
}
