/**
 * Training steps of masked networks: dense, and over what the masks keep (sparse/product.ts). Masks
 * are by magnitude, of one share in every layer, on drawn weights. Both sides have the same weights,
 * images and optimiser; the dense one takes the fastest dense kernels there are (Winograd's).
 *
 * Steps are timed with a learning rate of 0: the same work, but the weights stay what they were.
 * Before that the gradients of a step are compared, weight by weight, and the losses of a few more.
 */

import { freeModel, type Model, prunableNames } from '../src/nn/model';
import { parseOptions } from '../src/options';
import type { Engine } from '../src/runtime/engine';
import { sizeOf } from '../src/tensor/shape';
import { keep, type Tensor } from '../src/tensor/tensor';
import { type EpochJob, trainStep } from '../src/train/loop';
import { objectives } from '../src/train/objectives/registry';
import { createOptimizer, freeOptimizer } from '../src/train/optimizers';
import { maskPatterns, type Patterns } from '../src/train/sparse';
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
  const dense = sideOf(engine, setting, batch, sparsity);
  const sparse = sideOf(engine, setting, batch, sparsity);
  const patterns = maskPatterns(sparse.masks);
  sparse.over(patterns);
  yield {
    title: `${setting.network}, batch ${batch}, ${100 * sparsity} % zeros`,
    contestants: [
      { ...contestant(of, sparse, batch), check: () => compare(sparse, dense) },
      contestant(to, dense, batch),
    ],
    quotients: [{ of, to, ...(bar === undefined ? {} : { bar }) }],
  };
  for (const pattern of patterns.values()) pattern.free();
  for (const side of [dense, sparse]) side.free();
}

/** A masked model and what trains it. */
interface SideOfRace {
  readonly model: Model;
  readonly masks: ReadonlyMap<string, Tensor>;
  readonly moments: ReadonlyMap<string, Tensor>;
  /** Goes over patterns from now on. */
  over(patterns: Patterns): void;
  /** A training step; its loss. */
  step(rate: number): number;
  free(): void;
}

function sideOf(engine: Engine, setting: Setting, batch: number, sparsity: number): SideOfRace {
  const model = modelOf(engine, setting);
  maskBySize(model, sparsity);
  drawBiases(model);
  const masks = new Map(
    prunableNames(model.graph).map((name): [string, Tensor] => {
      const { shape } = model.params.get(name)!;
      const ones = model.params
        .get(name)!
        .read()
        .map((v) => Number(v !== 0));
      return [name, keep(engine, shape, ones)];
    }),
  );
  const optimizer = createOptimizer(model, {
    ...({ optimizer: 'adam', weightDecay: 0, momentum: 0.9, gradientClip: null } as const),
  });
  const objective = objectives.benign!;
  const index = Int32Array.from({ length: batch }, (_, i) => i);
  const images = noise(batch * sizeOf(setting.input));
  const data = { images, labels: index.map((i) => i % 10), index };
  let rate = 0;
  let patterns: Patterns | undefined;
  const job: EpochJob = {
    ...{
      model,
      masks,
      optimizer,
      objective,
      seed: 1,
      epoch: 0,
      epochs: 1,
      ramp: false,
      batches: 1,
    },
    options: parseOptions(objective.options, {}, 'benign'),
    batch: () => data,
    rate: () => rate,
    after: async () => false,
  };
  return {
    ...{ model, masks, moments: optimizer.moments },
    step(length) {
      rate = length;
      return trainStep({ ...job, patterns }, data, 0).loss;
    },
    over(given) {
      patterns = given;
    },
    free() {
      for (const mask of masks.values()) mask.free();
      freeOptimizer(optimizer);
      freeModel(model);
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

const contestant = (name: string, { model, step }: SideOfRace, batch: number): Contestant => ({
  name,
  flops: batch * trainingFlops(model),
  images: batch,
  run: () => step(0),
});

/**
 * After one step the first moments are a tenth of the gradients. Of the many sums that a ReLU takes a
 * few are so close to 0 that rounding says which side they are on.
 */
function compare(got: SideOfRace, want: SideOfRace): void {
  const losses = (): [number, number] => [got.step(0), want.step(0)];
  assertClose(...pairOf(losses()), 1e-5, 'first loss');
  for (const [name, t] of want.moments)
    if (name.startsWith('m.')) assertNear(got.moments.get(name)!.read(), t.read(), name);
  const before = losses()[0];
  for (let i = 0; i < 3; i++)
    assertClose(...pairOf([got.step(1e-4), want.step(1e-4)]), 1e-2, 'loss');
  if (!(losses()[0] < before)) throw new Error(`expected a loss below ${before}`);
}

/** Equal to a hundredth in the Euclidean norm. */
function assertNear(got: Float32Array, want: Float32Array, who: string): void {
  const squares = (values: Float32Array): number => values.reduce((sum, v) => sum + v * v, 0);
  const off = Math.sqrt(squares(got.map((v, i) => v - want[i]!)) / squares(want));
  if (!(off <= 1e-2)) throw new Error(`${who}: expected gradients equal to 0.01, got ${off}`);
}

const pairOf = ([a, b]: readonly [number, number]): [number[], number[]] => [[a], [b]];
