/** All verifiers by name. */
import type { Verifier } from '../verifier';
import { alphaCrown } from './alpha-crown';
import { complete } from './complete';
import { interval } from './interval';
import { crown, crownIbp, fastLin } from './linear';

export const verifiers: Readonly<Record<string, Verifier>> = {
  interval,
  'crown-ibp': crownIbp,
  crown,
  'fast-lin': fastLin,
  'alpha-crown': alphaCrown,
  complete,
};
