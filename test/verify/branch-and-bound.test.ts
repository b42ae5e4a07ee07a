/** Problems as data, phases of neurons, and branch and bound by every rule of the registry. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { triangle } from '../../examples/adding/triangle';
import type { Phase } from '../../src/bounds/context';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { whole } from '../../src/tensor/parts';
import { betaMethod } from '../../src/verify/beta-method';
import { branchingRules } from '../../src/verify/branching/registry';
import type { BranchingRule } from '../../src/verify/branching/rule';
import { Budget } from '../../src/verify/budget';
import { outputsAt } from '../../src/verify/descent';
import {
  alphaMethod,
  type BoundMethod,
  intervalMethod,
  linearMethod,
} from '../../src/verify/methods';
import type { Outcome } from '../../src/verify/outcome';
import { outputRows, type Problem, property, robustness, select } from '../../src/verify/problem';
import { finish, METHODS, verifySpecification } from '../../src/verify/search';
import { marginProperty, type Specification } from '../../src/verify/specification';
import { binaries } from '../helpers/engine';
import { modelOf, randomWeights } from '../helpers/networks';
import { type Sampler, sampler } from '../helpers/random';

const NETWORK = sequential(
  'n',
  [4],
  [['dense', { units: 8 }], ['relu'], ['dense', { units: 8 }], ['relu'], ['dense', { units: 3 }]],
);
/** Positions of the nodes in front of the two activations. */
const BEFORE = [0, 2];

const METHODS_BY_NAME: readonly BoundMethod[] = [
  intervalMethod(),
  linearMethod('crown-ibp', { hidden: 'interval' }),
  linearMethod('crown', { hidden: 'unstable' }),
  linearMethod('crown of all', { hidden: 'all' }),
  alphaMethod('alpha-crown', { steps: 3 }),
  alphaMethod('alpha-crown, joint', { steps: 3, hidden: true }),
  betaMethod('beta-crown', { steps: 3 }),
];

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
  });
  afterAll(() => engine.close());
  const random = (network: Network, seed: number): Model =>
    modelOf(engine, network, randomWeights(compile(network), sampler(seed)));

  /** Values of a node at one input, in f64. */
  function valuesAt(model: Model, x: readonly number[], layers: number): number[] {
    let at = [...x];
    for (let i = 1; i <= layers; i++) {
      const weight = model.params.get(`dense${i}.weight`)!.read();
      const bias = model.params.get(`dense${i}.bias`)!.read();
      const before = i > 1 ? at.map((v) => Math.max(v, 0)) : at;
      at = Array.from(bias, (b, r) =>
        before.reduce((sum, v, c) => sum + weight[r * before.length + c]! * v, b),
      );
    }
    return at;
  }

  describe('phases of neurons', () => {
    const box = (draw: Sampler, n: number, width: number) => {
      const lo = Float32Array.from({ length: 4 * n }, () => draw.real(-1, 1));
      return { count: n, lo, hi: lo.map((v) => v + width) };
    };

    it.each(METHODS_BY_NAME.map((method) => [method.name, method] as const))(
      'leave bounds by %s below every point that keeps to them',
      (name, method) => {
        let [tighter, kept] = [0, 0];
        fc.assert(
          fc.property(fc.integer({ min: 0, max: 1e6 }), (seed) => {
            const draw = sampler(seed);
            const model = random(NETWORK, seed);
            const region = box(draw, 2, draw.real(0.1, 1.5));
            const rows = outputRows(
              [{ rows: [Float64Array.of(1, -1, 0), Float64Array.of(0, -0.3, 2)], rhs: [0, 0] }],
              3,
            );
            const points = Array.from({ length: 60 }, (_, p) =>
              Array.from({ length: 4 }, (_, i) => {
                const at = 4 * (p % 2) + i;
                return Math.fround(
                  region.lo[at]! + draw.real() * (region.hi[at]! - region.lo[at]!),
                );
              }),
            );
            // Three neurons of each sample keep the phases of its first point.
            const phases = [0, 1].map((i) =>
              Array.from({ length: 3 }, (): Phase => {
                const [which, neuron] = [draw.whole(2), draw.whole(8)];
                const value = valuesAt(model, points[i]!, which + 1)[neuron]!;
                return { node: BEFORE[which]!, neuron, active: value > 0 };
              }),
            );
            const problem: Problem = { networks: [model], region, rows };
            const free = whole(method.bound(problem)).lower;
            const bound = whole(method.bound({ ...problem, phases: [phases] })).lower;
            points.forEach((x, p) => {
              const i = p % 2;
              const keeps = phases[i]!.every(({ node, neuron, active }) => {
                const value = valuesAt(model, x, BEFORE.indexOf(node) + 1)[neuron]!;
                return active ? value >= 1e-6 : value <= -1e-6;
              });
              if (!keeps) return;
              kept++;
              const y = valuesAt(model, x, 3);
              const values = [y[0]! - y[1]!, 2 * y[2]! - 0.3 * y[1]!];
              values.forEach((value, r) => {
                expect(bound[2 * i + r]!).toBeLessThanOrEqual(value + 1e-6 * (1 + Math.abs(value)));
              });
            });
            bound.forEach((b, r) => {
              if (b > free[r]! + 1e-4) tighter++;
            });
            freeModel(model);
          }),
          { numRuns: 25 },
        );
        expect(kept).toBeGreaterThan(25);
        // Intervals ignore them, and say what they say without.
        if (name === 'interval') expect(tighter).toBe(0);
        else expect(tighter).toBeGreaterThan(10);
      },
    );
  });

  describe('problems', () => {
    it('of robustness are those of its margins as a property', () => {
      const model = random(NETWORK, 3);
      const images = Float32Array.from(sampler(4).array([5, 4], 0, 1).data);
      const labels = Int32Array.of(2, 0, 2, 1, 0);
      const all = robustness(model, images, labels, { eps: 0.05 });
      for (const method of METHODS_BY_NAME) {
        const { lower } = whole(method.bound(all));
        labels.forEach((label, i) => {
          const one = images.subarray(4 * i, 4 * i + 4);
          const region = {
            lo: Float64Array.from(one, (v) => Math.max(0, v - 0.05)),
            hi: Float64Array.from(one, (v) => Math.min(1, v + 0.05)),
          };
          const same = property(model, { region, unsafe: marginProperty(3, label) });
          whole(method.bound(same)).lower.forEach((bound, r) => {
            expect(Math.abs(bound - lower[2 * i + r]!), method.name).toBeLessThan(1e-5);
          });
        });
      }
      freeModel(model);
    });

    it('of some samples have the bounds of those', () => {
      const model = random(NETWORK, 5);
      const images = Float32Array.from(sampler(6).array([6, 4], 0, 1).data);
      const all = robustness(model, images, [0, 1, 2, 2, 1, 0], { eps: 0.1, norm: 'l2' });
      const phases = [Array.from({ length: 6 }, (_, i) => [{ node: 0, neuron: i, active: true }])];
      // Rows of alpha-CROWN do not know of each other, but for when a run ends.
      for (const method of METHODS_BY_NAME.slice(0, 4)) {
        const { lower } = whole(method.bound({ ...all, phases }));
        const some = whole(method.bound(select({ ...all, phases }, [4, 1]))).lower;
        [4, 1].forEach((i, at) => {
          for (const r of [0, 1])
            expect(some[2 * at + r]!, method.name).toBeCloseTo(lower[2 * i + r]!, 5);
        });
      }
      freeModel(model);
    });

    it('of two networks are refused in words', () => {
      const model = random(NETWORK, 1);
      const one = robustness(model, new Float32Array(4), [0], { eps: 0.1 });
      const two = { ...one, networks: [model, model] };
      for (const method of METHODS_BY_NAME)
        for (const ask of [() => method.batch(two), () => whole(method.bound(two))])
          expect(ask).toThrow(`${method.name}: expected a problem of one network, got 2 networks`);
      freeModel(model);
    });
  });

  describe.each([...Object.entries(branchingRules), ['triangle', triangle] as const])(
    'branch and bound by %s',
    (_, branching: BranchingRule) => {
      const ask = (model: Model, specification: Specification, nodes: number): Outcome => {
        const methods = {
          ...{ bounds: [], expensive: [], parts: METHODS.parts },
          // The triangle needs boxes alone; the rules of the registry take what comes with the search.
          ...(branching !== triangle && { activations: METHODS.activations! }),
        };
        const options = { budget: new Budget({ nodes }), methods, branching };
        return finish(verifySpecification(model, specification, options));
      };

      it('proves more than the bounds of the whole, and nothing that a point refutes', () => {
        let [proven, gained] = [0, 0];
        for (let seed = 0; seed < 6; seed++) {
          const model = random(NETWORK, seed);
          const draw = sampler(seed + 50);
          const lo = Float64Array.from({ length: 4 }, () => draw.real(-1, 1));
          const region = { lo, hi: lo.map((v) => v + 0.4) };
          const x = Float32Array.from({ length: 4000 }, (_, at) => lo[at % 4]! + 0.4 * draw.real());
          const y = outputsAt(model, x, 1000);
          const least = y.filter((_, at) => at % 3 === 0).reduce((a, b) => Math.min(a, b));
          for (const gap of [0.05, 0.3]) {
            const unsafe = [{ rows: [Float64Array.of(1, 0, 0)], rhs: [least - gap] }];
            const found = ask(model, { region, unsafe }, 400);
            const [whole] = ask(model, { region, unsafe }, 1).verdict;
            if (found.verdict === 'certified') proven++;
            if (found.verdict === 'certified' && whole !== 'c') gained++;
            expect(found.bound).toBeLessThanOrEqual(gap + 1e-5);
            // Unsafe at the least point that was seen.
            const above = [{ rows: [Float64Array.of(1, 0, 0)], rhs: [least + gap] }];
            expect(ask(model, { region, unsafe: above }, 60).verdict).not.toBe('certified');
          }
          freeModel(model);
        }
        expect(proven).toBeGreaterThan(4);
        expect(gained).toBeGreaterThan(0);
      });

      it('gives the same answer at the same node each time', () => {
        const model = random(NETWORK, 9);
        const region = { lo: new Float64Array(4), hi: new Float64Array(4).fill(1) };
        const unsafe = [{ rows: [Float64Array.of(1, -1, 0.5)], rhs: [-3] }];
        const [one, two] = [0, 1].map(() => {
          const { spent, ...rest } = ask(model, { region, unsafe }, 100);
          return { ...rest, nodes: spent.nodes };
        });
        expect(one).toEqual(two);
        freeModel(model);
      });
    },
  );

  it('says in words where a rule needs boxes that the method does not have', () => {
    const model = random(NETWORK, 1);
    const region = { lo: new Float64Array(4), hi: new Float64Array(4).fill(1) };
    const unsafe = [{ rows: [Float64Array.of(1, 0, 0)], rhs: [-2] }];
    const methods = { bounds: [], expensive: [], parts: intervalMethod() };
    const options = { budget: new Budget({ nodes: 9 }), methods, branching: triangle };
    const outcome = finish(verifySpecification(model, { region, unsafe }, options));
    expect(outcome).toMatchObject({
      verdict: 'unknown',
      reason: expect.stringMatching(/expected a method that bounds hidden values/),
    });
    freeModel(model);
  });
});
