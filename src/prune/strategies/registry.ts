/** All pruning strategies by the name they have in configs. A new one is one file and one line. */
import type { Strategy } from '../strategy';
import { filter } from './filter';
import { fisher } from './fisher';
import { grasp } from './grasp';
import { hydra } from './hydra';
import { magnitude } from './magnitude';
import { obd } from './obd';
import { random } from './random';
import { snip } from './snip';
import { synflow } from './synflow';

export const strategies: Readonly<Record<string, Strategy>> = {
  magnitude,
  random,
  filter,
  obd,
  fisher,
  snip,
  grasp,
  synflow,
  hydra,
};
