/**
 * One look at an objective: its loss of a batch, the gradients of what is trained, and what the objective
 * keeps for the next batch. Inside a step.
 */
import type { AnyModel } from '../nn/model';
import type { Options } from '../options';
import type { Engine } from '../runtime/engine';
import { gradients } from '../tensor/tape';
import type { Tensor } from '../tensor/tensor';
import type { LossContext, LossResult, Objective } from './objective';

export interface Look {
  readonly result: LossResult;
  /** Of the wanted tensors, in their order. */
  readonly gradients: readonly Tensor[];
  /** By name, for the next look. */
  readonly kept: Readonly<Record<string, Tensor>>;
}

/** `model` gives the model of the batch; it is called with the tape open, which sees its weights come from leaves. */
export function look(
  engine: Engine,
  wanted: readonly Tensor[],
  objective: Objective,
  options: Options,
  { model, ...context }: Omit<LossContext, 'model'> & { readonly model: () => AnyModel },
): Look {
  const at = objective.start?.(context, options);
  const found = gradients(engine, at ? [...wanted, at] : wanted, () =>
    objective.loss({ ...context, model: model(), x: at ?? context.x }, options),
  );
  const gradient = found.gradients[wanted.length];
  const moved = at && gradient && { x: context.x, at, gradient };
  const next = moved && objective.next?.(moved, options);
  return {
    result: found.result,
    gradients: found.gradients.slice(0, wanted.length),
    kept: { ...found.result.memory, ...next },
  };
}
