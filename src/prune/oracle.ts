/**
 * How a strategy reaches data: through the loss of the run's objective, which it does not know by name
 * (Sehwag et al. 2019, second insight). The recipe makes it; models from files have none.
 */
import { expect } from '../errors';
import { type AnyModel, prunableNames } from '../nn/model';

/** What the loss of one batch says. Arrays are by parameter, trainable ones only, shaped like its tensor. */
export interface LossAnswer {
  /** Mean over the batch. */
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Diagonal second derivatives, where asked for. */
  readonly second: ReadonlyMap<string, Float32Array> | undefined;
}

export const SECOND_DERIVATIVES = ['gauss-newton', 'exact', 'fisher'] as const;
export type SecondDerivatives = (typeof SECOND_DERIVATIVES)[number];

export interface LossQuestion {
  /**
   * Which diagonal second derivatives to give; anything else is refused. `fisher`: of the empirical Fisher
   * matrix, the mean over the samples of the squared gradient of each sample's own loss, at the cost of a
   * backward pass a sample. `gauss-newton`: the same under every label instead of the sample's own, each
   * weighted by its likelihood exp(-loss) (the true Fisher matrix; Martens 2020, section 9). `exact`: the
   * diagonal of the Hessian itself, which that is where the loss is cross entropy and the network, linear in
   * pieces, is affine in each single weight; refused for any other.
   */
  readonly second?: SecondDerivatives;
  /** Position in the batch of a sample whose own loss alone is asked for, in inference mode. */
  readonly sample?: number;
}

/** Full difficulty and the statistics of the batch, as training sees it; `second` in inference mode. */
export interface LossOracle {
  /** Batches of the training set, from 0 on, in an order drawn by the run's seed. */
  readonly batches: number;
  /** Samples of each batch. */
  readonly samples: number;
  ask(model: AnyModel, batch: number, question?: LossQuestion): LossAnswer;
}

/** The oracle of a context, or an error that names the strategy that needs one. */
export function oracleOf(context: { readonly oracle?: LossOracle }, who: string): LossOracle {
  const { oracle } = context;
  const hint = 'Run espalier compress, which has both.';
  expect(oracle, `prune.strategy ${who}`, 'data and an objective to ask', 'a model alone', hint);
  return oracle;
}

/** The mean gradient of the prunable weights over the first `count` batches, or all if they are fewer. */
export function meanGradients(
  oracle: LossOracle,
  model: AnyModel,
  count: number,
): Map<string, Float32Array> {
  const some = Math.min(count, oracle.batches);
  const sums = new Map<string, Float32Array>();
  for (let batch = 0; batch < some; batch++) {
    const { gradients } = oracle.ask(model, batch);
    for (const name of prunableNames(model.graph)) {
      const sum = sums.get(name);
      const share = gradients.get(name)!.map((g) => g / some);
      sums.set(name, sum ? sum.map((g, i) => g + share[i]!) : share);
    }
  }
  return sums;
}
