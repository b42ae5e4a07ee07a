/**
 * The checker's bounds: every layer and random graphs against float64 references, recorded bounds of
 * other tools, and exact rational arithmetic on networks made to break floating point.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prove } from '../../src/check/bounds';
import { type Bounds, stepBounds } from '../../src/check/forward';
import { readProgram } from '../../src/check/program';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { PRESENT } from '../goldens/goldens';
import { openGolden } from '../goldens/open';
import { boxAround, pointsIn } from '../helpers/boxes';
import { expectInside } from '../helpers/close';
import {
  type DenseWeights,
  dense,
  double,
  exact,
  execution,
  isBelow,
  margin,
  minus,
  relu,
} from '../helpers/exact';
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
import { type BoxNd, evaluate } from '../helpers/reference-network';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const METHODS = [
  { name: 'interval', intermediate: 'interval', slopes: {} },
  { name: 'linear', intermediate: 'interval', slopes: {} },
  { name: 'linear', intermediate: 'linear', slopes: {} },
] as const;

const programOf = ({ graph, params }: Model) =>
  readProgram(graph, (name) => params.get(name)?.read());
const ends = ({ lo, hi }: BoxNd): Bounds => ({
  lo: Float64Array.from(lo.data),
  hi: Float64Array.from(hi.data),
});

/** Bounds of all outputs by a method: rows e_i and -e_i. */
function provenBounds(model: Model, box: Bounds, method: (typeof METHODS)[number]): Bounds {
  const size = model.graph.output.reduce((a, b) => a * b, 1);
  const unit = (sign: number) => (_: unknown, i: number) => {
    const one = new Float64Array(size);
    one[i] = sign;
    return one;
  };
  const rows = [
    ...Array.from({ length: size }, unit(1)),
    ...Array.from({ length: size }, unit(-1)),
  ];
  const proof = prove(programOf(model), box, rows, method, Number.POSITIVE_INFINITY);
  if (!('lower' in proof)) throw new Error(JSON.stringify(proof));
  return { lo: proof.lower.slice(0, size), hi: proof.lower.slice(size).map((v) => -v) };
}

/** Rows of points of the box through the reference, inside the bounds of every method. */
function checkPoints(network: Network, box: BoxNd, random: Sampler): void {
  const given = modelOf(engine, network, randomWeights(compile(network), random));
  const model = lower(given);
  const own = new Map([...model.params].map(([name, t]) => [name, nd(t.shape, t.read())]));
  const { data } = evaluate(model.graph, own, pointsIn(box, 12, random));
  for (const method of METHODS) {
    const { lo, hi } = provenBounds(model, ends(box), method);
    expectInside(data, lo, hi, JSON.stringify(method));
  }
  freeModel(model);
  freeModel(given);
}

const singles = LAYER_CASES.filter(({ kind }) => kind !== 'dropout');

describe('values of points', () => {
  it.each(singles.map((c) => [titleOf(c), c] as const))('%s', (_, layerCase) => {
    const random = sampler(71);
    const network = networkOf(layerCase);
    for (const width of [0, 1e-3, 0.5, 4])
      checkPoints(network, boxAround(random.array([1, ...layerCase.input], -2, 2), width), random);
  });

  it.each(singles.map((c) => [titleOf(c), c] as const))(
    'a point is one value: %s',
    (_, layerCase) => {
      const random = sampler(72);
      const network = networkOf(layerCase);
      const given = modelOf(engine, network, randomWeights(compile(network), random));
      const model = lower(given);
      const own = new Map([...model.params].map(([name, t]) => [name, nd(t.shape, t.read())]));
      const x = random.array([1, ...layerCase.input], -2, 2);
      const { data } = evaluate(model.graph, own, x);
      for (const method of METHODS) {
        const { lo, hi } = provenBounds(model, ends({ lo: x, hi: x }), method);
        expectInside(data, lo, hi, 'value');
        for (const [i, v] of data.entries())
          expect(hi[i]! - lo[i]!).toBeLessThan(1e-4 * (1 + Math.abs(v)));
      }
      freeModel(model);
      freeModel(given);
    },
  );

  it('random graphs', () => {
    fc.assert(
      fc.property(graphs, fc.constantFrom(0, 1e-3, 0.1, 1), ({ network, seed }, width) => {
        const random = sampler(seed);
        checkPoints(network, boxAround(random.array([1, ...network.input]), width), random);
      }),
      { numRuns: 60 },
    );
  });

  it('claimed slopes, however odd, keep the lines where they belong', () => {
    const chain = ['relu', 'leaky-relu', 'sigmoid', 'tanh', 'clip'] as const;
    fc.assert(
      fc.property(
        fc.constantFrom(...chain),
        fc.array(
          fc.oneof(
            fc.double({ min: -2, max: 2, noNaN: true }),
            fc.constantFrom(0, 1, 1 / 4, 1e-300),
          ),
          {
            minLength: 6,
            maxLength: 6,
          },
        ),
        fc.nat(1000),
        (kind, slopes, seed) => {
          const random = sampler(seed);
          const options = kind === 'clip' ? { lo: -0.25, hi: 0.5 } : {};
          const network = sequential(
            'n',
            [4],
            [
              ['dense', { units: 6 }],
              [kind, options],
              ['dense', { units: 3 }],
            ],
          );
          const weights = randomWeights(compile(network), random);
          const model = modelOf(engine, network, weights);
          const box = boxAround(random.array([1, 4]), random.real(0, 2));
          const claimed = { [model.graph.nodes[1]!.name]: slopes };
          const { data } = evaluate(model.graph, weights, pointsIn(box, 40, random));
          const { lo, hi } = provenBounds(model, ends(box), { ...METHODS[2], slopes: claimed });
          expectInside(data, lo, hi, kind);
          freeModel(model);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('nesting', () => {
  it('linear bounds in front are never looser than intervals there', () => {
    const random = sampler(73);
    const network = sequential(
      'n',
      [6],
      [
        ...Array.from({ length: 3 }, () => [['dense', { units: 9 }], ['relu']] as const).flat(),
        ['dense', { units: 3 }],
      ],
    );
    const model = modelOf(engine, network, randomWeights(compile(network), random));
    const box = ends(boxAround(random.array([1, 6]), 0.3));
    const widths = METHODS.map((method) => {
      const { lo, hi } = provenBounds(model, box, method);
      return hi.reduce((sum, h, i) => sum + h - lo[i]!, 0);
    });
    expect(widths[1]!).toBeLessThan(0.7 * widths[0]!);
    expect(widths[2]!).toBeLessThan(0.9 * widths[1]!);
    freeModel(model);
  });
});

/**
 * Bounds that auto_LiRPA computed in float64: ours are the same, but for what a float32 execution with
 * sums of 784 terms can be off by.
 */
describe.skipIf(!PRESENT)('recorded bounds', () => {
  const RECORDED = ['IBP', 'CROWN-IBP', 'CROWN'];
  it.each([
    ['eran_mnist_6_100', 2],
    ['lirpa_mnist_fc_3layer', 2],
  ])('%s', async (name, count) => {
    const { model, batch, record } = await openGolden(engine, name, 'safetensors');
    const canonical = lower(model);
    const size = batch.pixels.length / batch.labels.length;
    const cases = record.cases.filter((c) => c.norm === 'inf' && c.dtype === 'f64');
    expect(cases.length).toBeGreaterThan(0);
    for (const { eps_pixel: eps = 0, clip_to_pixel_box: clip, methods } of cases)
      for (let i = 0; i < count; i++) {
        const centre = Float64Array.from(batch.pixels.subarray(i * size, (i + 1) * size));
        const cut = (x: number): number => (clip ? Math.min(1, Math.max(0, x)) : x);
        const box = { lo: centre.map((x) => cut(x - eps)), hi: centre.map((x) => cut(x + eps)) };
        for (const [m, method] of METHODS.entries()) {
          const found = provenBounds(canonical, box, method);
          const recorded = methods[RECORDED[m]!]!;
          for (const [at, lo] of recorded.logits_lb[i]!.entries()) {
            const [want, hi] = [lo, recorded.logits_ub[i]![at]!];
            expect(found.lo[at]!, `${RECORDED[m]} lower`).toBeLessThanOrEqual(want + 1e-9);
            expect(found.hi[at]!, `${RECORDED[m]} upper`).toBeGreaterThanOrEqual(hi - 1e-9);
            const gap = Math.max(want - found.lo[at]!, found.hi[at]! - hi);
            expect(gap / (1 + hi - want), RECORDED[m]).toBeLessThan(1e-2);
          }
        }
      }
    freeModel(canonical);
    freeModel(model);
  });
});

type Draw = (random: Sampler, shape: readonly number[]) => Nd;
const FAMILIES: Readonly<Record<string, Draw>> = {
  'sizes 1e-8 to 1e8': (random, shape) => random.spread(shape, -8, 8),
  // Every odd weight is minus the one before it, but for its last bits.
  cancellation: (random, shape) => {
    const w = random.spread(shape, -3, 8);
    w.data.forEach((_, i) => {
      if (i % 2) w.data[i] = Math.fround(-w.data[i - 1]! * (1 + random.whole(4) * 2 ** -23));
    });
    return nd(shape, Float32Array.from(w.data));
  },
  'denormal products': (random, shape) => random.spread(shape, -26, -16),
};

/** Rows e_y - e_j of the output. */
const PAIRS = [
  [0, 1],
  [2, 0],
] as const;

describe('exact rational arithmetic', () => {
  it.each(Object.keys(FAMILIES))('%s', (name) => {
    fc.assert(
      fc.property(
        fc.nat(100_000),
        fc.constantFrom(1, 2, 5, 17),
        fc.constantFrom(0, 1e-8, 1e-3, 1),
        (seed, features, width) => {
          const random = sampler(seed);
          const layers = [features, 5, 3].slice(1).map((units, i): DenseWeights => {
            const count = [features, 5][i]!;
            const flat = FAMILIES[name]!(random, [units, count]).data;
            return {
              weight: Array.from({ length: units }, (_, u) => [
                ...flat.subarray(u * count, (u + 1) * count),
              ]),
              bias: [...FAMILIES[name]!(random, [units]).data],
            };
          });
          againstExact(layers, boxAround(FAMILIES[name]!(random, [1, features]), width), random);
        },
      ),
      { numRuns: 60 },
    );
  });

  function againstExact(layers: readonly DenseWeights[], box: BoxNd, random: Sampler): void {
    const [first, last] = layers as [DenseWeights, DenseWeights];
    const network = sequential(
      'n',
      [box.lo.data.length],
      [['dense', { units: first.bias.length }], ['relu'], ['dense', { units: last.bias.length }]],
    );
    const flat = new Map([
      ['dense1.weight', first.weight.flat()],
      ['dense1.bias', first.bias],
      ['dense2.weight', last.weight.flat()],
      ['dense2.bias', last.bias],
    ]);
    const model = modelFrom(engine, network, (key) => flat.get(key) as number[]);
    const program = programOf(model);
    const input = ends(box);
    const at = (x: { lo: number; hi: number }) => ({ lo: exact(x.lo), hi: exact(x.hi) });
    const start = Array.from(box.lo.data, (lo, i) => at({ lo, hi: box.hi.data[i]! }));
    const hidden = dense(first, start);
    const found = stepBounds(program.steps[0]!, [input]);
    hidden.forEach((e, i) => {
      expect(isBelow(double(found.lo[i]!), e.lo), `hidden lower ${i}`).toBe(true);
      expect(isBelow(e.hi, double(found.hi[i]!)), `hidden upper ${i}`).toBe(true);
    });
    const rows = [Float64Array.of(1, -1, 0), Float64Array.of(-1, 0, 1)];
    const truth = PAIRS.map(([y, j]) => margin(last, relu(hidden), y, j));
    const points = [...Array(6)].map(() =>
      Array.from(box.lo.data, (lo, i) => (random.real() < 0.5 ? lo : box.hi.data[i]!)),
    );
    for (const method of METHODS) {
      const proof = prove(program, input, rows, method, Number.POSITIVE_INFINITY);
      if (!('lower' in proof)) throw new Error(JSON.stringify(proof));
      if (method.name === 'interval')
        truth.forEach((t, r) => {
          expect(isBelow(double(proof.lower[r]!), t), `margin ${r}`).toBe(true);
        });
      for (const point of points) {
        const ranges = point.map((v) => at({ lo: v, hi: v }));
        const inner = relu(dense(first, ranges));
        const ran = execution(first, point, random).map((v) => Math.max(v, 0));
        const z = execution(last, ran, random);
        for (const [r, [y, j]] of PAIRS.entries()) {
          const lower = double(proof.lower[r]!);
          expect(isBelow(lower, margin(last, inner, y, j)), `exact, row ${r}`).toBe(true);
          expect(isBelow(lower, minus(exact(z[y]!), exact(z[j]!))), `float32, row ${r}`).toBe(true);
        }
      }
    }
    freeModel(model);
  }
});
