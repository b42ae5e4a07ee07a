/**
 * The bounds of every verifier against exact arithmetic on rational numbers, for networks built to break
 * float verifiers: weights of sizes 1e-8 to 1e8, pairs that cancel, long sums of terms that are lost. In
 * balls so small that no relaxation hides a rounding, and larger ones. What any order of summation makes
 * of a point, fused or not, is inside as well. The same bounds without error terms are not.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outside } from '../../src/attack/attack';
import { NORMS, type Norm } from '../../src/domain/balls';
import { sequential } from '../../src/nn/graph';
import { freeModel, modelFrom } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { provenBounds } from '../../src/verify/prove';
import { normOf } from '../../src/verify/verifier';
import { verifiers } from '../../src/verify/verifiers/registry';
import { binaries } from '../helpers/engine';
import {
  type DenseWeights,
  dense,
  double,
  type Exact,
  exact,
  execution,
  isBelow,
  minus,
  relu,
  ZERO,
} from '../helpers/exact';
import { type Nd, nd } from '../helpers/nd';
import { type Sampler, sampler } from '../helpers/random';
import { rowsOf } from '../helpers/reference';

type Draw = (random: Sampler, shape: readonly number[]) => Nd;

const FAMILIES: Readonly<Record<string, { readonly weight: Draw; readonly bias?: Draw }>> = {
  'ordinary weights': { weight: (random, shape) => random.array(shape) },
  'sizes 1e-8 to 1e8': { weight: (random, shape) => random.spread(shape, -8, 8) },
  'cancelling pairs': {
    weight: (random, shape) => {
      const { data } = random.spread(shape, -2, 6);
      const twin = (v: number): number => -v * (1 + random.whole(3) * 2 ** -23);
      return nd(
        shape,
        Float32Array.from(data, (v, i) => (i % 2 ? twin(data[i - 1]!) : v)),
      );
    },
  },
  // Each product is below half an ulp of the bias: added to it one by one, all of them are lost.
  'small terms beside a large bias': {
    weight: (random, shape) => random.array(shape, 0.3 * 2 ** -3, 0.45 * 2 ** -3),
    bias: (random, shape) => random.array(shape, 2 ** 20, 1.1 * 2 ** 20),
  },
};

interface Case {
  readonly layers: readonly DenseWeights[];
  readonly x: Float32Array;
  readonly eps: number;
  readonly random: Sampler;
}

const QUESTIONS = fc.record({
  family: fc.constantFrom(...Object.keys(FAMILIES)),
  features: fc.constantFrom(1, 2, 9, 64, 500),
  hidden: fc.constantFrom([3], [17], [4, 6]),
  eps: fc.constantFrom(1e-9, 1e-6, 1e-3, 0.3),
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
});
type Question = typeof QUESTIONS extends fc.Arbitrary<infer T> ? T : never;

/** A network of one or two hidden layers, with inputs of which pairs are equal, so that weights cancel. */
function caseOf({ family, features, hidden, eps, seed }: Question): Case {
  const random = sampler(seed);
  const { weight, bias = weight } = FAMILIES[family]!;
  const layers = [...hidden, 3].map((units, i) => ({
    weight: rowsOf(weight(random, [units, [features, ...hidden][i]!])),
    bias: [...bias(random, [units]).data],
  }));
  const half = random.array([Math.ceil(features / 2)], 0, 1).data;
  const x = Float32Array.from({ length: features }, (_, i) => half[i >> 1]!);
  return { layers, x, eps, random };
}

/** The largest sum of sizes that a neuron of the network can meet in the ball. */
function largest({ layers, x, eps }: Case): number {
  let sizes = Array.from(x, (v) => Math.min(1, v + eps));
  return layers.reduce((most, { weight, bias }) => {
    sizes = weight.map((row, i) =>
      row.reduce((sum, w, j) => sum + Math.abs(w) * sizes[j]!, Math.abs(bias[i]!)),
    );
    return Math.max(most, ...sizes);
  }, 0);
}

/** Points of the ball: its centre, and the ends and the inside of its box as far as they are in it. */
function points({ x, eps, random }: Case, norm: Norm): Float32Array[] {
  const share = norm === 'linf' ? 1 : norm === 'l2' ? 0.99 / Math.sqrt(x.length) : 0.99 / x.length;
  const at = (way: (i: number) => number): Float32Array =>
    x.map((v, i) => Math.fround(Math.min(1, Math.max(0, v + share * eps * way(i)))));
  const one = random.whole(x.length);
  const all = [
    x,
    at(() => 1),
    at(() => -1),
    at((i) => (i % 2 ? 1 : -1)),
    at(() => random.real(-1, 1)),
    at((i) => (i === one ? 0.99 / share : 0)),
  ];
  return all.filter((point) => outside({ eps, norm }, x, point) === undefined);
}

const WITH_BOUNDS = Object.entries(verifiers).filter(([, { method }]) => method);

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());

  /** How often a point is out of its bounds. */
  function violations(
    name: string,
    question: Question,
    options: Record<string, unknown>,
  ): string[] {
    const given = caseOf(question);
    const { layers, x, eps, random } = given;
    const entry = verifiers[name]!;
    const chain = layers.flatMap(({ bias }, i) => [
      ...(i > 0 ? [['relu'] as [string]] : []),
      ['dense', { units: bias.length }] as [string, object],
    ]);
    const model = modelFrom(engine, sequential('n', [x.length], chain as never), (key) => {
      const { weight, bias } = layers[Number(/\d+/.exec(key)![0]) - 1]!;
      return key.endsWith('bias') ? bias : weight.flat();
    });
    const label = random.whole(3);
    const parsed = parseOptions(entry.options, options, name);
    const job = { model, images: x, labels: Int32Array.of(label), eps };
    const norm = normOf(entry, parsed);
    const { lo, hi, margins } = provenBounds(entry.method!(parsed as never), job, { norm });
    freeModel(model);
    // Squares of an L2 norm may overflow where weights are large, and sums near 2^80 are refused: such bounds
    // claim nothing.
    if (
      question.family === 'ordinary weights' ||
      (options.norm !== 'l2' && largest(given) < 2 ** 76)
    )
      expect([...lo, ...hi, ...margins].every(Number.isFinite), 'finite bounds').toBe(true);
    const isAbove = (v: Exact, bound: number): boolean =>
      Number.isNaN(bound) || bound === Number.NEGATIVE_INFINITY || isBelow(double(bound), v);
    const wrong: string[] = [];
    for (const point of points(given, (options.norm as Norm | undefined) ?? 'linf')) {
      const start = Array.from(point, (v) => ({ lo: exact(v), hi: exact(v) }));
      const z = layers.reduce((at, layer, i) => dense(layer, i ? relu(at) : at), start);
      const run = layers.reduce(
        (at, layer, i) => execution(layer, i ? at.map((v) => Math.max(v, 0)) : at, random),
        [...point],
      );
      z.forEach(({ lo: value }, j) => {
        const runs = [value, double(run[j]!)];
        if (!runs.every((v) => isAbove(v, lo[j]!))) wrong.push(`lower ${j}: ${lo[j]}`);
        if (!runs.every((v) => isAbove(minus(ZERO, v), -hi[j]!)))
          wrong.push(`upper ${j}: ${hi[j]}`);
        const gaps = [minus(z[label]!.lo, value), double(run[label]! - run[j]!)];
        if (j !== label && !gaps.every((v) => isAbove(v, margins[j]!)))
          wrong.push(`margin ${j}: ${margins[j]}`);
      });
    }
    return wrong;
  }

  describe.each(WITH_BOUNDS)('%s', (name, { options }) => {
    const norms = 'norm' in options.entries ? NORMS : [undefined];
    const few = 'steps' in options.entries ? { steps: 4 } : {};
    const joint = 'joint' in options.entries ? [['linf, joint', { joint: true }] as const] : [];
    it.each([...norms.map((norm) => [norm ?? 'boxes', norm && { norm }] as const), ...joint])(
      'contains what is exact, and every run, %s',
      (_, more) =>
        fc.assert(
          fc.property(QUESTIONS, (question) => {
            expect(violations(name, question, { ...few, ...more })).toEqual([]);
          }),
          { numRuns: 25 },
        ),
    );

    it('would not without error terms', () => {
      const wrong = fc
        .sample(QUESTIONS, { numRuns: 16, seed: 7 })
        .filter((question) => violations(name, question, { ...few, sound: false }).length > 0);
      expect(wrong.length).toBeGreaterThan(2);
    });
  });
});
