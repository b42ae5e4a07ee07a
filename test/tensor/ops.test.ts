/**
 * Every operation against float64: its values, and its gradients against central differences of the
 * reference. The table must name every export of `src/tensor/ops/`, so a new operation without a
 * case fails here.
 */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { add, maximum, minimum, mul, reshape, sum } from '../../src/tensor/ops/core';
import { leakyRelu } from '../../src/tensor/ops/elementwise';
import { argmax } from '../../src/tensor/ops/loss';
import { conv2d, matmul } from '../../src/tensor/ops/product';
import { concat, slice } from '../../src/tensor/ops/shape';
import { gradients } from '../../src/tensor/tape';
import { filled, input, step, type Tensor } from '../../src/tensor/tensor';
import { expectClose } from '../helpers/close';
import { binaries } from '../helpers/engine';
import { dot, type Nd, numericGradients, zeros } from '../helpers/nd';
import { sampler } from '../helpers/random';
import type { OpCase } from './case';
import { ELEMENTWISE } from './cases-elementwise';
import { MOVES } from './cases-moves';
import { ROWS } from './cases-rows';
import { STRUCTURED } from './cases-structured';

const CASES = [...ELEMENTWISE, ...STRUCTURED, ...MOVES, ...ROWS];
/** Exports that are no operations on tensors, or are tested below, in random.test.ts, or as conv2d. */
const OTHERS = [
  ...['argmax', 'byRows', 'copyWalk', 'normal', 'poolShape', 'uniform', 'withNaN'],
  ...['convolution', 'convolutionInputGrad', 'convolutionWeightGrad'],
];
const OPS = new URL('../../src/tensor/ops/', import.meta.url);

describe('the table', () => {
  it('has every export of the op modules', async () => {
    const files = readdirSync(OPS).filter((name) => name.endsWith('.ts'));
    const modules = await Promise.all(files.map((name) => import(new URL(name, OPS).pathname)));
    const names = modules.flatMap((module) => Object.keys(module as object));
    expect([...new Set([...CASES.map((c) => c.op), ...OTHERS])].sort()).toEqual(names.sort());
  });
});

/** What a case must give, worked out once for all binaries. */
interface Expected {
  readonly value: Nd;
  /** Weights of the loss sum(weights * value), and its gradients by central differences. */
  readonly weights: Nd;
  readonly gradients: readonly Nd[];
}

const EXPECTED = new Map<OpCase, Expected>();
function expectedOf(opCase: OpCase): Expected {
  const known = EXPECTED.get(opCase);
  if (known) return known;
  const { inputs, reference, differentiable = true } = opCase;
  const value = reference(inputs);
  const weights = sampler(7).array(value.shape, 0.5, 1.5);
  const found = differentiable
    ? numericGradients((ys) => dot(reference(ys).data, weights.data), inputs)
    : inputs.map(({ shape }) => zeros(shape));
  const expected = { value, weights, gradients: found };
  EXPECTED.set(opCase, expected);
  return expected;
}

const tensors = (engine: Engine, values: readonly Nd[]): Tensor[] =>
  values.map(({ shape, data }) => input(engine, data, shape));

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());

  const byOp = [...new Set(CASES.map((c) => c.op))].map(
    (op) => [op, CASES.filter((c) => c.op === op)] as const,
  );

  it.each(byOp)('%s agrees with its reference', (_, cases) => {
    for (const opCase of cases)
      step(engine, () => {
        const who = `${opCase.op} ${opCase.about}`;
        const y = opCase.run(tensors(engine, opCase.inputs), engine);
        const { value } = expectedOf(opCase);
        expect(y.shape, who).toEqual(value.shape);
        expectClose(y.read(), value.data, { rel: 2e-6, abs: 1e-7 }, who);
      });
  });

  it.each(byOp)('%s has the gradients of its reference', (_, cases) => {
    for (const opCase of cases)
      step(engine, () => {
        const expected = expectedOf(opCase);
        const xs = tensors(engine, opCase.inputs);
        const { gradients: found } = gradients(engine, xs, () => {
          const [weights] = tensors(engine, [expected.weights]);
          return { loss: sum(mul(opCase.run(xs, engine), weights!)) };
        });
        found.forEach((g, i) => {
          const who = `${opCase.op} ${opCase.about}, input ${i}`;
          expect(g.shape, who).toEqual(opCase.inputs[i]!.shape);
          const exact = opCase.differentiable === false;
          const tolerance = exact ? { rel: 0, abs: 0 } : { rel: 2e-5, abs: 1e-6 };
          expectClose(g.read(), expected.gradients[i]!.data, tolerance, who);
        });
      });
  });

  it('maximum and minimum give the gradient of a tie to the first', () => {
    step(engine, () => {
      const [a, b] = [input(engine, [1, 2], [2]), input(engine, [1, 2], [2])];
      for (const op of [maximum, minimum]) {
        const { gradients: g } = gradients(engine, [a, b], () => ({ loss: sum(op(a, b)) }));
        expect(g.map((t) => [...t.read()])).toEqual([
          [1, 1],
          [0, 0],
        ]);
      }
    });
  });

  it('does not mind where a tensor comes from or is used twice', () => {
    step(engine, () => {
      const x = input(engine, [1, -2, 3, -4], [2, 2]);
      const { gradients: g } = gradients(engine, [x], () => {
        const parts = [slice(x, 0, 0, 1), slice(x, 0, 1, 2)];
        const y = mul(concat(parts, 0), leakyRelu(x, 0.5));
        return { loss: sum(add(y, matmul(x, x))) };
      });
      // d/dx of x leaky(x) + (x x): 2x or x, plus row and column sums of x.
      const [a, b, c, d] = [1, -2, 3, -4];
      const own = [2 * a, b, 2 * c, d];
      const product = [a + b + a + c, c + d + a + c, a + b + b + d, c + d + b + d];
      expect([...g[0]!.read()]).toEqual(own.map((v, i) => v + product[i]!));
    });
  });
});

describe('errors name the operation and the shapes', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());
  const plain = { stride: [1, 1], pad: [0, 0, 0, 0], dilation: [1, 1] } as const;
  const of = (shape: number[]) => filled(engine, shape, 1);

  it.each<[string, () => Tensor, string]>([
    ['add', () => add(of([2]), of([3])), 'add: expected shapes that broadcast, got [2] and [3]'],
    ['add, five loops', () => add(of([2, 3, 2, 3]), of([2, 1, 2, 1])), 'add: expected at most 3'],
    ['matmul', () => matmul(of([2, 3]), of([2, 3])), 'matmul: expected [m, k] x [k, n]'],
    ['matmul, rank', () => matmul(of([3]), of([3, 1])), 'matmul'],
    ['reshape', () => reshape(of([6]), [4]), 'reshape: expected 6 elements'],
    ['slice', () => slice(of([3]), 0, 2, 4), 'slice: expected a range in [0, 3], got [2, 4]'],
    ['concat', () => concat([], 0), 'concat: expected at least one tensor'],
    ['conv2d, channels', () => conv2d(of([1, 2, 4, 4]), of([3, 1, 2, 2]), plain), 'conv2d'],
    ['conv2d, size', () => conv2d(of([1, 1, 2, 2]), of([1, 1, 3, 3]), plain), 'at least as large'],
  ])('%s', (_, run, message) => {
    step(engine, () => expect(run).toThrow(message));
  });

  it('argmax takes the first largest', () => {
    const rows = [1, 3, 3, -1, -1, -2, Number.NEGATIVE_INFINITY, 0, 0];
    expect([...step(engine, () => argmax(input(engine, rows, [3, 3])))]).toEqual([1, 0, 1]);
  });
});
