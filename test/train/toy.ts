/** A toy problem that trains in milliseconds: which corner of a small image is bright. */
import { fromArrays } from '../../src/data/arrays';
import { fillBatch, fillLabels } from '../../src/data/batches';
import type { DataSet, DataSource, Split } from '../../src/data/types';
import { type Network, sequential } from '../../src/nn/graph';
import { createModel, type Model } from '../../src/nn/model';
import { leavesOf, type ParameterMap, parameterise } from '../../src/nn/training-model';
import { parseOptions } from '../../src/options';
import type { Engine } from '../../src/runtime/engine';
import { type Batch, type EpochJob, trainStep } from '../../src/train/loop';
import type { Objective } from '../../src/train/objective';
import { createOptimizer, type OptimizerOptions } from '../../src/train/optimizers';
import { sampler } from '../helpers/random';

const SIDE = 4;
const CLASSES = ['top left', 'top right', 'bottom left', 'bottom right'];

/** Noise of up to 60 of 255, and 150 more in the quadrant that is the class. */
function corners(count: number, seed: number): { images: Uint8Array; labels: Uint8Array } {
  const random = sampler(seed);
  const images = new Uint8Array(count * SIDE * SIDE);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % CLASSES.length);
  labels.forEach((label, i) => {
    for (let y = 0; y < SIDE; y++)
      for (let x = 0; x < SIDE; x++) {
        const bright = 2 * Number(y >= SIDE / 2) + Number(x >= SIDE / 2) === label;
        images[(i * SIDE + y) * SIDE + x] = random.whole(60) + (bright ? 150 : 0);
      }
  });
  return { images, labels };
}

export const toySet = (): Promise<DataSet> =>
  fromArrays({
    name: 'toy',
    shape: [1, SIDE, SIDE],
    classes: CLASSES,
    train: corners(240, 1),
    test: corners(60, 2),
  });

/** The same with four wrong labels in the test split, so that even a good network errs on some. */
export async function toySetWithWrongLabels(): Promise<DataSet> {
  const { test, ...set } = await toySet();
  const labels = test.labels.map((label, i) =>
    i % 16 === 3 ? (label + 1) % CLASSES.length : label,
  );
  return { ...set, test: { ...test, labels } };
}

export const toySource: DataSource = { title: 'toy', about: 'corners', load: toySet };

/** Every kind of thing training handles: convolution, batch norm, dropout, a join. */
export const TOY_NETWORK: Network = {
  name: 'toy',
  input: [1, SIDE, SIDE],
  nodes: [
    { name: 'conv', layer: 'conv2d', options: { channels: 4, kernel: 3, padding: 1, bias: false } },
    { name: 'norm', layer: 'batch-norm' },
    { name: 'act', layer: 'relu' },
    { name: 'conv2', layer: 'conv2d', options: { channels: 4, kernel: 3, padding: 1 } },
    { name: 'sum', layer: 'add', inputs: ['conv2', 'act'] },
    { name: 'act2', layer: 'relu' },
    { name: 'flat', layer: 'flatten' },
    { name: 'drop', layer: 'dropout', options: { rate: 0.1 } },
    { name: 'fc', layer: 'dense', options: { units: CLASSES.length } },
  ],
};

/** A network whose function is smooth in its weights: for finite differences. */
export const SMOOTH_NETWORK: Network = sequential(
  'smooth',
  [1, SIDE, SIDE],
  [['flatten'], ['dense', { units: 8 }], ['tanh'], ['dense', { units: CLASSES.length }]],
);

/** The samples at `index` of a split. */
export function batchFrom(set: DataSet, split: Split, index: ArrayLike<number>): Batch {
  const at = Int32Array.from(index);
  const images = new Float32Array(at.length * SIDE * SIDE);
  const labels = new Int32Array(at.length);
  fillBatch(split, set, at, images);
  fillLabels(split, at, labels);
  return { images, labels, index: at };
}

export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

const ADAM: OptimizerOptions = {
  optimizer: 'adam',
  weightDecay: 0,
  momentum: 0.9,
  gradientClip: 10,
};

export interface ToyJob {
  readonly network?: Network;
  readonly objective: Objective;
  readonly options?: unknown;
  readonly optimizer?: Partial<OptimizerOptions>;
  readonly rate?: number;
  readonly seed?: number;
  /** Parameterisations of the model as it begins; the others are plain. */
  how?(model: Model): ParameterMap;
}

/**
 * A training job at full difficulty over the given batches, which come round and round. The tensors of
 * `weights` that have no parameterisation of their own are its leaves.
 */
export function toyJob(
  engine: Engine,
  batches: readonly Batch[],
  given: ToyJob,
): EpochJob & { readonly weights: Model } {
  const {
    network = TOY_NETWORK,
    objective,
    options = {},
    optimizer,
    rate = 0.01,
    seed = 1,
  } = given;
  const weights = createModel(engine, network, { seed, init: objective.init });
  const model = parameterise(weights, given.how?.(weights));
  return {
    ...{ model, weights },
    optimizer: createOptimizer(leavesOf(model), { ...ADAM, ...optimizer }),
    objective,
    options: parseOptions(objective.options, options, 'toy'),
    seed,
    epoch: 0,
    epochs: 1,
    ramp: false,
    memory: new Map(),
    batches: batches.length,
    batch: (at) => batches[at % batches.length]!,
    rate: () => rate,
    after: async () => false,
  };
}

/** A model that has learnt the toy problem by `objective`, and the job it was trained by. */
export function trainedToy(engine: Engine, set: DataSet, given: ToyJob, steps = 60): Model {
  const all = range(0, 8).map((b) => batchFrom(set, set.train, range(30 * b, 30 * b + 30)));
  const job = toyJob(engine, all, given);
  for (let at = 0; at < steps; at++) trainStep(job, job.batch(at), 0);
  return job.weights;
}
