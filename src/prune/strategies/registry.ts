/** All pruning strategies by the name they have in configs. A new one is one file and one line. */
import type { Strategy } from '../strategy';
import { admm } from './admm';
import { block } from './block';
import { compressorCritic } from './compressor-critic';
import { filter } from './filter';
import { fisher } from './fisher';
import { flyingbird } from './flyingbird';
import { grasp } from './grasp';
import { groupLasso } from './group-lasso';
import { harp } from './harp';
import { hydra } from './hydra';
import { lottery } from './lottery';
import { magnitude } from './magnitude';
import { movement } from './movement';
import { nM } from './n-m';
import { obd } from './obd';
import { random } from './random';
import { rigl } from './rigl';
import { snip } from './snip';
import { surgery } from './surgery';
import { synflow } from './synflow';

export const strategies: Readonly<Record<string, Strategy>> = {
  magnitude,
  random,
  filter,
  'group-lasso': groupLasso,
  'compressor-critic': compressorCritic,
  block,
  'n-m': nM,
  obd,
  fisher,
  movement,
  snip,
  grasp,
  synflow,
  lottery,
  hydra,
  harp,
  surgery,
  admm,
  rigl,
  flyingbird,
};
