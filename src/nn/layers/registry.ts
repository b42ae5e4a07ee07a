/** All layers by the name they have in networks and files. */
import type { Layer } from '../layer';
import { leakyRelu, relu, sigmoid, tanh } from './activations';
import { batchNorm, normalise, scale } from './channel';
import { conv2d } from './conv2d';
import { dense } from './dense';
import { avgPool, maxPool } from './pools';
import { add, concat, dropout, flatten } from './structure';

export const layers: Readonly<Record<string, Layer>> = {
  dense,
  conv2d,
  relu,
  'leaky-relu': leakyRelu,
  sigmoid,
  tanh,
  flatten,
  'max-pool': maxPool,
  'avg-pool': avgPool,
  'batch-norm': batchNorm,
  normalise,
  scale,
  dropout,
  add,
  concat,
};
