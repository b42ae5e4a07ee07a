/**
 * Averages of the weights in training, kept beside them: exponential moving ones (`ema`, Polyak and Juditsky
 * 1992) after every update, and stochastic weight averages (`swa`, Izmailov et al. 2018, arXiv 1803.05407) over the ends
 * of epochs. What is judged, and kept as the best, is the average; training goes on from the weights themselves.
 *
 * They are moments of the optimiser, by the name of `average`: pruned weights have none, changes of masks and
 * checkpoints go as for the others. Running statistics of batch norm are averaged like weights.
 */
import { parameterisations } from '../nn/parameterisations/registry';
import { type ParameterMap, snapshot, type TrainingModel } from '../nn/training-model';
import { lincomb } from '../tensor/ops/core';
import { assign, keep, step, type Tensor } from '../tensor/tensor';
import type { Optimizer } from './optimizers';

export const AVERAGES = ['none', 'ema', 'swa'] as const;

export interface AverageOptions {
  readonly name: (typeof AVERAGES)[number];
  /** Of ema: the share of the average that an update leaves, at most. */
  readonly decay: number;
  /** Of swa: the share of the epochs after which averaging begins. */
  readonly start: number;
}

/** Share of the weights in the average after so many updates: 1 - min(decay, (1 + n) / (10 + n)). */
export const emaShare = (decay: number, updates: number): number =>
  1 - Math.min(decay, (1 + updates) / (10 + updates));

/** Weights in the stochastic average at the end of an epoch (0-based) of so many; 0 or less before it begins. */
export const swaCount = (start: number, epoch: number, epochs: number): number =>
  epoch + 1 - Math.floor(start * epochs);

/** The tensors that are averaged, by `<parameter>/<tensor>`: all but constants. */
function averaged({ parameters }: TrainingModel): [name: string, tensor: Tensor][] {
  return Array.from(parameters, ([name, { kind, tensors }]) =>
    Object.entries(parameterisations[kind]!.tensors)
      .filter(([, { role }]) => role !== 'constant')
      .map(([local]): [string, Tensor] => [`${name}/${local}`, tensors[local]!]),
  ).flat();
}

/** Gives the optimiser averages that begin (again) as the weights are. */
export function startAverages(model: TrainingModel, { moments }: Optimizer): void {
  for (const [name, t] of averaged(model)) {
    moments.get(`average.${name}`)?.free();
    moments.set(`average.${name}`, keep(model.engine, t.shape, t.read()));
  }
}

/** Moves the averages to the weights by a share in (0, 1]. */
export function moveAverages(model: TrainingModel, { moments }: Optimizer, share: number): void {
  step(model.engine, () => {
    for (const [name, t] of averaged(model)) {
      const average = moments.get(`average.${name}`)!;
      assign(average, lincomb(1 - share, average, share, t));
    }
  });
}

/** A copy of all parameters as data, averages in the place of what they are of. */
export function averageSnapshot(model: TrainingModel, { moments }: Optimizer): ParameterMap {
  return new Map(
    Array.from(snapshot(model), ([name, data]) => {
      const tensors = Object.entries(data.tensors).map(([local, values]) => [
        local,
        moments.get(`average.${name}/${local}`)?.read() ?? values,
      ]);
      return [name, { ...data, tensors: Object.fromEntries(tensors) }];
    }),
  );
}
