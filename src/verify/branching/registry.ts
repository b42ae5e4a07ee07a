/** All branching rules by name. */
import { babsr } from './babsr';
import { fsb } from './fsb';
import { looseness } from './looseness';
import type { BranchingRule } from './rule';
import { smear } from './smear';

export const branchingRules: Readonly<Record<string, BranchingRule>> = {
  looseness,
  smear,
  babsr,
  fsb,
};
