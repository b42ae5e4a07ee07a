/** A phase of a run as data. */
import type { Trained } from '../nn/training-model';
import type { PlugIn } from '../options';
import type { Start } from '../prune/strategy';
import type { TrainingConfig } from './config';

export interface PhaseSpec {
  readonly name: 'pretrain' | 'prune' | 'finetune';
  /** Pruning round; 0 for pre-training. */
  readonly round: number;
  /** Keys random draws: phases of a run differ in it. */
  readonly draws: number;
  /** The weights it begins with; `anew`: drawn for the network that is left, `dense`: of pre-training. */
  readonly start: Start | 'anew' | 'dense';
  /** Masks that it keeps: those there are, or others with as many zeros a layer. */
  readonly masks: 'kept' | 'shuffled';
  /** Whether it lasts the epochs of `training`, or as many as the operations of the run so far allow. */
  readonly length: 'epochs' | 'operations';
  /** What the strategy decides at the beginning; null: masks stay as they were. */
  readonly decides: { readonly by: Start; readonly sparsity: number } | null;
  readonly trained: Trained;
  readonly objective: PlugIn;
  readonly training: TrainingConfig;
  /** Whether the objective's difficulty grows: where weights were not trained at the full one. */
  readonly ramp: boolean;
  /** Updates from one call of the strategy's `between` to the next, which aims at a sparsity. */
  readonly between: { readonly every: number; readonly sparsity: number } | null;
}
