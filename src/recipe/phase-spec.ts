/** One phase of a run as data: what is trained, from which weights, by which objective and for how long. */
import type { Trained } from '../nn/training-model';
import type { PlugIn } from '../options';
import type { Start, StrategyPhase } from '../prune/strategy';
import type { TrainingConfig } from './config';

/** Where a phase begins: also with the best weights of pre-training, or with weights drawn anew. */
export type AnyStart = Start | 'dense' | 'fresh';

/** Which masks a phase begins with: those there are, as many zeros a layer drawn by lot, or none. */
export type KeptMasks = 'same' | 'shuffled' | 'none';

export interface PhaseSpec {
  readonly name: 'pretrain' | StrategyPhase['name'] | 'control';
  /** Pruning round; 0 for pre-training. */
  readonly round: number;
  /** Added, in units of 1 000 003, to the seed of all that the phase draws: phases of a run differ in it. */
  readonly seedOffset: number;
  readonly start: AnyStart;
  /** Of the masks there are, which it begins with. */
  readonly masks: KeptMasks;
  /** What the strategy decides at the beginning; null: masks stay as they were. */
  readonly decides: { readonly by: Start; readonly sparsity: number } | null;
  readonly trained: Trained;
  readonly objective: PlugIn;
  readonly training: TrainingConfig;
  /** Whether it lasts for as many multiply-adds as what the pruned network comes from, and not `epochs`. */
  readonly equalOperations: boolean;
  /** Whether the objective's difficulty grows: where weights were not trained at the full one. */
  readonly ramp: boolean;
  /** Updates from one call of the strategy's `betweenBatches` to the next, which aims at a share of zeros. */
  readonly betweenBatches: { readonly every: number; readonly sparsity: number } | null;
}
