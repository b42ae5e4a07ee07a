/**
 * How sparsity rises, over rounds or within a phase: the cubic schedule of Zhu and Gupta 2017 ("To prune,
 * or not to prune"), steep while weights are plentiful and flat near the end, or a geometric one.
 */
import { expect } from '../errors';

/** Cubic, or geometric: the same share of what is left goes every time (Frankle and Carbin 2019). */
export type SparsitySchedule = 'cubic' | 'geometric';

/** Sparsity at `share` in [0, 1] of the way from `start` to `end`, both in [0, 1), and exactly `end` at 1. */
export function sparsityAt(
  sparsitySchedule: SparsitySchedule,
  start: number,
  end: number,
  share: number,
): number {
  if (share >= 1) return end;
  if (sparsitySchedule === 'geometric') return 1 - (1 - start) * ((1 - end) / (1 - start)) ** share;
  return start + (end - start) * (1 - (1 - share) ** 3);
}

/** Sparsity after round `round` in [1, rounds], exactly `final` after the last one. */
export function sparsityAfter(
  round: number,
  rounds: number,
  final: number,
  sparsitySchedule: SparsitySchedule = 'cubic',
): number {
  const inside = Number.isInteger(round) && round >= 1 && round <= rounds;
  expect(inside, 'prune.rounds', `a round in [1, ${rounds}]`, round);
  return sparsityAt(sparsitySchedule, 0, final, round / rounds);
}

/**
 * The sparsity to ask of a model that has shrunk to `current` prunable weights, so that the share
 * `sparsity` of the `original` ones is gone; 0 where that is so already.
 */
export function relativeSparsity(sparsity: number, original: number, current: number): number {
  if (current === original) return sparsity;
  return Math.max(0, 1 - ((1 - sparsity) * original) / current);
}
