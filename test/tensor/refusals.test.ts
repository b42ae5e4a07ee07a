/** Wrong shapes, labels and indices: an error, as kernels write wherever they are told to. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { add, expand } from '../../src/tensor/ops/core';
import { argmax, crossEntropy } from '../../src/tensor/ops/loss';
import { avgPool, maxPool } from '../../src/tensor/ops/pool';
import { conv2d, conv2dInputGrad, conv2dWeightGrad, matmul } from '../../src/tensor/ops/product';
import { addRows, concat, takeRows, transpose } from '../../src/tensor/ops/shape';
import type { Shape } from '../../src/tensor/shape';
import { filled, step, type Tensor } from '../../src/tensor/tensor';

let engine: Engine;
let other: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  other = await load({ threads: 1 });
});
afterAll(() => {
  engine.close();
  other.close();
});

const t = (...shape: Shape): Tensor => filled(engine, shape, 0);
const conv = { stride: [1, 1], pad: [0, 0, 0, 0], dilation: [1, 1] } as const;
const window = { kernel: [3, 3], stride: [1, 1], pad: [0, 0, 0, 0] } as const;

const REFUSED: Readonly<Record<string, readonly [work: () => unknown, message: string]>> = {
  'a bias of another size in matmul': [
    () => matmul(t(2, 3), t(3, 4), { bias: t(3) }),
    'matmul: expected a bias [4], got [3]',
  ],
  'a bias of another size in conv2d': [
    () => conv2d(t(1, 2, 3, 3), t(4, 2, 3, 3), conv, t(2)),
    'conv2d: expected a bias [4], got [2]',
  ],
  'a gradient that is none of the output': [
    () => conv2dInputGrad(t(1, 4, 2, 1), t(4, 2, 3, 3), [0, 2, 3, 3], conv),
    'conv2d: expected a batch of [4,1,1], got [1,4,2,1]',
  ],
  'the same for the weights': [
    () => conv2dWeightGrad(t(1, 2, 3, 3), t(1, 3, 1, 1), [4, 2, 3, 3], conv),
    'conv2d: expected a batch of [4,1,1], got [1,3,1,1]',
  ],
  'a label that is no class': [
    () => crossEntropy(t(2, 3), [0, 3]),
    'crossEntropy: labels: expected whole numbers in [0, 3), got 3',
  ],
  'a vector of logits': [() => argmax(t(3)), 'argmax: expected logits [n, classes], got [3]'],
  'a row to take that is not there': [
    () => takeRows(t(2, 3), [2]),
    'takeRows: expected whole numbers in [0, 2), got 2',
  ],
  'a row to add to that is not there': [
    () => addRows(t(2, 3), [0, -1], 2),
    'addRows: expected whole numbers in [0, 2), got -1',
  ],
  'fewer indices than rows': [() => addRows(t(2, 3), [0], 2), 'addRows: expected 2 indices, got 1'],
  'parts that do not fit': [
    () => concat([t(2, 3), t(3, 3)], 1),
    'concat: expected shapes that differ in axis 1 only, got [2,3] and [3,3]',
  ],
  'an axis twice': [
    () => transpose(t(2, 3), [0, 0]),
    'transpose: expected axes of [2,3] once, got [0, 0]',
  ],
  'an expansion of no repetition': [
    () => expand(t(2, 3), [2, 1]),
    'expand: expected a shape that repeats [2,3], got [2,1]',
  ],
  'a window larger than the plane': [
    () => maxPool(t(1, 1, 2, 2), window),
    'pool: expected an input at least as large as the window, got [2, 2]',
  ],
  'a plane without channels': [
    () => avgPool(t(1, 4, 4), window),
    'pool: expected planes [n, c, h, w], got [1,4,4]',
  ],
  'a negative size': [() => t(2, -3), 'arena: expected a size >= 0, got -24'],
  'tensors of two engines': [
    () => step(other, () => add(t(2), filled(other, [2], 0))),
    'operation: expected tensors of one engine, got those of several',
  ],
};

describe('operations refuse', () => {
  it.each(Object.entries(REFUSED))('%s', (_, [work, message]) => {
    expect(() => step(engine, work)).toThrow(message);
  });
});
