/** Fine-tuning of the entries that masks keep: the dense steps to rounding, the same bits for any threads. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Model, prunableNames } from '../../src/nn/model';
import {
  type ParameterData,
  type ParameterisationKind,
  plainData,
} from '../../src/nn/parameterisation';
import { parameterisations } from '../../src/nn/parameterisations/registry';
import { denseModel, freeTraining, snapshot, trainingModelFrom } from '../../src/nn/training-model';
import { type Engine, load } from '../../src/runtime/engine';
import { mul } from '../../src/tensor/ops/core';
import { trainStep } from '../../src/train/loop';
import { objectives } from '../../src/train/objectives/registry';
import { freeOptimizer } from '../../src/train/optimizers';
import { replaceParameters } from '../../src/train/replace';
import { sampler } from '../helpers/random';
import { batchFrom, range, toyJob, toySet } from './toy';

/** The reference: dense products with a weight whose entries a mask multiplies. */
const multiplied: ParameterisationKind = {
  about: 'entries times a mask',
  tensors: {
    values: { role: 'weight', perEntry: true },
    ones: { role: 'constant', perEntry: true },
  },
  entries: ({ values, ones }) => mul(values!, ones!),
};
const registry = parameterisations as Record<string, ParameterisationKind>;

const set = await toySet();
const engines = await Promise.all([load({ threads: 1 }), load({ threads: 3 })]);
beforeAll(() => {
  registry.multiplied = multiplied;
});
afterAll(() => {
  delete registry.multiplied;
  for (const engine of engines) engine.close();
});

interface Trained {
  readonly losses: readonly number[];
  readonly weights: readonly number[];
}

/** `kind` plain goes over the entries that stay; `renewed`: parameters are made anew before that step. */
function trained(
  engine: Engine,
  name: string,
  { kind, density, renewed }: { kind: string; density: number; renewed?: number },
): Trained {
  const batches = range(0, 5).map((b) => batchFrom(set, set.train, range(40 * b, 40 * b + 40)));
  const random = sampler(5);
  const how = ({ graph, params }: Model): Map<string, ParameterData> =>
    new Map(
      prunableNames(graph).map((full) => {
        const weight = params.get(full)!.read();
        const mask = Uint8Array.from(weight, () => Number(random.real(0, 1) < density));
        if (kind === 'plain') return [full, plainData(weight, mask)];
        const tensors = {
          values: weight.map((w, i) => w * mask[i]!),
          ones: Float32Array.from(mask),
        };
        return [full, { kind, mask: null, settings: {}, tensors }];
      }),
    );
  const job = toyJob(engine, batches, { objective: objectives[name]!, rate: 0.003, how });
  const losses = range(0, 20).map((at) => {
    if (at === renewed) {
      const { model, optimizer } = job;
      replaceParameters(model, optimizer, 'weights', snapshot(model));
      // What a file would hold is what there is.
      const again = trainingModelFrom(engine, model.graph.network, snapshot(model));
      expect(snapshot(again)).toEqual(snapshot(model));
      freeTraining(again);
    }
    return trainStep(job, job.batch(at), 0.5).loss;
  });
  const model = denseModel(job.model);
  freeOptimizer(job.optimizer);
  return { losses, weights: [...model.params.values()].flatMap((t) => [...t.read()]) };
}

/** Few enough for products over non-zeros, and too many. */
const DENSITIES = [0.15, 0.6];

describe.each(Object.keys(objectives))('%s', (name) => {
  it.each(DENSITIES)('takes the steps of dense training at density %d', (density) => {
    const want = trained(engines[0]!, name, { kind: 'multiplied', density });
    const got = trained(engines[0]!, name, { kind: 'plain', density });
    for (const key of ['losses', 'weights'] as const)
      for (const [i, v] of got[key].entries())
        expect(Math.abs(v - want[key][i]!), `${key} ${i}`).toBeLessThan(2e-3);
    expect(got.losses[0]).toBeCloseTo(want.losses[0]!, 5);
    expect(got.losses.at(-1)).toBeLessThan(got.losses[0]!);
  });

  it.each(DENSITIES)(
    'gives the same bits for any threads, and when taken up again, at %d',
    (density) => {
      const one = trained(engines[0]!, name, { kind: 'plain', density });
      expect(trained(engines[1]!, name, { kind: 'plain', density })).toEqual(one);
      expect(trained(engines[0]!, name, { kind: 'plain', density, renewed: 9 })).toEqual(one);
    },
  );
});
