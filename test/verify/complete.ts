/**
 * Branch and bound over phases of neurons against exhaustive enumeration of activation patterns in rational numbers:
 * what both the fast and the slow test ask of a range of seeds.
 */
import { sequential } from '../../src/nn/graph';
import { freeModel, modelFrom } from '../../src/nn/model';
import { compare, rationalOf, toFloat64 } from '../../src/rational';
import type { Engine } from '../../src/runtime/engine';
import { betaMethod } from '../../src/verify/beta-method';
import { branchingRules } from '../../src/verify/branching/registry';
import { Budget } from '../../src/verify/budget';
import type { Outcome } from '../../src/verify/outcome';
import { finish, verifySpecification } from '../../src/verify/search';
import { exactMinimum } from '../helpers/enumeration';
import type { DenseWeights } from '../helpers/exact';
import { type Sampler, sampler } from '../helpers/random';

/** Distances of the threshold from the exact minimum, as a share of 1 + |minimum|. */
export const GAPS = [-0.2, -1e-3, 0, 1e-3, 0.2];
const RULES = ['babsr', 'fsb'];

export interface Answers {
  readonly certified: number;
  readonly falsified: number;
  readonly unknown: number;
  /** Questions that were answered wrongly, and those without an answer though the threshold is 1e-3 away or more. */
  readonly wrong: readonly string[];
  readonly open: readonly string[];
}

/** Layers of a network of two inputs: weights of few bits, some rows equal or opposite, some neurons off everywhere. */
export function layersOf(draw: Sampler): DenseWeights[] {
  const sizes = [
    2,
    ...Array.from({ length: 1 + draw.whole(3) }, () => 1 + draw.whole(6)),
    1 + draw.whole(2),
  ];
  return sizes.slice(1).map((units, k) => {
    const number = (): number => (draw.whole(64) - 32) / 16;
    const weight = Array.from({ length: units }, () => Array.from({ length: sizes[k]! }, number));
    const bias = Array.from({ length: units }, () => number() / 2);
    if (units > 1 && draw.whole(4) === 0) weight[1] = weight[0]!.map((w) => -w);
    if (units > 2 && draw.whole(4) === 0) bias[2] = -100;
    return { weight, bias };
  });
}

/** Answers to the questions of a seed's network, by both rules in turn. */
export function answersOf(engine: Engine, seed: number): Answers {
  const draw = sampler(seed);
  const layers = layersOf(draw);
  const chain = layers.flatMap(({ bias }, k) => [
    ...(k > 0 ? [['relu'] as [string]] : []),
    ['dense', { units: bias.length }] as [string, object],
  ]);
  const model = modelFrom(engine, sequential('n', [2], chain as never), (key) => {
    const { weight, bias } = layers[Number(/\d+/.exec(key)![0]) - 1]!;
    return key.endsWith('bias') ? [...bias] : weight.flat();
  });
  const lo = [draw.whole(32) / 16 - 1, draw.whole(32) / 16 - 1];
  const hi = lo.map((v) => v + (1 + draw.whole(16)) / 8);
  const row = layers.at(-1)!.bias.map(() => draw.whole(5) - 2);
  const { value } = exactMinimum(layers, [lo, hi], row);
  const least = toFloat64(value);
  const found = {
    certified: 0,
    falsified: 0,
    unknown: 0,
    wrong: [] as string[],
    open: [] as string[],
  };
  for (const gap of GAPS) {
    const rhs = least + gap * (1 + Math.abs(least));
    const outcome = finish(
      verifySpecification(
        model,
        {
          region: { lo: Float64Array.from(lo), hi: Float64Array.from(hi) },
          unsafe: [{ rows: [Float64Array.from(row)], rhs: [rhs] }],
        },
        {
          budget: new Budget({ nodes: 3000 }),
          methods: { bounds: [], expensive: [], parts: betaMethod('beta-crown') },
          branching: branchingRules[RULES[seed % RULES.length]!]!,
        },
      ),
    );
    found[outcome.verdict]++;
    const isSafe = compare(value, rationalOf(rhs)) > 0;
    const question = `seed ${seed}, gap ${gap}: ${textOf(outcome)}`;
    if (outcome.verdict === (isSafe ? 'falsified' : 'certified')) found.wrong.push(question);
    if (outcome.verdict === 'unknown' && gap !== 0) found.open.push(question);
  }
  freeModel(model);
  return found;
}

const textOf = (outcome: Outcome): string =>
  `${outcome.verdict} by ${outcome.by}, bound ${outcome.bound}${outcome.verdict === 'unknown' ? `, ${outcome.reason}` : ''}`;
