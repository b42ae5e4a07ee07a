/** Cases of elementwise, broadcasting and reducing operations and of the changes of a box. */
import { normalCdf } from '../../src/statistics';
import * as core from '../../src/tensor/ops/core';
import * as elementwise from '../../src/tensor/ops/elementwise';
import { toInfSup, toMidRad } from '../../src/tensor/ops/interval';
import type { Shape } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { map, type Nd, nd } from '../helpers/nd';
import { sampler } from '../helpers/random';
import * as reference from '../helpers/reference';
import type { OpCase } from './case';

const random = sampler(11);
const SHAPES: readonly Shape[] = [[0], [], [1], [3], [17], [2, 0, 3], [2, 3, 17]];
const show = (shape: Shape): string => `[${shape.join(', ')}]`;

/** Every shape of `SHAPES` through an operation of one input. */
const unary = (
  op: string,
  run: (x: Tensor) => Tensor,
  f: (x: number) => number,
  { draw = random.away, differentiable = true } = {},
): OpCase[] =>
  SHAPES.map((shape) => ({
    op,
    about: show(shape),
    inputs: [draw(shape)],
    run: ([x]) => run(x!),
    reference: ([x]) => map(f, x!),
    differentiable,
  }));

const positive = (shape: Shape): Nd => random.array(shape, 0.1, 3);
const slope = Math.fround(0.3);
const fixed = { differentiable: false };

const UNARY: readonly OpCase[] = [
  ...unary('sign', elementwise.sign, Math.sign, fixed),
  ...unary('relu', elementwise.relu, (x) => Math.max(x, 0)),
  ...unary('abs', elementwise.abs, Math.abs),
  ...unary('exp', elementwise.exp, Math.exp),
  ...unary('log', elementwise.log, Math.log, { draw: positive }),
  ...unary('square', elementwise.square, (x) => x * x),
  ...unary('sqrt', elementwise.sqrt, Math.sqrt, { draw: positive }),
  ...unary('reciprocal', elementwise.reciprocal, (x) => 1 / x),
  ...unary('tanh', elementwise.tanh, Math.tanh),
  ...unary('sigmoid', elementwise.sigmoid, (x) => 1 / (1 + Math.exp(-x))),
  ...unary('normalCdf', elementwise.normalCdf, normalCdf),
  ...unary(
    'leakyRelu',
    (x) => elementwise.leakyRelu(x, slope),
    (x) => (x > 0 ? x : slope * x),
  ),
  ...unary(
    'leakyStep',
    (x) => elementwise.leakyStep(x, slope),
    (x) => (x > 0 ? 1 : slope),
    fixed,
  ),
  ...unary(
    'clamp',
    (x) => elementwise.clamp(x, -1, 0.5),
    (x) => Math.min(Math.max(x, -1), 0.5),
  ),
  ...unary(
    'affine',
    (x) => core.affine(x, -1.5, 0.25),
    (x) => -1.5 * x + 0.25,
  ),
  ...unary('neg', core.neg, (x) => -x),
];

const PAIRS: readonly (readonly [Shape, Shape])[] = [
  [[0], [1]],
  [[], []],
  [[17], []],
  [[1], [3]],
  [
    [2, 3, 17],
    [2, 3, 17],
  ],
  [
    [2, 3],
    [4, 2, 3],
  ],
  [
    [2, 1, 3],
    [4, 1],
  ],
  [
    [2, 3, 4, 5],
    [3, 1, 1],
  ],
  [
    [3, 0],
    [1, 1],
  ],
];

/** Values of both inputs come from one shuffled grid: never equal, never 0. */
function pair([a, b]: readonly [Shape, Shape]): [Nd, Nd] {
  const p = random.distinct(a);
  return [
    p,
    nd(
      b,
      random.distinct(b).data.map((value) => value + 1 / 32),
    ),
  ];
}

const binary = (
  op: string,
  run: (a: Tensor, b: Tensor) => Tensor,
  f: (a: number, b: number) => number,
  differentiable = true,
): OpCase[] =>
  PAIRS.map((shapes) => ({
    op,
    about: shapes.map(show).join(' and '),
    inputs: pair(shapes),
    run: ([a, b]) => run(a!, b!),
    reference: ([a, b]) => map((p, q) => f(p!, q!), a!, b!),
    differentiable,
  }));

/** With ties, which the grid of the differentiable cases avoids. */
const ties = (
  op: string,
  run: (a: Tensor, b: Tensor) => Tensor,
  f: (a: number, b: number) => boolean,
) =>
  ({
    op,
    about: 'equal elements',
    inputs: [nd([4], [1, 2, -0, 3]), nd([4], [1, 3, 0, 2])],
    run: ([a, b]) => run(a!, b!),
    reference: ([a, b]) => map((p, q) => Number(f(p!, q!)), a!, b!),
    differentiable: false,
  }) satisfies OpCase;

const BINARY: readonly OpCase[] = [
  ...binary('add', core.add, (a, b) => a + b),
  ...binary('sub', core.sub, (a, b) => a - b),
  ...binary('mul', core.mul, (a, b) => a * b),
  ...binary('div', core.div, (a, b) => a / b),
  ...binary('maximum', core.maximum, Math.max),
  ...binary('minimum', core.minimum, Math.min),
  ...binary('greater', core.greater, (a, b) => (a > b ? 1 : 0), false),
  ...binary('greaterEqual', core.greaterEqual, (a, b) => (a >= b ? 1 : 0), false),
  ...binary('equal', core.equal, (a, b) => (a === b ? 1 : 0), false),
  ties('greater', core.greater, (a, b) => a > b),
  ties('greaterEqual', core.greaterEqual, (a, b) => a >= b),
  ties('equal', core.equal, (a, b) => a === b),
  ...SHAPES.map((shape) => ({
    op: 'lincomb',
    about: show(shape),
    inputs: [random.array(shape), random.array(shape)],
    run: ([a, b]: readonly Tensor[]) => core.lincomb(2, a!, -0.5, b!),
    reference: ([a, b]: readonly Nd[]) => map((p, q) => 2 * p! - 0.5 * q!, a!, b!),
  })),
];

const folds = (op: string, run: (x: Tensor) => Tensor, divide: boolean): OpCase[] =>
  SHAPES.filter((shape) => !divide || !shape.includes(0)).map((shape) => ({
    op,
    about: show(shape),
    inputs: [random.array(shape)],
    run: ([x]) => run(x!),
    reference: ([x]) =>
      nd([], [x!.data.reduce((a, b) => a + b, 0) / (divide ? x!.data.length : 1)]),
  }));

const toShape = (
  op: string,
  from: Shape,
  to: Shape,
  run: (x: Tensor) => Tensor,
  f: (x: Nd) => Nd,
): OpCase => ({
  op,
  about: `${show(from)} to ${show(to)}`,
  inputs: [random.array(from)],
  run: ([x]) => run(x!),
  reference: ([x]) => f(x!),
});

const SUMS: readonly (readonly [Shape, Shape])[] = [
  [[3], []],
  [[17], [1]],
  [
    [2, 3, 17],
    [3, 1],
  ],
  [
    [2, 3, 4, 5],
    [1, 3, 1, 5],
  ],
  [
    [4, 3, 2],
    [4, 3, 2],
  ],
  [[0, 3], [3]],
];

const REDUCE: readonly OpCase[] = [
  ...folds('sum', core.sum, false),
  ...folds('mean', core.mean, true),
  ...SUMS.map(([from, to]) =>
    toShape(
      'sumTo',
      from,
      to,
      (x) => core.sumTo(x, to),
      (x) => reference.sumTo(x, to),
    ),
  ),
  ...SUMS.map(([to, from]) =>
    toShape(
      'expand',
      from,
      to,
      (x) => core.expand(x, to),
      (x) => map((v) => v!, x, nd(to, random.array(to).data)),
    ),
  ),
  toShape(
    'sumAxes',
    [2, 3, 5],
    [2, 1, 1],
    (x) => core.sumAxes(x, 1, 3),
    (x) => reference.sumTo(x, [2, 1, 1]),
  ),
  toShape(
    'sumAxes',
    [2, 3, 17],
    [2, 1, 17],
    (x) => core.sumAxes(x, 1, 2),
    (x) => reference.sumTo(x, [2, 1, 17]),
  ),
  toShape(
    'reshape',
    [2, 3],
    [3, 1, 2],
    (x) => core.reshape(x, [3, 1, 2]),
    (x) => nd([3, 1, 2], x.data),
  ),
  toShape(
    'reshape',
    [0, 3],
    [0],
    (x) => core.reshape(x, [0]),
    (x) => nd([0], x.data),
  ),
];

const EXACT = { relative: 0, absolute: 0 };
const box = (shape: Shape): [Nd, Nd] => {
  const lo = random.array(shape);
  return [
    lo,
    nd(
      shape,
      lo.data.map((value) => Math.fround(value + random.real(0.1, 1))),
    ),
  ];
};
/** The radius times a number, where there is one. */
const SCALES = [undefined, 0.375, 3] as const;
const half = (factor: number) => (p?: number, q?: number) =>
  (factor * p! + q! * Math.abs(factor)) / 2;
const both = (sign: number, scale: number, shift: number) => (p?: number, q?: number) =>
  p! + sign * (scale * q! + shift);

const INTERVAL: readonly OpCase[] = [[0], [3], [2, 17]].flatMap((shape) =>
  [0, 1].flatMap((part) =>
    SCALES.flatMap((scale): OpCase[] => {
      const [times, shift] = scale === undefined ? [1, 0] : [scale, 0.25];
      const about = scale === undefined ? '' : `, radius x ${scale}`;
      return [
        {
          op: 'toMidRad',
          about: `${show(shape)}, ${part ? 'radius' : 'centre'}${about}`,
          inputs: box(shape),
          run: ([lo, hi]) => toMidRad(lo!, hi!, EXACT, scale && [scale, 0])[part]!,
          reference: ([lo, hi]) => map(half(part ? -times : 1), lo!, hi!),
        },
        {
          op: 'toInfSup',
          about: `${show(shape)}, ${part ? 'upper' : 'lower'}${about}`,
          inputs: box(shape),
          run: ([c, r]) => toInfSup(c!, r!, EXACT, scale && [scale, shift])[part]!,
          reference: ([c, r]) => map(both(part ? 1 : -1, times, shift), c!, r!),
        },
      ];
    }),
  ),
);

/** One centre that all radii share. */
const SHARED: readonly OpCase[] = [
  [0, 3],
  [1, 3],
  [3, 17],
  [2, 1, 5],
].flatMap((shape) =>
  [-1, 1].map(
    (sign): OpCase => ({
      op: 'toInfSup',
      about: `${show(shape)}, one centre, ${sign > 0 ? 'upper' : 'lower'}`,
      inputs: [random.array([1, ...shape.slice(1)]), box(shape)[1]],
      run: ([c, r]) => toInfSup(c!, r!, EXACT)[sign > 0 ? 1 : 0]!,
      reference: ([c, r]) => map((p?: number, q?: number) => p! + sign * q!, c!, r!),
    }),
  ),
);

export const ELEMENTWISE: readonly OpCase[] = [
  ...[...UNARY, ...BINARY, ...REDUCE, ...INTERVAL, ...SHARED],
];
