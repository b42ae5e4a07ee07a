/**
 * What training optimises. The objective of pre-training and of fine-tuning is the one of the
 * network that is wanted in the end (Sehwag et al. 2019, first insight); pruning never sees it.
 */
import type * as v from 'valibot';
import type { Pass } from '../domain/domain';
import type { Initialiser } from '../nn/init';
import type { AnyModel } from '../nn/model';
import { type Callable, completing, type Entry, type Given, type OptionsSchema } from '../options';
import type { Tensor } from '../tensor/tensor';

/** One training batch, inside a step. */
export interface LossContext {
  readonly model: AnyModel;
  /** [n, ...input] in [0, 1]. */
  readonly x: Tensor;
  readonly labels: Int32Array;
  /** Position of each sample in the training set and the epoch: key random draws. */
  readonly index: Int32Array;
  readonly seed: number;
  /** Epochs done, with the fraction of the present one, and epochs in all of this phase. */
  readonly epoch: number;
  readonly epochs: number;
  /** Pre-training ramps its difficulty up; fine-tuning starts at full difficulty. */
  readonly ramp: boolean;
  readonly pass: Pass;
  /** Soft labels [n, classes], each row summing to 1, where training asks for them (targets.ts). */
  readonly targets?: Tensor | undefined;
  /** What the objective has kept of the last update (`next`); absent or empty at the start of a phase. */
  readonly memory?: Memory;
  /** The networks of the files that its options name (`files`), in their order. */
  readonly others?: readonly AnyModel[] | undefined;
}

/** What an objective keeps from one update to the next, by name; it is part of checkpoints. */
export type Memory = ReadonlyMap<string, Float32Array>;

export interface LossResult {
  /** One element. */
  readonly loss: Tensor;
  /** Numbers worth showing; tensors of one element are read after the step. */
  readonly metrics: Readonly<Record<string, number | Tensor>>;
  /** Kept for the next update, in the place of what was kept before. */
  readonly memory?: Readonly<Record<string, Tensor>>;
}

/** What an objective with options O does. */
interface ObjectiveMethods<O> {
  readonly init: Initialiser;
  /** True where the loss is the mean cross entropy of the images as they are, and nothing else. */
  readonly isCrossEntropy?: boolean;
  /** Whether the loss goes by `targets` where there are any. */
  readonly softLabels?: boolean;
  loss(context: LossContext, o: O): LossResult;
  /**
   * 1 for every sample of a held-out batch that is robust in the objective's own sense, cheaply
   * measured at full difficulty; this picks checkpoints.
   */
  robust(batch: HeldOutBatch, o: O): Uint8Array;
  /** Whether the difficulty has reached its end after this many epochs. */
  atFullDifficulty(epoch: number, epochs: number, o: O): boolean;
  /** Updates that every batch is used for, one after the other; by default one. */
  replays?(o: O): number;
  /**
   * The images that `loss` has as its `x`, where these are not the clean ones of the context. The gradient
   * at them comes with that of the leaves, and goes to `next`.
   */
  start?(context: Omit<LossContext, 'model'>, o: O): Tensor;
  /** Kept for the next update, given the clean images, those of `start` and the gradient there. */
  next?(at: Moved, o: O): Readonly<Record<string, Tensor>>;
  /** Model files that the loss needs, as `others`. */
  files?(o: O): readonly string[];
  /**
   * How far held-out robust accuracy may fall below its best before training is taken back there; null, the
   * default: however far.
   */
  collapse?(o: O): number | null;
}

/** Images that a loss was looked at, [n, ...input] all. */
export interface Moved {
  readonly x: Tensor;
  readonly at: Tensor;
  readonly gradient: Tensor;
}

/** An objective, which completes the options it is given. */
export interface Objective<S extends OptionsSchema = OptionsSchema>
  extends Entry<S>,
    Callable<S>,
    ObjectiveMethods<Given<S>> {}

export interface HeldOutBatch {
  readonly model: AnyModel;
  readonly images: Float32Array;
  readonly labels: Int32Array;
  readonly index: Int32Array;
  readonly seed: number;
}

/** The objective, which completes its options. */
export const objective = <S extends OptionsSchema>(
  entry: Entry<S> & ObjectiveMethods<v.InferOutput<S>>,
): Objective<S> =>
  completing(entry, {
    ...{ loss: 1, robust: 1, atFullDifficulty: 2 },
    ...{ replays: 0, start: 1, next: 1, files: 0, collapse: 0 },
  });
