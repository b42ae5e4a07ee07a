/** All pruning strategies by the name they have in configs. A new one is one file and one line. */
import type { Strategy } from '../strategy';
import { filter } from './filter';
import { groupLasso } from './group-lasso';
import { hydra } from './hydra';
import { magnitude } from './magnitude';
import { random } from './random';

export const strategies: Readonly<Record<string, Strategy>> = {
  magnitude,
  random,
  filter,
  'group-lasso': groupLasso,
  hydra,
};
