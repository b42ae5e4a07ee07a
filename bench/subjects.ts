/** All subjects by name. */
import { convolutions } from './convolutions';
import { edge } from './edge';
import { forward } from './forward';
import { intervals } from './intervals';
import { patterns } from './patterns';
import { peers } from './peers/peers';
import { pruned } from './peers/pruned';
import { products } from './products';
import { profile } from './profile';
import { roofline } from './roofline';
import { sparse } from './sparse';
import { sparseTraining } from './sparse-training';
import { start } from './start';
import type { Subject } from './subject';

import { threads } from './threads';
import { training } from './training';
import { verifiers } from './verifiers';

export const subjects: Readonly<Record<string, Subject>> = {
  roofline,
  products,
  convolutions,
  forward,
  training,
  'sparse-training': sparseTraining,
  profile,
  threads,
  sparse,
  intervals,
  patterns,
  verifiers,
  start,
  edge,
  peers,
  pruned,
};
