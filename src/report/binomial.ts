/** A measured proportion with its confidence interval, as reports show it. */
import { clopperPearson } from '../statistics';
import type { Proportion } from './types';

/** A proportion with its 95 % interval. Of no trials: value 0 in [0, 1], so that JSON has no NaN. */
export function proportion(correct: number, total: number): Proportion {
  const { lo, hi } = clopperPearson(correct, total);
  return { value: total === 0 ? 0 : correct / total, correct, total, lo, hi };
}
