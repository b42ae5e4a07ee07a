/** Cases of operations that move elements between axes. */
import { channelSum } from '../../src/tensor/ops/product';
import * as move from '../../src/tensor/ops/shape';
import type { Shape } from '../../src/tensor/shape';
import { sampler } from '../helpers/random';
import * as reference from '../helpers/reference';
import type { OpCase } from './case';

const random = sampler(13);

const one = (
  op: string,
  about: string,
  x: Shape,
  run: OpCase['run'],
  ref: OpCase['reference'],
): OpCase => ({ op, about, inputs: [random.array(x)], run, reference: ref });

const ORDERS: readonly (readonly [Shape, readonly number[]])[] = [
  [[3], [0]],
  [
    [3, 17],
    [1, 0],
  ],
  [
    [2, 3, 4],
    [2, 0, 1],
  ],
  [
    [2, 3, 4, 5],
    [3, 1, 2, 0],
  ],
  [
    [2, 0, 3],
    [2, 1, 0],
  ],
];
const CUTS: readonly (readonly [Shape, axis: number, from: number, to: number])[] = [
  [[17], 0, 3, 9],
  [[2, 3, 5], 1, 1, 3],
  [[2, 3, 5], 2, 4, 5],
  [[2, 3], 0, 1, 1],
  [[2, 3], 1, 0, 3],
];
const ROWS: readonly (readonly number[])[] = [[0], [2, 0, 2, 1], [], [3, 3, 3]];

export const MOVES: readonly OpCase[] = [
  ...ORDERS.map(([x, order]) =>
    one(
      'transpose',
      `[${x}] by ${order}`,
      x,
      ([t]) => move.transpose(t!, order),
      ([t]) => reference.transpose(t!, order),
    ),
  ),
  ...CUTS.flatMap(([x, axis, from, to]) => [
    one(
      'slice',
      `[${x}], axis ${axis}, ${from} to ${to}`,
      x,
      ([t]) => move.slice(t!, axis, from, to),
      ([t]) => reference.slice(t!, axis, from, to),
    ),
    one(
      'embed',
      `${to - from} at ${from} of [${x}], axis ${axis}`,
      x.map((s, a) => (a === axis ? to - from : s)),
      ([t]) => move.embed(t!, axis, from, x),
      ([t]) => reference.embed(t!, axis, from, x),
    ),
  ]),
  ...[0, 1, 2].map(
    (axis): OpCase => ({
      op: 'concat',
      about: `three along axis ${axis}`,
      inputs: [1, 3, 2].map((s) => random.array([2, 4, 3].map((d, a) => (a === axis ? s : d)))),
      run: (xs) => move.concat(xs, axis),
      reference: (xs) => reference.concat(xs, axis),
    }),
  ),
  ...ROWS.flatMap((index) => [
    one(
      'takeRows',
      `rows ${index}`,
      [4, 5],
      ([t]) => move.takeRows(t!, index),
      ([t]) => reference.takeRows(t!, index),
    ),
    one(
      'addRows',
      `rows ${index}`,
      [index.length, 5],
      ([t]) => move.addRows(t!, index, 4),
      ([t]) => reference.addRows(t!, index, 4),
    ),
  ]),
  one(
    'channelSum',
    '[2, 3, 4, 5]',
    [2, 3, 4, 5],
    ([t]) => channelSum(t!),
    ([t]) => reference.reshape(reference.sumTo(t!, [1, 3, 1, 1]), [3]),
  ),
];
