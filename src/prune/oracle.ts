/**
 * How a strategy reaches data: through the loss of the run's objective, which it does not know by name
 * (Sehwag et al. 2019, second insight). The recipe makes it; models from files have none.
 */
import { expect } from '../errors';
import type { AnyModel } from '../nn/model';

/** What the loss of one batch says. Arrays are by parameter, trainable ones only, shaped like its tensor. */
export interface LossAnswer {
  /** Mean over the batch. */
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /**
   * Diagonal second derivatives, where asked for: those of the empirical Fisher matrix, the mean over the
   * samples of the squared gradient of each sample's own loss.
   */
  readonly second: ReadonlyMap<string, Float32Array> | undefined;
}

export interface LossQuestion {
  /**
   * Which diagonal second derivatives to give, at the cost of a backward pass a sample; the exact diagonal
   * is not on offer, and anything else is refused.
   */
  readonly second?: 'fisher';
}

/** Full difficulty and the statistics of the batch, as training sees it; `second` in inference mode. */
export interface LossOracle {
  /** Batches of the training set, from 0 on, in an order drawn by the run's seed. */
  readonly batches: number;
  ask(model: AnyModel, batch: number, question?: LossQuestion): LossAnswer;
}

/** The oracle of a context, or an error that names the strategy that needs one. */
export function oracleOf(context: { readonly oracle?: LossOracle }, who: string): LossOracle {
  const { oracle } = context;
  const hint = 'Run espalier compress, which has both.';
  expect(oracle, `prune.strategy ${who}`, 'data and an objective to ask', 'a model alone', hint);
  return oracle;
}
