/**
 * What a pruning strategy is: it chooses which weights go, and knows nothing of the objective the
 * network is trained for (Sehwag et al. 2019, second insight).
 *
 * A strategy only decides; the recipe carries it out. It decides at the beginning of a phase, by masks or
 * by parameterisations whose scores the phase trains, and between batches, where it may change the masks
 * and write the leaves. Which phases a round of pruning has is data.
 */
import type * as v from 'valibot';
import type { Model } from '../nn/model';
import type { Mask, ParameterData } from '../nn/parameterisation';
import type { ParameterMap, Trained, TrainingModel } from '../nn/training-model';
import { type Callable, completing, type Entry, type Given, type OptionsSchema } from '../options';
import type { LossOracle } from './oracle';
import type { SparsitySchedule } from './schedule';

/** By full parameter name; only prunable parameters. */
export type Masks = ReadonlyMap<string, Mask>;

/** What is to become of each prunable weight: a mask, or a parameterisation of its own. */
export type Decision = ReadonlyMap<string, Mask | ParameterData>;

/** All that a strategy is given to decide at the beginning of a phase. */
export interface PruneContext {
  readonly model: Model;
  /** Share of the model's prunable weights to be masked, in [0, 1): the budget. */
  readonly sparsity: number;
  /** Keys random draws (`STREAMS.prune`). */
  readonly seed: number;
  /** Masks of an earlier round; weights they mask stay masked. */
  readonly previous?: Masks;
  /** Arrays that the strategy kept in the phase before (`BetweenBatchesContext.state`). */
  readonly state?: ReadonlyMap<string, Float32Array>;
  /** See `oracleOf` for strategies that cannot do without. */
  readonly oracle?: LossOracle;
}

/** All that a strategy is given between two batches. */
export interface BetweenBatchesContext {
  /** Leaves may be written in place; masks change by what is returned. */
  readonly model: TrainingModel;
  /** That the phase aims at. */
  readonly sparsity: number;
  readonly seed: number;
  /** Updates done in this phase, at least 1, and in all of it. */
  readonly step: number;
  readonly steps: number;
  /** Of the last update. */
  readonly learningRate: number;
  readonly oracle: LossOracle;
  /** The strategy's own arrays, kept over the phase and in checkpoints. */
  readonly state: Map<string, Float32Array>;
}

/** From which weights a phase begins: those of the phase before, or of pre-training after so many epochs. */
export type Start = 'best' | 'last' | 'initial' | number;

/** One training phase of a round of pruning, as data. What is left out is as in ordinary fine-tuning. */
export interface StrategyPhase {
  /** What it is called in titles and journals: `prune` trains to find what goes, and leaves no result. */
  readonly name: 'prune' | 'finetune';
  /** The weights by which the strategy decides at its beginning; null: masks stay as they are. */
  readonly decides?: 'best' | 'last' | 'initial' | null;
  readonly start?: Start;
  /** Default: weights. */
  readonly trained?: Trained;
  /** The section of the config that it is trained by, and what differs from it. */
  readonly hyperparameters?: 'pretrain' | 'finetune';
  readonly training?: Readonly<Record<string, unknown>>;
  /** Updates from one call of `betweenBatches` to the next; the last update is followed by one, too. */
  readonly every?: number;
}

/** What a strategy cannot do without: weights that were trained, or data and an objective to ask. */
export type Need = 'training' | 'data';

/** What a strategy with options O does. */
interface StrategyMethods<O> {
  /** True where whole filters go, to be removed physically by shrink(). */
  readonly structured: boolean;
  readonly needs?: readonly Need[];
  /** How sparsity rises over the rounds; left out: cubic. */
  readonly sparsitySchedule?: SparsitySchedule;
  /** Raises an error for options and sparsities that cannot be carried out, before anything is trained. */
  check?(context: PruneContext, o: O): void;
  decide(context: PruneContext, o: O): Decision | Promise<Decision>;
  /** The phases of a round. Left out: one, which fine-tunes what is left of the best weights. */
  phases?(o: O): readonly StrategyPhase[];
  /** New data of the parameters whose masks change; the others are left out. */
  betweenBatches?(
    context: BetweenBatchesContext,
    o: O,
  ): ParameterMap | undefined | Promise<ParameterMap | undefined>;
}

/** A strategy, which completes the options it is given. */
export interface Strategy<S extends OptionsSchema = OptionsSchema>
  extends Entry<S>,
    Callable<S>,
    StrategyMethods<Given<S>> {}

/** The strategy, which completes its options. */
export const strategy = <S extends OptionsSchema>(
  entry: Entry<S> & StrategyMethods<v.InferOutput<S>>,
): Strategy<S> => completing(entry, { decide: 1, phases: 0, betweenBatches: 1, check: 1 });

/** Whether what a strategy decides are scores, by which nothing goes before they are trained. */
export const trainsScores = (entry: Strategy, options: object): boolean =>
  phasesOf(entry, options).some(
    ({ decides, trained = 'weights' }) => decides && trained !== 'weights',
  );

/** The phases of a round of pruning. */
export const phasesOf = (entry: Strategy, options: object): readonly StrategyPhase[] =>
  entry.phases?.(options as never) ?? [{ name: 'finetune', decides: 'best' }];
