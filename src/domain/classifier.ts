/** A trained network as attacks, verifiers and evaluations see it: values in, logits out. */
import type { AnyModel } from '../nn/model';
import type { SumOptions } from '../tensor/ops/product';
import type { Tensor } from '../tensor/tensor';
import { newPass, propagate } from './domain';
import { value } from './value';

/** [n, ...input] -> logits [n, classes], batch norm and dropout in inference. */
export function logits(model: AnyModel, x: Tensor, sums?: SumOptions): Tensor {
  return propagate(model.graph, model.params, value, x, { pass: newPass(undefined, sums) });
}

/** The predicted class of each sample, as `classesOf` has it. */
export function predict(model: AnyModel, x: Tensor): Int32Array {
  const z = logits(model, x);
  return classesOf(z.read(), z.size / z.shape[0]!);
}

/** The class of each row of `classes` logits: the first greatest; -1, which is none, beside a NaN. */
export function classesOf(logits: Float32Array, classes: number): Int32Array {
  return Int32Array.from({ length: logits.length / classes }, (_, r) => {
    const row = logits.subarray(r * classes, (r + 1) * classes);
    const top = row.reduce((most, v) => Math.max(most, v), Number.NEGATIVE_INFINITY);
    return row.indexOf(top);
  });
}
