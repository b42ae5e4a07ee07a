/**
 * HARP (Zhao and Wressnegger 2023, "Holistic adversarially robust pruning", ICLR): as `hydra`, and how many
 * weights each layer keeps is trained as well, by one rate a layer that gets the sum of its choices'
 * gradients; no layer falls below `floor` of the share that all keep together.
 *
 * Deviations: they add a penalty while the network is larger than wanted; here the layers' densities are
 * brought to the budget exactly, all by one factor, every so many updates. Scores begin as HYDRA's, rates at
 * the densities of `scope`. Cost: as of `hydra`.
 */
import * as v from 'valibot';
import type { ParameterData } from '../../nn/parameterisation';
import { densityOf } from '../../nn/parameterisations/rated';
import { choice, real, whole } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { sizeOf } from '../../tensor/shape';
import { allocate, SCOPES } from '../allocate';
import { prunableData } from '../between-batches';
import { magnitudeScores, SCORE_TRAINING, scorePhases } from '../scored';
import { selectMasks } from '../select';
import { strategy } from '../strategy';

export const harp = strategy({
  name: 'harp',
  about: 'smallest trained |score| go, by trained rates a layer: scope, floor, every, ...',
  options: v.strictObject({
    scope: v.optional(choice(SCOPES), 'erk'),
    floor: v.optional(real(0, 1), 0.1),
    /** Updates between two allocations. */
    every: v.optional(whole(1), 10),
    ...SCORE_TRAINING,
  }),
  structured: false,
  needs: ['training'],
  phases: ({ every, ...training }) => scorePhases(training, every),
  decide(context, { scope, floor }) {
    const masks = selectMasks(context, scope, (weight) => abs(weight));
    const least = floor * (1 - context.sparsity);
    const scored = magnitudeScores(context.model, masks, context.previous);
    return new Map(
      Array.from(scored, ([name, data]): [string, ParameterData] => {
        const density = data.settings.kept! / masks.get(name)!.length;
        const rate = Float32Array.of(rateOf(density, least));
        const settings = { ...data.settings, least };
        return [name, { ...data, kind: 'rated', settings, tensors: { ...data.tensors, rate } }];
      }),
    );
  },
  betweenBatches({ model, sparsity }) {
    const data = prunableData(model);
    const parts = Array.from(data, ([name, { tensors }]) => ({
      shape: model.parameters.get(name)!.shape,
      cap: tensors.weights!.length,
    }));
    const wanted = Array.from(
      data.values(),
      ({ tensors, settings }, i) =>
        sizeOf(parts[i]!.shape) * densityOf(tensors.rate![0]!, settings.least!),
    );
    const kept = allocate(wanted, parts, sparsity);
    return new Map(
      Array.from(data, ([name, own], i) => [
        name,
        { ...own, settings: { ...own.settings, kept: kept[i]! } },
      ]),
    );
  },
});

/** The rate whose density is the given one, within what float32 tells from its ends. */
function rateOf(density: number, least: number): number {
  const share = Math.min(0.999, Math.max(0.001, (density - least) / (1 - least)));
  return Math.log(share / (1 - share));
}
