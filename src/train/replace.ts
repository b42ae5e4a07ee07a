/** Masks that change between two batches: what an optimiser knows of entries that stay goes with them. */
import { expect } from '../errors';
import {
  createParameterisation,
  dataOf,
  freeParameterisation,
  moveKept,
} from '../nn/parameterised';
import {
  leavesOf,
  type ParameterMap,
  type Trained,
  type TrainingModel,
} from '../nn/training-model';
import { keep } from '../tensor/tensor';
import type { Optimizer } from './optimizers';

/**
 * Gives some parameters other data of the same kind. Moments of entries that stay are kept, those of new
 * ones begin at 0.
 */
export function replaceParameters(
  model: TrainingModel,
  optimizer: Optimizer,
  trained: Trained,
  changes: ParameterMap,
): void {
  const { engine, graph, parameters } = model;
  for (const [name, data] of changes) {
    const who = `${graph.network.name}.${name}`;
    const old = parameters.get(name);
    expect(old, who, 'a parameter of the network', 'none');
    expect(old.kind === data.kind, who, `a parameterisation that is ${old.kind}`, data.kind);
    const next = createParameterisation(engine, old.shape, data, who);
    const before = dataOf(old);
    for (const [local, { shape }] of Object.entries(next.tensors))
      for (const moment of ['m', 'v', 'average']) {
        const key = `${moment}.${name}/${local}`;
        const known = optimizer.moments.get(key);
        if (!known) continue;
        const moved = moveKept(before, local, known.read(), data.mask);
        known.free();
        optimizer.moments.set(key, keep(engine, shape, moved));
      }
    freeParameterisation(old);
    parameters.set(name, next);
  }
  optimizer.leaves = leavesOf(model, trained);
}
