/** All layers by the name they have in networks and files. */
import type { Layer } from '../layer';
import { clip, leakyRelu, relu, sigmoid, tanh } from './activations';
import { batchNorm, elementwise, normalise, scale } from './channel';
import { conv2d } from './conv2d';
import { abs, gelu, hardSwish, silu } from './curves';
import { dense } from './dense';
import { pad, permute, reshape, select } from './moves';
import { avgPool, maxPool } from './pools';
import { reduce } from './reduce';
import { add, concat, dropout, flatten } from './structure';

export const layers: Readonly<Record<string, Layer>> = {
  dense,
  conv2d,
  relu,
  'leaky-relu': leakyRelu,
  sigmoid,
  tanh,
  clip,
  abs,
  gelu,
  silu,
  'hard-swish': hardSwish,
  flatten,
  reshape,
  permute,
  select,
  pad,
  'max-pool': maxPool,
  'avg-pool': avgPool,
  reduce,
  'batch-norm': batchNorm,
  normalise,
  scale,
  elementwise,
  dropout,
  add,
  concat,
};
