/**
 * Training steps of masked networks: dense, and over what the masks keep (sparse/product.ts). Masks
 * are by magnitude, of one share in every layer, on drawn weights. Both sides have the same weights,
 * images and optimiser; the dense one takes the fastest dense kernels there are (Winograd's).
 *
 * Steps are timed with a learning rate of 0: the same work, but the weights stay what they were.
 * Before that the gradients of a step are compared, weight by weight, and the losses of a few more.
 */

import type { Model } from '../src/nn/model';
import { takeKept } from '../src/nn/parameterisation';
import { freeTraining, leavesOf, parameterise } from '../src/nn/training-model';
import { parseOptions } from '../src/options';
import { nonzeroMasks } from '../src/prune/mask';
import { parameterMap } from '../src/prune/prune';
import type { Engine } from '../src/runtime/engine';
import { sizeOf } from '../src/tensor/shape';
import { type EpochJob, trainStep } from '../src/train/loop';
import { objectives } from '../src/train/objectives/registry';
import { createOptimizer, freeOptimizer } from '../src/train/optimizers';
import type { Contestant, Race } from './harness';
import {
  assertClose,
  CNN_LARGE,
  CNN_SMALL,
  modelOf,
  noise,
  type Setting,
  trainingFlops,
  VGG16,
  VGG16_TINY,
} from './networks';
import { maskBySize } from './sparse';
import type { Subject } from './subject';

interface Case {
  readonly setting: Setting;
  readonly batch: number;
  /** Shares of zeros, and the least that is wanted over the dense step for each. */
  readonly bars: readonly (readonly [sparsity: number, bar?: number])[];
}

const BARS = [
  [0.9, 2.5],
  [0.95, 4],
  [0.99, 7],
] as const;

const CASES: Readonly<Record<'full' | 'tiny', readonly Case[]>> = {
  full: [
    { setting: { ...CNN_LARGE, input: VGG16.input }, batch: 64, bars: BARS },
    { setting: VGG16, batch: 8, bars: BARS },
  ],
  tiny: [
    { setting: CNN_SMALL, batch: 9, bars: [[0.9]] },
    { setting: VGG16_TINY, batch: 3, bars: [[0.85]] },
  ],
};

export const sparseTraining: Subject = {
  about: 'training steps of masked networks, over what masks keep and dense',
  *races({ engine, size }) {
    for (const { setting, batch, bars } of CASES[size])
      for (const [sparsity, bar] of bars) yield* raceOf(engine, setting, batch, sparsity, bar);
  },
};

function* raceOf(
  engine: Engine,
  setting: Setting,
  batch: number,
  sparsity: number,
  bar: number | undefined,
): Generator<Race> {
  const [of, to] = ['over non-zeros', 'dense'] as const;
  const dense = sideOf(engine, setting, batch, sparsity, false);
  const sparse = sideOf(engine, setting, batch, sparsity, true);
  yield {
    title: `${setting.network}, batch ${batch}, ${100 * sparsity} % zeros`,
    contestants: [
      { ...contestant(of, sparse, batch), check: () => compare(sparse, dense) },
      contestant(to, dense, batch),
    ],
    quotients: [{ of, to, ...(bar === undefined ? {} : { bar }) }],
  };
  for (const side of [dense, sparse]) side.free();
}

/** A masked model and what trains it. */
interface SideOfRace {
  readonly flops: number;
  /** First moments by parameter: of the entries that masks keep. */
  moments(): Map<string, Float32Array>;
  /** A training step; its loss. */
  step(rate: number): number;
  free(): void;
}

/** `masked`: the leaves are the non-zeros; else all entries, of which the zeros move as well. */
function sideOf(
  engine: Engine,
  setting: Setting,
  batch: number,
  sparsity: number,
  masked: boolean,
): SideOfRace {
  const plain = modelOf(engine, setting);
  maskBySize(plain, sparsity);
  drawBiases(plain);
  const masks = nonzeroMasks(plain);
  const flops = batch * trainingFlops(plain);
  const model = parameterise(plain, masked ? parameterMap(plain, masks) : new Map());
  const optimizer = createOptimizer(leavesOf(model), {
    ...({ optimizer: 'adam', weightDecay: 0, momentum: 0.9, gradientClip: null } as const),
  });
  const objective = objectives.benign!;
  const index = Int32Array.from({ length: batch }, (_, i) => i);
  const images = noise(batch * sizeOf(setting.input));
  const data = { images, labels: index.map((i) => i % 10), index };
  let rate = 0;
  const job: EpochJob = {
    ...{ model, optimizer, objective, seed: 1, epoch: 0, epochs: 1, ramp: false, batches: 1 },
    options: parseOptions(objective.options, {}, 'benign'),
    batch: () => data,
    rate: () => rate,
    after: async () => false,
  };
  return {
    flops,
    moments: () =>
      new Map(
        Array.from(masks, ([name, mask]) => {
          const values = optimizer.moments.get(`m.${name}/values`)!.read();
          return [name, values.length === mask.length ? takeKept(values, mask) : values];
        }),
      ),
    step(length) {
      rate = length;
      return trainStep(job, data, 0).loss;
    },
    free() {
      freeOptimizer(optimizer);
      freeTraining(model);
    },
  };
}

/**
 * Where all that few weights read is 0, a sum is the bias: with a bias of 0, whether a ReLU lets the
 * gradient through would be up to what Winograd's sums round.
 */
function drawBiases({ params }: Model): void {
  for (const [name, t] of params)
    if (name.endsWith('.bias')) t.write(noise(t.size).map((v) => 0.2 * v - 0.1));
}

const contestant = (name: string, { flops, step }: SideOfRace, batch: number): Contestant => ({
  ...{ name, flops, images: batch },
  run: () => step(0),
});

/**
 * After one step the first moments are a tenth of the gradients. Of the many sums that a ReLU takes a
 * few are so close to 0 that rounding says which side they are on.
 */
function compare(got: SideOfRace, want: SideOfRace): void {
  assertClose([got.step(0)], [want.step(0)], 1e-5, 'first loss');
  const wanted = want.moments();
  for (const [name, values] of got.moments()) assertNear(values, wanted.get(name)!, name);
  const before = got.step(0);
  const losses = Array.from({ length: 4 }, () => got.step(1e-4));
  if (!(losses.at(-1)! < before)) throw new Error(`expected a loss below ${before}`);
}

/** Equal to a hundredth in the Euclidean norm. */
function assertNear(got: Float32Array, want: Float32Array, who: string): void {
  const squares = (values: Float32Array): number => values.reduce((sum, v) => sum + v * v, 0);
  const off = Math.sqrt(squares(got.map((v, i) => v - want[i]!)) / squares(want));
  if (!(off <= 1e-2)) throw new Error(`${who}: expected gradients equal to 0.01, got ${off}`);
}
