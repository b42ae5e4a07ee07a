/**
 * How sparsity rises over the rounds of gradual pruning: the cubic schedule of Zhu and Gupta 2017
 * ("To prune, or not to prune"), steep while weights are plentiful and flat near the end.
 */
import { expect } from '../errors';

/**
 * Sparsity after round `round` in [1, rounds]: final * (1 - (1 - round / rounds)^3), exactly `final`
 * after the last one; with one round that is one shot.
 */
export function sparsityAfter(round: number, rounds: number, final: number): number {
  const inside = Number.isInteger(round) && round >= 1 && round <= rounds;
  expect(inside, 'prune.rounds', `a round in [1, ${rounds}]`, round);
  return final * (1 - (1 - round / rounds) ** 3);
}

/**
 * The sparsity to ask of a model that has shrunk to `current` prunable weights, so that the share
 * `sparsity` of the `original` ones is gone; 0 where that is so already.
 */
export function relativeSparsity(sparsity: number, original: number, current: number): number {
  return Math.max(0, 1 - ((1 - sparsity) * original) / current);
}
