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
}

export interface LossResult {
  /** One element. */
  readonly loss: Tensor;
  /** Numbers worth showing; tensors of one element are read after the step. */
  readonly metrics: Readonly<Record<string, number | Tensor>>;
}

/** What an objective with options O does. */
interface ObjectiveMethods<O> {
  readonly init: Initialiser;
  /** True where the loss is the mean cross entropy of the images as they are, and nothing else. */
  readonly isCrossEntropy?: boolean;
  loss(context: LossContext, o: O): LossResult;
  /**
   * 1 for every sample of a held-out batch that is robust in the objective's own sense, cheaply
   * measured at full difficulty; this picks checkpoints.
   */
  robust(batch: HeldOutBatch, o: O): Uint8Array;
  /** Whether the difficulty has reached its end after this many epochs. */
  atFullDifficulty(epoch: number, epochs: number, o: O): boolean;
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
): Objective<S> => completing(entry, { loss: 1, robust: 1, atFullDifficulty: 2 });
