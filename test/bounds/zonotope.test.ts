/**
 * Zonotopes: they hold what networks compute, on graphs of every layer; projections estimate the sizes of
 * generators; and margins are those of the whole. Equality with the dual bound and a plain implementation is
 * tested with the objectives (train/certified.test.ts, goldens/objectives.test.ts).
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cauchy, medianSize } from '../../src/bounds/cauchy';
import {
  boxAround,
  type Errors,
  exact,
  hybrid,
  projected,
  zonotope,
  zonotopeMargins,
  zonotopeOf,
} from '../../src/bounds/zonotope';
import { propagate } from '../../src/domain/domain';
import { type Box, interval } from '../../src/domain/interval';
import { lastAffine } from '../../src/domain/rows';
import { value } from '../../src/domain/value';
import { compile, type Network } from '../../src/nn/graph';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { boxAround as boxOf, pointsIn } from '../helpers/boxes';
import { expectInside } from '../helpers/close';
import type { Nd } from '../helpers/nd';
import {
  graphs,
  LAYER_CASES,
  modelOf,
  networkOf,
  randomWeights,
  titleOf,
} from '../helpers/networks';
import { sampler } from '../helpers/random';
import type { BoxNd } from '../helpers/reference-network';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const tensor = ({ shape, data }: Nd): Tensor => input(engine, data, shape);
const KINDS: readonly (readonly [name: string, errors: Errors])[] = [
  ['exact', exact],
  ['hybrid', hybrid],
];

/** Ends moved outwards by the rounding of float32, which zonotopes do not cover. */
const slack = (values: Float32Array, sign: 1 | -1): Float32Array =>
  values.map((v) => v + sign * 1e-4 * (1 + Math.abs(v)));

const boundsBy = ({ graph, params }: Model, box: Box, errors: Errors): Box =>
  boxAround(propagate(graph, params, zonotope(errors), zonotopeOf(box, errors)), errors);

function holds(network: Network, seed: number, width: number): void {
  const random = sampler(seed);
  const weights = randomWeights(compile(network), random);
  const model = modelOf(engine, network, weights);
  const box: BoxNd = boxOf(random.array([2, ...network.input], -1, 1), width);
  step(engine, () => {
    const x = pointsIn(box, 6, random);
    const values = propagate(model.graph, model.params, value, tensor(x)).read();
    const at = { lo: tensor(box.lo), hi: tensor(box.hi) };
    const own = propagate(model.graph, model.params, interval({ sound: false }), at);
    for (const [name, errors] of KINDS) {
      const { lo, hi } = boundsBy(model, at, errors);
      expectInside(values, slack(lo.read(), -1), slack(hi.read(), 1), name);
      expect(lo.shape).toEqual(own.lo.shape);
    }
  });
  freeModel(model);
}

describe('zonotopes hold', () => {
  it.each(LAYER_CASES.map((each) => [titleOf(each), each] as const))('%s', (_, each) => {
    for (const width of [0, 0.01, 0.5]) holds(networkOf(each), 3, width);
  });

  it('graphs at random', () => {
    fc.assert(
      fc.property(graphs, ({ network, seed }) => holds(network, seed, 0.05)),
      { numRuns: 60 },
    );
  });
});

describe('zonotope margins', () => {
  it('are below the margins of every point, those of the hybrid below the exact ones', () => {
    const random = sampler(8);
    const network: Network = {
      name: 'residual',
      input: [2, 4, 4],
      nodes: [
        { name: 'conv', layer: 'conv2d', options: { channels: 3, kernel: 3, padding: 1 } },
        { name: 'act', layer: 'relu' },
        { name: 'conv2', layer: 'conv2d', options: { channels: 3, kernel: 3, padding: 1 } },
        { name: 'sum', layer: 'add', inputs: ['conv2', 'act'] },
        { name: 'act2', layer: 'tanh' },
        { name: 'pool', layer: 'max-pool', options: { kernel: 2 } },
        { name: 'flat', layer: 'flatten' },
        { name: 'fc', layer: 'dense', options: { units: 4 } },
      ],
    };
    const model = modelOf(engine, network, randomWeights(compile(network), random));
    const { graph, params } = model;
    const labels = [2, 0, 3];
    const box = boxOf(random.array([3, 2, 4, 4], 0, 1), 0.05);
    step(engine, () => {
      const points = pointsIn(box, 8, random);
      const z = propagate(graph, params, value, tensor(points)).read();
      const at = { lo: tensor(box.lo), hi: tensor(box.hi) };
      const before = lastAffine(graph)!;
      const [whole, part] = KINDS.map(([, errors]) => {
        const last = propagate(graph, params, zonotope(errors), zonotopeOf(at, errors), { before });
        return zonotopeMargins(model, last, labels, errors).read();
      });
      for (let row = 0; row < z.length / 4; row++)
        for (let j = 0; j < 4; j++) {
          const sample = row % 3;
          const margin = z[4 * row + labels[sample]!]! - z[4 * row + j]!;
          expect(whole![4 * sample + j]).toBeLessThanOrEqual(margin + 1e-4);
        }
      for (const [i, margin] of part!.entries())
        expect(margin).toBeLessThanOrEqual(whole![i]! + 1e-4);
      for (const [i, label] of labels.entries()) expect(whole![4 * i + label]).toBeCloseTo(0, 5);
    });
    freeModel(model);
  });
});

describe('projections', () => {
  it('take the median size, of an even count the mean of two', () => {
    step(engine, () => {
      const odd = input(engine, [1, -5, 3, 2, -4, 6], [1, 3, 2]);
      expect([...medianSize(odd).read()]).toEqual([3, 5]);
      const even = input(engine, [1, -5, 3, -2], [1, 4, 1]);
      expect([...medianSize(even).read()]).toEqual([2.5]);
      expect([...medianSize(input(engine, [-2, -2], [1, 2, 1])).read()]).toEqual([2]);
    });
  });

  it('are finite, half of them within 1', () => {
    step(engine, () => {
      const draws = cauchy(engine, [100, 1000], { seed: 3, stream: 7 }).read();
      expect(draws.every(Number.isFinite)).toBe(true);
      const within = draws.filter((v) => Math.abs(v) < 1).length / draws.length;
      expect(Math.abs(within - 0.5)).toBeLessThan(0.01);
    });
  });

  it('estimate the radius of the exact zonotope', () => {
    const random = sampler(5);
    const network = networkOf({ kind: 'dense', options: { units: 40 }, input: [60] });
    const nodes = [
      ...network.nodes,
      { name: 'act', layer: 'relu' },
      { name: 'out', layer: 'dense', options: { units: 50 } },
    ];
    const deep = { ...network, nodes };
    const model = modelOf(engine, deep, randomWeights(compile(deep), random));
    step(engine, () => {
      const box = boxOf(random.array([4, 60], 0, 1), 0.05);
      const at = { lo: tensor(box.lo), hi: tensor(box.hi) };
      const radii = (errors: Errors): number[] => {
        const { lo, hi } = boundsBy(model, at, errors);
        const low = lo.read();
        return [...hi.read()].map((h, i) => (h - low[i]!) / 2);
      };
      const wanted = radii(exact);
      const key = { seed: 1, stream: 10, index: [3, 8, 1, 5] };
      const ratios = radii(projected(400, key)).map((r, i) => r / wanted[i]!);
      const mean = ratios.reduce((a, b) => a + b, 0) / ratios.length;
      expect(Math.abs(mean - 1)).toBeLessThan(0.1);
      // A sample's draws do not depend on those beside it.
      const again = radii(projected(400, key)).map((r, i) => r / wanted[i]!);
      expect(again).toEqual(ratios);
    });
    freeModel(model);
  });
});
