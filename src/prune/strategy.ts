/**
 * What a pruning strategy is: it chooses which weights go, and knows nothing of the objective the
 * network is trained for (Sehwag et al. 2019, second insight).
 *
 * A strategy only decides. `prune()` carries the decision out: it zeroes weights in place, or, where
 * whole filters go, builds the smaller network.
 */
import type * as v from 'valibot';
import type { Model } from '../nn/model';
import { type Callable, completing, type Entry, type Given, type OptionsSchema } from '../options';
import type { Tensor } from '../tensor/tensor';

/** Kept float32 tensors of 0 / 1 by full parameter name; only prunable parameters. */
export type Masks = ReadonlyMap<string, Tensor>;

export interface PruneContext {
  readonly model: Model;
  /** Share of the model's prunable weights to be masked, in [0, 1). */
  readonly sparsity: number;
  readonly seed: number;
  /** Masks of an earlier round. */
  readonly previous?: Masks;
}

/** What a strategy with options O does. */
interface StrategyMethods<O> {
  /** True where whole filters go, to be removed physically by shrink(). */
  readonly structured: boolean;
  /** New masks; weights already masked by `previous` stay masked. Kept tensors, caller frees. */
  masks(context: PruneContext, o: O): Masks;
}

/** A strategy, which completes the options it is given. */
export interface Strategy<S extends OptionsSchema = OptionsSchema>
  extends Entry<S>,
    Callable<S>,
    StrategyMethods<Given<S>> {}

/** The strategy, which completes its options. */
export const strategy = <S extends OptionsSchema>(
  entry: Entry<S> & StrategyMethods<v.InferOutput<S>>,
): Strategy<S> => completing(entry, { masks: 1 });
