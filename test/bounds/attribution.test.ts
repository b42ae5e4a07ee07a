/** Attribution of looseness to inputs: against its definition in f64, and over layers of every role. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile, INPUT, type Network, sequential } from '../../src/nn/graph';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { whole } from '../../src/tensor/parts';
import { sizeOf } from '../../src/tensor/shape';
import { branchingRules } from '../../src/verify/branching/registry';
import { Budget } from '../../src/verify/budget';
import { linearMethod } from '../../src/verify/methods';
import { outputRows, type Problem } from '../../src/verify/problem';
import { finish, METHODS, verifySpecification } from '../../src/verify/search';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

const crown = linearMethod('crown', { sound: false });

describe('attribution', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());
  const random = (network: Network, seed: number): Model =>
    modelOf(engine, network, randomWeights(compile(network), sampler(seed)));
  const problemOf = (model: Model, lo: Float32Array, hi: Float32Array, n = 1): Problem => {
    const outputs = sizeOf(model.graph.output);
    const row = Float64Array.from({ length: outputs }, (_, j) => (j === 0 ? 1 : -0.5));
    // A right side that no bound is above: every row is open.
    const rows = outputRows([{ rows: [row], rhs: [1e30] }], outputs);
    return { networks: [model], region: { count: n, lo, hi }, rows };
  };

  it('is |a| band |G| / (sum |G| + r), added up over the neurons of two layers', () => {
    for (let seed = 0; seed < 10; seed++) {
      const network = sequential(
        'n',
        [2],
        [
          ['dense', { units: 5 }],
          ['relu'],
          ['dense', { units: 4 }],
          ['relu'],
          ['dense', { units: 1 }],
        ],
      );
      const model = random(network, seed);
      const [w1, b1, w2, b2, w3] = [
        'dense1.weight',
        'dense1.bias',
        'dense2.weight',
        'dense2.bias',
        'dense3.weight',
      ].map((name) => model.params.get(name)!.read());
      const [lo, hi] = [Float32Array.of(-0.5, 0.1), Float32Array.of(0.7, 0.4)];
      const found = whole(crown.bound(problemOf(model, lo, hi), { hidden: true, inputs: true }));
      const { looseness } = found.inputs!;
      const boxes = [...found.hidden!.values()];
      const radius = [0, 1].map((j) => (hi[j]! - lo[j]!) / 2);
      const up = (l: number, u: number): number => (l >= 0 ? 1 : u <= 0 ? 0 : u / (u - l));
      const band = (l: number, u: number): number => (l < 0 && u > 0 ? Math.min(u, -l) : 0);
      const wanted = [0, 0];
      const add = (a: number, b: number, g: readonly number[], r: number): void => {
        const total = Math.abs(g[0]!) + Math.abs(g[1]!) + r;
        if (b > 0)
          for (const j of [0, 1]) wanted[j]! += (Math.abs(a) * b * Math.abs(g[j]!)) / total;
      };
      const first = Array.from(b1!, (_, k) => {
        const [l, u] = [boxes[0]!.lo[k]!, boxes[0]!.hi[k]!];
        const g = radius.map((rad, j) => w1![2 * k + j]! * rad);
        return { l, u, g, band: band(l, u), up: up(l, u), a: 0 };
      });
      b2!.forEach((_, m) => {
        const [l, u] = [boxes[1]!.lo[m]!, boxes[1]!.hi[m]!];
        const g = [0, 1].map((j) =>
          first.reduce((sum, one, k) => sum + w2![5 * m + k]! * one.up * one.g[j]!, 0),
        );
        const r = first.reduce(
          (sum, one, k) => sum + Math.abs(w2![5 * m + k]!) * one.band * 0.5,
          0,
        );
        const a = w3![m]!;
        add(a, band(l, u), g, r);
        const slope = l >= 0 ? 1 : u <= 0 ? 0 : a > 0 ? Number(u > -l) : up(l, u);
        first.forEach((one, k) => {
          one.a += a * slope * w2![5 * m + k]!;
        });
      });
      for (const one of first) add(one.a, one.band, one.g, 0);
      for (const j of [0, 1]) expect(looseness[j]!).toBeCloseTo(wanted[j]!, 4);
      freeModel(model);
    }
  });

  it('goes through every role, and gives an input of no width nothing', () => {
    const networks: Network[] = [
      sequential(
        'conv',
        [1, 4, 4],
        [
          ['conv2d', { channels: 3, kernel: 3, padding: 1 }],
          ['sigmoid'],
          ['max-pool', { kernel: 2 }],
          ['flatten'],
          ['dense', { units: 6 }],
          ['relu'],
          ['dense', { units: 2 }],
        ],
      ),
      {
        name: 'joins',
        input: [4],
        nodes: [
          { name: 'a', layer: 'dense', options: { units: 6 }, inputs: [INPUT] },
          { name: 'b', layer: 'relu', inputs: ['a'] },
          { name: 'c', layer: 'dense', options: { units: 6 }, inputs: ['b'] },
          { name: 'd', layer: 'add', inputs: ['a', 'c'] },
          { name: 'e', layer: 'tanh', inputs: ['d'] },
          { name: 'f', layer: 'concat', inputs: ['e', 'b'] },
          { name: 'g', layer: 'dense', options: { units: 3 }, inputs: ['f'] },
        ],
      },
    ];
    for (const network of networks) {
      const model = random(network, 3);
      const size = sizeOf(network.input);
      const s = sampler(5);
      const lo = Float32Array.from({ length: 3 * size }, () => s.real());
      const hi = lo.map((v, at) => (at % size === 1 ? v : v + 0.5));
      const { inputs } = whole(crown.bound(problemOf(model, lo, hi, 3), { inputs: true }));
      inputs!.looseness.forEach((v, at) => {
        if (at % size === 1) expect(v).toBe(0);
        else expect(v).toBeGreaterThan(0);
        expect(Number.isFinite(v)).toBe(true);
      });
      freeModel(model);
    }
  });

  it('is left out for samples that are proven, and of methods without linear bounds', () => {
    const model = random(
      sequential('n', [2], [['dense', { units: 5 }], ['relu'], ['dense', { units: 1 }]]),
      1,
    );
    const problem = problemOf(model, new Float32Array(2), new Float32Array(2).fill(1));
    const proven = { ...problem, rows: { ...problem.rows, rhs: Float64Array.of(-1e30) } };
    expect(whole(crown.bound(proven, { inputs: true })).inputs).toBeUndefined();
    expect(whole(METHODS.bounds[0]!.bound(problem, { inputs: true })).inputs).toBeUndefined();
    freeModel(model);
  });

  it('divides into fewer boxes than gradients do, over five networks', () => {
    const network = sequential(
      'n',
      [3],
      [0, 1, 2]
        .flatMap(() => [['dense', { units: 16 }], ['relu']] as never[])
        .concat([['dense', { units: 2 }]] as never[]),
    );
    const nodes = { looseness: 0, smear: 0 };
    for (let seed = 0; seed < 5; seed++) {
      const model = random(network, seed);
      const region = { lo: Float64Array.of(-1, -0.2, -1), hi: Float64Array.of(1, 0.2, 1) };
      const outputs = (x: number[]) =>
        whole(crown.bound(problemOf(model, Float32Array.from(x), Float32Array.from(x)))).lower[0]!;
      const s = sampler(seed);
      let least = Number.POSITIVE_INFINITY;
      for (let p = 0; p < 300; p++)
        least = Math.min(least, outputs([s.real(-1, 1), s.real(-0.2, 0.2), s.real(-1, 1)]));
      const unsafe = [
        { rows: [Float64Array.of(1, -0.5)], rhs: [least - 0.3 - 0.1 * Math.abs(least)] },
      ];
      for (const name of ['looseness', 'smear'] as const) {
        const methods = { bounds: [], expensive: [], parts: METHODS.parts };
        const budget = new Budget({ nodes: 4000 });
        const options = { budget, methods, branching: branchingRules[name]! };
        const { verdict, spent } = finish(verifySpecification(model, { region, unsafe }, options));
        expect(verdict).not.toBe('unknown');
        nodes[name] += spent.nodes;
      }
      freeModel(model);
    }
    expect(nodes.looseness).toBeLessThan(nodes.smear);
  });
});
