/** A trained network as attacks, verifiers and evaluations see it: values in, logits out. */
import type { AnyModel } from '../nn/model';
import { argmax } from '../tensor/ops/loss';
import type { Tensor } from '../tensor/tensor';
import { propagate } from './domain';
import { value } from './value';

/** [n, ...input] -> logits [n, classes], batch norm and dropout in inference. */
export function logits(model: AnyModel, x: Tensor): Tensor {
  return propagate(model.graph, model.params, value, x);
}

/** The predicted class of each sample. */
export function predict(model: AnyModel, x: Tensor): Int32Array {
  return argmax(logits(model, x));
}
