/**
 * Training steps (forward, backward, update) beside forward passes of the same network and batch.
 *
 * A step is timed with a learning rate of 0: the same work, but weights and so the numbers in it stay
 * what they were. An interval step counts as nine forward passes (a value and an interval pass, the
 * latter through centre and radius, each forward and back).
 */

import { freeModel, type Model } from '../src/nn/model';
import { freeTraining, leavesOf, parameterise } from '../src/nn/training-model';
import { parseOptions } from '../src/options';
import { compilePlan } from '../src/plan/plan';
import type { Engine } from '../src/runtime/engine';
import { sizeOf } from '../src/tensor/shape';
import { type EpochJob, trainStep } from '../src/train/loop';
import { objectives } from '../src/train/objectives/registry';
import { createOptimizer, freeOptimizer } from '../src/train/optimizers';
import type { Contestant } from './harness';
import {
  CNN_LARGE,
  CNN_SMALL,
  forward,
  forwardFlops,
  loweredOf,
  modelOf,
  noise,
  planned,
  type Setting,
  trainingFlops,
  VGG16,
  VGG16_TINY,
} from './networks';
import type { Subject } from './subject';

interface Case {
  readonly setting: Setting;
  readonly batch: number;
  readonly objective: 'benign' | 'ibp';
  /** GFLOP/s of the step over those of the forward pass. */
  readonly bar: number;
}

const CASES: Readonly<Record<'full' | 'tiny', readonly Case[]>> = {
  full: [
    { setting: CNN_LARGE, batch: 128, objective: 'benign', bar: 0.75 },
    { setting: VGG16, batch: 128, objective: 'benign', bar: 0.75 },
    { setting: CNN_SMALL, batch: 128, objective: 'ibp', bar: 0.65 },
  ],
  tiny: [
    { setting: VGG16_TINY, batch: 4, objective: 'benign', bar: 0 },
    { setting: CNN_SMALL, batch: 4, objective: 'ibp', bar: 0 },
  ],
};

export const training: Subject = {
  about: 'training steps, benign and interval, over forward passes',
  *races({ engine, size }) {
    for (const { setting, batch, objective, bar } of CASES[size]) {
      const lowered = loweredOf(engine, setting);
      const step = trainer(engine, setting, batch, objective);
      const plan = compilePlan(lowered, { batch, allowWinograd: true });
      yield {
        title: `${setting.network}, ${objective}, batch ${batch}`,
        contestants: [
          forward('forward, plain sums', lowered, batch),
          planned('forward, plan', plan),
          step.contestant,
        ],
        quotients: [
          { of: 'training step', to: 'forward, plain sums', bar },
          { of: 'training step', to: 'forward, plan', bar },
        ],
      };
      step.free();
      plan.free();
      freeModel(lowered);
    }
  },
};

export interface Trainer {
  readonly contestant: Contestant;
  free(): void;
}

/** A training step on one batch, checked by a loss that falls. */
export function trainer(
  engine: Engine,
  setting: Setting,
  batch: number,
  name: Case['objective'],
): Trainer {
  const weights = modelOf(engine, setting);
  const model = parameterise(weights);
  const optimizer = createOptimizer(leavesOf(model), {
    optimizer: 'adam',
    weightDecay: 0,
    momentum: 0.9,
    gradientClip: null,
  });
  const objective = objectives[name]!;
  const index = Int32Array.from({ length: batch }, (_, i) => i);
  const data = {
    images: noise(batch * sizeOf(setting.input)),
    labels: index.map((i) => i % 10),
    index,
  };
  let rate = 0;
  const job: EpochJob = {
    model,
    optimizer,
    objective,
    options: parseOptions(objective.options, {}, name),
    seed: 1,
    epoch: 0,
    epochs: 1,
    ramp: false,
    batches: 1,
    batch: () => data,
    rate: () => rate,
    after: async () => false,
  };
  const loss = (): number => trainStep(job, data, 0).loss;
  return {
    contestant: {
      name: 'training step',
      flops: batch * flopsOf(weights, name),
      images: batch,
      run: loss,
      check() {
        rate = 1e-4;
        const losses = Array.from({ length: 4 }, loss);
        rate = 0;
        if (!(Math.min(...losses.slice(1)) < losses[0]!))
          throw new Error(`${setting.network}, ${name}: expected a loss that falls, got ${losses}`);
      },
    },
    free() {
      freeOptimizer(optimizer);
      freeTraining(model);
    },
  };
}

const flopsOf = (model: Model, objective: Case['objective']): number =>
  objective === 'benign' ? trainingFlops(model) : 9 * forwardFlops(model);
