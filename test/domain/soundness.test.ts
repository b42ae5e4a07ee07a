/**
 * Sound boxes against points: whatever the float32 network and its float64 reference compute from a
 * point of the box lies inside the bounds; for every layer, every size of box, and random graphs.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { ball, interval } from '../../src/domain/interval';
import { value } from '../../src/domain/value';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { boxAround, pointsIn } from '../helpers/boxes';
import { expectClose, expectInside } from '../helpers/close';
import { binaries } from '../helpers/engine';
import { type Nd, nd } from '../helpers/nd';
import {
  graphs,
  LAYER_CASES,
  modelOf,
  networkOf,
  randomWeights,
  titleOf,
} from '../helpers/networks';
import { type Sampler, sampler } from '../helpers/random';
import { type BoxNd, evaluate, evaluateBox, type Weights } from '../helpers/reference-network';

const WIDTHS = [0, 1e-7, 1e-3, 0.5, 100];

/** Weights of sizes 1e-8 to 1e8: cancellation and long sums of unequal terms. */
function wildWeights(network: Network, random: Sampler, size = 8): Weights {
  const tame = randomWeights(compile(network), random);
  const entries = [...tame].map(([name, w]): [string, Nd] => [
    name,
    /\.(variance|std)$/.test(name) ? w : random.spread(w.shape, -size, size),
  ]);
  return new Map(entries);
}

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());
  const tensor = ({ shape, data }: Nd): Tensor => input(engine, data, shape);

  /** Both as given (in float32) and in canonical form, whose own weights define what is exact. */
  function check(network: Network, weights: Weights, box: BoxNd, random: Sampler): void {
    const given = modelOf(engine, network, weights);
    const derived = given.graph.nodes.some(
      ({ layer }) => layer.role === 'affine' && (layer.derive ?? layer.deriveInBatch),
    );
    const alone = network.nodes.length === 1 && network.nodes[0]!.layer === 'dropout';
    const models = derived && !alone ? [given, lower(given)] : [given];
    for (const [i, { graph, params }] of models.entries()) {
      const own = new Map([...params].map(([name, t]) => [name, nd(t.shape, t.read())]));
      step(engine, () => {
        const { lo, hi } = propagate(graph, params, interval({ sound: true }), {
          lo: tensor(box.lo),
          hi: tensor(box.hi),
        });
        const x = pointsIn(box, 8, random);
        const [low, high] = [lo.read(), hi.read()];
        // NaN bounds claim nothing: some sum may overflow. Only values beyond 1e20 excuse them.
        const { data } = evaluate(graph, own, x);
        if (low.some(Number.isNaN) && data.some((v) => !(Math.abs(v) < 1e20))) return;
        expectInside(propagate(graph, params, value, tensor(x)).read(), low, high, 'float32');
        if (i === models.length - 1) expectInside(data, low, high, 'float64');
      });
    }
    for (const model of models) freeModel(model);
  }

  it.each(LAYER_CASES.map((c) => [titleOf(c), c] as const))('%s', (_, layerCase) => {
    const network = networkOf(layerCase);
    const random = sampler(51);
    for (const weightsOf of [
      () => randomWeights(compile(network), random),
      () => wildWeights(network, random),
    ])
      for (const width of WIDTHS) {
        const shape = [4, ...layerCase.input];
        for (const centre of [random.array(shape, -2, 2), random.spread(shape, -8, 8)])
          check(network, weightsOf(), boxAround(centre, width), random);
      }
  });

  it('random graphs', () => {
    fc.assert(
      fc.property(
        graphs,
        fc.constantFrom(...WIDTHS),
        fc.boolean(),
        ({ network, seed }, width, wild) => {
          const random = sampler(seed);
          const weights = wild
            ? wildWeights(network, random, 1)
            : randomWeights(compile(network), random);
          check(network, weights, boxAround(random.array([2, ...network.input]), width), random);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('denormal values', () => {
    const network = sequential(
      'n',
      [7],
      [['dense', { units: 5 }], ['leaky-relu'], ['dense', { units: 3 }]],
    );
    const random = sampler(52);
    for (let round = 0; round < 40; round++) {
      const weights = new Map(
        [...randomWeights(compile(network), random)].map(([name, w]) => [
          name,
          name.endsWith('bias') ? random.spread(w.shape, -45, -36) : random.spread(w.shape, -6, 6),
        ]),
      );
      const centre = random.spread([3, 7], -45, -36);
      for (const width of [0, 1e-45, 1e-40])
        check(network, weights, boxAround(centre, width), random);
    }
  });

  it('says nothing, rather than something wrong, where a sum overflows', () => {
    const network = sequential('n', [4], [['dense', { units: 1, bias: false }], ['sigmoid']]);
    const signs = [0b0011, 0b0101, 0b0110, 0b1001, 0b1010, 0b1100];
    for (const mask of signs) {
      const weight = [0, 1, 2, 3].map((bit) => (mask & (1 << bit) ? 3e38 : -3e38));
      step(engine, () => {
        const { graph, params } = modelFrom(engine, network, () => weight);
        const ones = input(engine, [1, 1, 1, 1], [1, 4]);
        const point = { lo: ones, hi: ones };
        const { lo, hi } = propagate(graph, params, interval({ sound: true }), point);
        // The sum is 0, but in some order it overflows: NaN, of which no comparison holds.
        expect([lo.read()[0], hi.read()[0]], `${weight}`).toContainEqual(Number.NaN);
      });
    }
  });

  it('sums of inputs that cancel, in whatever order they are added', () => {
    const nodes = [{ name: 'sum', layer: 'add', inputs: ['input', 'input', 'input'] }];
    const node = compile({ name: 'n', input: [1], nodes }).nodes[0]!;
    const { layer } = node;
    if (layer.role !== 'join') throw new Error('add is a join');
    const big = 2 ** 27;
    const domain = interval({ sound: true });
    step(engine, () => {
      for (const values of [
        [big, 1, -big],
        [1, big, -big],
        [big, -big, 1],
      ]) {
        const boxes = values.map((v) => {
          const at = input(engine, [v], [1, 1]);
          return { lo: at, hi: at };
        });
        const { lo, hi } = domain.join({ ...node, layer }, boxes);
        expectInside([0, 1], lo.read(), hi.read(), `${values}`);
      }
    });
  });
});

describe('without rounding terms', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(LAYER_CASES.map((c) => [titleOf(c), c] as const))(
    '%s equals its reference',
    (_, layerCase) => {
      const network = networkOf(layerCase);
      const random = sampler(53);
      const weights = randomWeights(compile(network), random);
      for (const width of [0, 0.01, 1]) {
        const box = boxAround(random.array([3, ...layerCase.input]), width);
        const expected = evaluateBox(compile(network), weights, box);
        step(engine, () => {
          const { graph, params } = modelOf(engine, network, weights);
          const of = {
            lo: input(engine, box.lo.data, box.lo.shape),
            hi: input(engine, box.hi.data, box.hi.shape),
          };
          const plain = propagate(graph, params, interval({ sound: false }), of);
          const sound = propagate(graph, params, interval({ sound: true }), of);
          expectClose(plain.lo.read(), expected.lo.data, { rel: 1e-5 });
          expectClose(plain.hi.read(), expected.hi.data, { rel: 1e-5 });
          // Sound bounds are wider, but not by more than rounding.
          expectInside(plain.lo.read(), sound.lo.read(), plain.hi.read());
          expectInside(plain.hi.read(), plain.lo.read(), sound.hi.read());
          expectClose(sound.lo.read(), expected.lo.data, { rel: 3e-5 });
          expectClose(sound.hi.read(), expected.hi.data, { rel: 3e-5 });
        });
      }
    },
  );
});

describe('ball', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it.each([1 / 255, 2 / 255, 8 / 255, 0.1, 0.3, 0.7, 1e-9, 1])(
    'of radius %d contains x +- eps, cut to [0, 1]',
    (eps) => {
      // 0 and 1, a grid, and neighbours of eps, for which x - eps almost cancels.
      const x = Float32Array.from({ length: 1000 }, (_, i) =>
        i < 20 ? i % 2 : i < 40 ? Math.min(1, eps * (1 + (i - 30) * 2 ** -23)) : i / 999,
      );
      step(engine, () => {
        const { lo, hi } = ball(input(engine, x, [1000]), eps, { sound: true });
        const ends = (sign: number) =>
          Float64Array.from(x, (v) => Math.min(1, Math.max(0, v + sign * eps)));
        expectInside(ends(-1), lo.read(), hi.read());
        expectInside(ends(1), lo.read(), hi.read());
        expectInside(lo.read(), new Float32Array(1000), ends(-1));
        expectInside(hi.read(), ends(1), new Float32Array(1000).fill(1));
        expectClose(lo.read(), ends(-1), { rel: 0, abs: 1e-6 });
        const plain = ball(input(engine, x, [1000]), eps, { sound: false });
        expectClose(plain.lo.read(), ends(-1), { rel: 0, abs: 1.2e-7 });
        expectClose(plain.hi.read(), ends(1), { rel: 0, abs: 1.2e-7 });
      });
    },
  );

  it('is cut to another range, or to none', () => {
    step(engine, () => {
      const at = input(engine, [-1, 0, 1], [3]);
      const whole = ball(at, 0.5, { sound: true, range: null });
      expectInside([-1.5, -0.5, 0.5], whole.lo.read(), whole.hi.read());
      expectInside([-0.5, 0.5, 1.5], whole.lo.read(), whole.hi.read());
      const cut = ball(at, 0.5, { sound: true, range: [-1, 0.75] });
      expect([cut.lo.read()[0], cut.hi.read()[2]]).toEqual([-1, 0.75]);
    });
  });
});
