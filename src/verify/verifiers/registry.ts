/** All verifiers by name. */
import type { Verifier } from '../verifier';
import { alphaCrown } from './alpha-crown';
import { branchAndBound } from './branch-and-bound';
import { inputSplitting } from './input-splitting';
import { interval } from './interval';
import { crown, crownIbp, fastLin } from './linear';

export const verifiers: Readonly<Record<string, Verifier>> = {
  interval,
  'crown-ibp': crownIbp,
  crown,
  'fast-lin': fastLin,
  'alpha-crown': alphaCrown,
  'input-splitting': inputSplitting,
  'branch-and-bound': branchAndBound,
};
