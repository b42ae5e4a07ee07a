/**
 * Models with many zeros go over the others only: values, gradients and bounds of every domain then
 * cost what their non-zeros do (sparse/pattern.ts), and are the dense ones to rounding, so that
 * certificates hold (docs/numerics.md, "The network").
 *
 * Cost: a look at every weight; tables of about 20 bytes a non-zero once a layer first runs.
 */
import { dropSupport, setSupport } from '../sparse/pattern';
import type { Tensor } from '../tensor/tensor';
import { type Model, prunableNames } from './model';

/**
 * Takes the zeros that the model's weights have now for ever: all its parameters must stay as they
 * are. Returns the model; `freeModel` frees the tables.
 */
export function supportZeros<M extends Model>(model: M): M {
  for (const weight of prunable(model)) setSupport(weight, weight);
  return model;
}

/** Goes over what masks keep, whatever its values become, until the function it returns is called. */
export function supportMasks({ params }: Model, masks: ReadonlyMap<string, Tensor>): () => void {
  const weights = [...masks].map(([name, mask]) => [params.get(name)!, mask] as const);
  for (const [weight, mask] of weights) setSupport(weight, mask);
  return () => {
    for (const [weight] of weights) dropSupport(weight);
  };
}

const prunable = ({ graph, params }: Model): Tensor[] =>
  prunableNames(graph).map((name) => params.get(name)!);
