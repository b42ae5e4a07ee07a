/**
 * Backward linear bounds against points and references: whatever the float32 network and its float64
 * reference compute from a point of the set stays above every lower bound; for every layer, random
 * graphs, wild weights, every choice of slopes and of hidden bounds, and every norm.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ALPHA, type AlphaOptions, optimisedBounds } from '../../src/bounds/alpha';
import { hiddenBounds, type LinearOptions, lowerBounds } from '../../src/bounds/linear';
import { linearMargins, marginRows } from '../../src/bounds/margins';
import { SLOPES } from '../../src/bounds/relaxations';
import { inputSet, NORMS } from '../../src/domain/balls';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { mul, sum } from '../../src/tensor/ops/core';
import { gradients } from '../../src/tensor/tape';
import { input, step } from '../../src/tensor/tensor';
import { boxAround, pointsIn } from '../helpers/boxes';
import { binaries } from '../helpers/engine';
import { dot, type Nd, nd, sizeOf } from '../helpers/nd';
import {
  graphs,
  LAYER_CASES,
  modelOf,
  networkOf,
  randomWeights,
  titleOf,
} from '../helpers/networks';
import { type Sampler, sampler } from '../helpers/random';
import { type BoxNd, evaluate, type Weights } from '../helpers/reference-network';

const HIDDEN = ['interval', 'unstable', 'all'] as const;
const CHOICES = HIDDEN.flatMap((hidden) => SLOPES.map((slopes) => ({ hidden, slopes })));
const WIDTHS = [0, 1e-7, 1e-3, 0.5, 100];

/** Weights of sizes 10^-size to 10^size. */
function wildWeights(network: Network, random: Sampler, size: number): Weights {
  return new Map(
    [...randomWeights(compile(network), random)].map(([name, w]): [string, Nd] => [
      name,
      /\.(variance|std)$/.test(name) ? w : random.spread(w.shape, -size, size),
    ]),
  );
}

/** The weights of a model in float64. */
const own = ({ params }: Model): Weights =>
  new Map([...params].map(([name, t]) => [name, nd(t.shape, t.read())]));

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());
  let claims = 0;

  /** Three functions of the output of every sample, bounded, against points of the box. */
  function check(model: Model, box: BoxNd, random: Sampler, options: LinearOptions): void {
    const { graph, params } = model;
    const [n, k] = [box.lo.shape[0]!, sizeOf(graph.output)];
    const at = Int32Array.from({ length: 3 * n }, (_, r) => Math.floor(r / 3));
    const rows = random.array([3 * n, k]);
    const x = pointsIn(box, 6, random);
    const { data } = evaluate(graph, own(model), x);
    step(engine, () => {
      const tensor = ({ shape, data }: Nd) => input(engine, data, shape);
      const set = { box: { lo: tensor(box.lo), hi: tensor(box.hi) } };
      const scene = hiddenBounds(model, set, options);
      const values = input(engine, rows.data, [3 * n, ...graph.output]);
      const found = lowerBounds(scene, { sample: at, values }).read();
      const z = propagate(graph, params, value, tensor(x)).read();
      found.forEach((bound, r) => {
        // NaN claims nothing; only values that may overflow somewhere excuse it.
        if (Number.isNaN(bound) && data.some((v) => !(Math.abs(v) < 1e20))) return;
        claims++;
        const f = [...rows.data.subarray(r * k, (r + 1) * k)].map(Math.fround);
        for (let i = at[r]!; i < 6 * n; i += n)
          for (const outputs of [z, data]) {
            const got = dot(f, outputs.subarray(i * k, (i + 1) * k));
            const size = dot(
              f.map(Math.abs),
              [...outputs.subarray(i * k, (i + 1) * k)].map(Math.abs),
            );
            // 1e-13: what the float64 of this test may be off.
            if (!(got + 1e-13 * size >= bound))
              expect.fail(`row ${r}: ${got} is below ${bound}, ${JSON.stringify(options)}`);
          }
      });
    });
  }

  it.each(LAYER_CASES.map((c) => [titleOf(c), c] as const))('%s', (_, layerCase) => {
    const network = networkOf(layerCase);
    const random = sampler(61);
    const shape = [2, ...layerCase.input];
    WIDTHS.forEach((width, i) => {
      for (const weights of [
        randomWeights(compile(network), random),
        wildWeights(network, random, 8),
      ])
        for (const centre of [random.array(shape, -2, 2), random.spread(shape, -8, 8)]) {
          const given = modelOf(engine, network, weights);
          const model = layerCase.kind === 'dropout' ? given : lower(given);
          const { hidden, slopes } = CHOICES[(i * 5 + 3) % CHOICES.length]!;
          check(model, boxAround(centre, width), random, { sound: true, hidden, slopes });
          if (model !== given) freeModel(model);
          freeModel(given);
        }
    });
  });

  it('random graphs, every choice of slopes and hidden bounds', () => {
    const settings = fc.record({
      graph: graphs,
      width: fc.constantFrom(...WIDTHS, 0.05),
      size: fc.constantFrom(0, 0, 1, 3),
      choice: fc.constantFrom(...CHOICES),
      chunk: fc.constantFrom(1, 4096, 2 ** 22),
    });
    claims = 0;
    fc.assert(
      fc.property(settings, ({ graph: { network, seed }, width, size, choice, chunk }) => {
        const random = sampler(seed);
        const weights =
          size > 0 ? wildWeights(network, random, size) : randomWeights(compile(network), random);
        const given = modelOf(engine, network, weights);
        const model = lower(given);
        const box = boxAround(random.array([2, ...network.input]), width);
        check(model, box, random, { sound: true, ...choice, chunk });
        freeModel(model);
        freeModel(given);
      }),
      { numRuns: 80 },
    );
    expect(claims).toBeGreaterThan(300);
  });

  it('L1 and L2 balls, their boundary included, cut to [0, 1] or not', () => {
    const network = sequential(
      'n',
      [1, 5, 5],
      [
        ['conv2d', { channels: 3, kernel: 3, padding: 1 }],
        ['relu'],
        ['flatten'],
        ['dense', { units: 4 }],
      ],
    );
    const random = sampler(63);
    for (let round = 0; round < 20; round++) {
      const model = modelOf(engine, network, randomWeights(compile(network), random));
      const centre = random.array([1, 1, 5, 5], 0, 1);
      const eps = [0.01, 0.3, 2][round % 3]!;
      for (const norm of NORMS)
        for (const range of [[0, 1] as const, null]) {
          const margins = step(engine, () => {
            const x = input(engine, centre.data, centre.shape);
            const set = inputSet(x, eps, { norm, range, sound: true });
            return linearMargins(hiddenBounds(model, set, { sound: true }), [1]).read();
          });
          const points = Array.from({ length: 60 }, () =>
            onBall(centre, eps * 0.999999, norm, range, random),
          );
          const z = evaluate(model.graph, own(model), nd([60, 1, 5, 5], points.flat())).data;
          for (let i = 0; i < 60; i++)
            for (const j of [0, 2, 3])
              expect(z[4 * i + 1]! - z[4 * i + j]!, `${norm} ${eps}`).toBeGreaterThanOrEqual(
                margins[j]!,
              );
        }
      freeModel(model);
    }
  });

  it('optimised slopes: no looser than CROWN, and below every point', () => {
    const random = sampler(64);
    const network = sequential(
      'n',
      [6],
      [
        ['dense', { units: 12 }],
        ['relu'],
        ['dense', { units: 12 }],
        ['leaky-relu', { slope: 0.1 }],
        ['dense', { units: 3 }],
      ],
    );
    for (let round = 0; round < 6; round++) {
      const model = modelOf(engine, network, randomWeights(compile(network), random));
      const box = boxAround(random.array([2, 6]), 0.3);
      const [crown, best, joint] = step(engine, () => {
        const tensor = ({ shape, data }: Nd) => input(engine, data, shape);
        const set = { box: { lo: tensor(box.lo), hi: tensor(box.hi) } };
        const scene = { ...hiddenBounds(model, set, { sound: true }), chunk: null };
        const rows = marginRows(scene, [0, 1]);
        const run = (hidden: boolean) =>
          optimisedBounds(scene, rows, { ...ALPHA, hidden, enough: false });
        return [lowerBounds(scene, rows).read(), run(false), run(true)] as const;
      });
      const z = evaluate(model.graph, own(model), pointsIn(box, 200, random)).data;
      crown.forEach((bound, r) => {
        const [i, j] = [r >> 1, [1, 2, 0, 2][r]!];
        expect(best[r]!).toBeGreaterThanOrEqual(bound);
        for (let p = i; p < 400; p += 2)
          for (const claim of [best[r]!, joint[r]!])
            expect(z[3 * p + i]! - z[3 * p + j]!).toBeGreaterThanOrEqual(claim);
      });
      expect(best.some((b, r) => b > crown[r]! + 1e-4)).toBe(true);
      expect(joint.reduce((a, b) => a + b)).toBeGreaterThan(best.reduce((a, b) => a + b));
      freeModel(model);
    }
  });

  it('optimised slopes: deterministic, in runs of any size, and no longer than there is a gain', () => {
    const random = sampler(65);
    const network = sequential(
      'n',
      [6],
      [
        ['dense', { units: 12 }],
        ['relu'],
        ['dense', { units: 9 }],
        ['relu'],
        ['dense', { units: 4 }],
      ],
    );
    const model = modelOf(engine, network, randomWeights(compile(network), random));
    const centre = random.array([3, 6]);
    const climb = (width: number, options: Partial<AlphaOptions>) => {
      const run = vi.spyOn(engine, 'run');
      const bounds = step(engine, () => {
        const box = boxAround(centre, width);
        const [lo, hi] = [box.lo, box.hi].map((t) => input(engine, t.data, t.shape));
        const set = { box: { lo: lo!, hi: hi! } };
        const scene = { ...hiddenBounds(model, set, { sound: true }), chunk: null };
        const rows = marginRows(scene, [0, 1, 2]);
        return optimisedBounds(scene, rows, { ...ALPHA, steps: 300, ...options });
      });
      const { length } = run.mock.calls.filter(([name]) => name === 'adam');
      run.mockRestore();
      return { bounds, updates: length };
    };
    for (const hidden of [false, true]) {
      const first = climb(0.3, { enough: false, hidden });
      expect(climb(0.3, { enough: false, hidden })).toEqual(first);
      // Flat long before its steps are used up; two nodes have slopes, and with `hidden` one of them twice.
      expect(first.updates).toBeGreaterThan(5);
      expect(first.updates).toBeLessThan(3 * 290);
      const one = climb(0.3, { enough: false, hidden, steps: 1 });
      expect(one.updates).toBe(0);
      first.bounds.forEach((bound, r) => void expect(bound).toBeGreaterThanOrEqual(one.bounds[r]!));
      expect(first.bounds.some((bound, r) => bound > one.bounds[r]!)).toBe(true);
    }
    // Rows do not know of each other, but for when a run ends.
    const together = climb(0.3, { enough: false, steps: 10 });
    const apart = climb(0.3, { enough: false, steps: 10, memory: 1 });
    expect(apart.bounds).toEqual(together.bounds);
    expect(apart.updates).toBeGreaterThan(3 * together.updates);
    freeModel(model);
  });

  it('optimised slopes: stop where all rows are certified', () => {
    const network = sequential(
      'n',
      [2],
      [['dense', { units: 3 }], ['relu'], ['dense', { units: 2 }]],
    );
    const values: Record<string, number[]> = {
      'dense1.weight': [1, 1, 1, -1, -1, 1],
      'dense1.bias': [0, 0, 0],
      'dense2.weight': [1, 1, 1, 0, 0, 0],
      'dense2.bias': [2, 0],
    };
    const model = modelFrom(engine, network, (name) => values[name]!);
    const run = vi.spyOn(engine, 'run');
    const of = (enough: boolean): { bound: number; updates: number } => {
      run.mockClear();
      const [bound] = step(engine, () => {
        const [lo, hi] = [-1, 1].map((end) => input(engine, [end, end], [1, 2]));
        const scene = hiddenBounds(model, { box: { lo: lo!, hi: hi! } }, { sound: true });
        const rows = marginRows(scene, [0]);
        return optimisedBounds({ ...scene, chunk: null }, rows, { ...ALPHA, enough });
      });
      return { bound: bound!, updates: run.mock.calls.filter(([name]) => name === 'adam').length };
    };
    const [stopped, full] = [of(true), of(false)];
    run.mockRestore();
    expect(stopped.bound).toBeGreaterThan(0);
    expect(stopped.updates).toBeLessThan(full.updates);
    expect(full.bound).toBeGreaterThanOrEqual(stopped.bound);
    freeModel(model);
  });
});

/** A point at the end of the ball, in a random direction. */
function onBall(
  { data }: Nd,
  eps: number,
  norm: (typeof NORMS)[number],
  range: readonly [number, number] | null,
  random: Sampler,
): number[] {
  const few = random.real() < 0.5;
  const way = Array.from(data, () => (few && random.real() < 0.9 ? 0 : random.real(-1, 1)));
  way[0]! += 1e-3;
  const sizes = way.map(Math.abs);
  const length =
    norm === 'linf'
      ? Math.max(...sizes)
      : norm === 'l2'
        ? Math.hypot(...way)
        : sizes.reduce((a, b) => a + b);
  return way.map((w, i) => {
    const x = data[i]! + (w * eps) / length;
    return range ? Math.min(Math.max(x, range[0]), range[1]) : x;
  });
}

describe('gradients', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(['relu', 'leaky-relu', 'tanh', 'sigmoid'])('%s: of differences', (activation) => {
    const random = sampler(65);
    const network = sequential(
      'n',
      [1, 4, 4],
      [
        ['conv2d', { channels: 2, kernel: 3, stride: 2, padding: 1 }],
        [activation],
        ['flatten'],
        ['dense', { units: 5 }],
        [activation],
        ['dense', { units: 3 }],
      ],
    );
    const weights = randomWeights(compile(network), random);
    const model = modelOf(engine, network, weights);
    const x = random.array([2, 1, 4, 4], 0.2, 0.8);
    const factor = random.array([2, 3], 0.5, 1.5);
    const [names, options] = [
      [...weights.keys()],
      { sound: false, hidden: 'interval', chunk: null } as const,
    ];
    const lossOf = () => {
      const set = inputSet(input(engine, x.data, x.shape), 0.1, { sound: false });
      const margins = linearMargins(hiddenBounds(model, set, options), [2, 0]);
      return { loss: sum(mul(margins, input(engine, factor.data, factor.shape))) };
    };
    const found = step(engine, () => {
      const wanted = names.map((name) => model.params.get(name)!);
      return gradients(engine, wanted, lossOf).gradients.map((g) => g.read());
    });
    // Central differences of the float32 loss: good to three digits.
    names.forEach((name, which) => {
      const t = model.params.get(name)!;
      const values = t.read();
      for (const i of [0, Math.floor(values.length / 2), values.length - 1]) {
        const at = (h: number): number => {
          t.write(values.map((v, p) => (p === i ? v + h : v)));
          const loss = step(engine, () => lossOf().loss.read()[0]!);
          t.write(values);
          return loss;
        };
        const h = 2 ** -9;
        const want = (at(h) - at(-h)) / (2 * h);
        expect(Math.abs(found[which]![i]! - want), `${name} ${i}: ${want}`).toBeLessThan(
          0.02 * (1 + Math.abs(want)),
        );
      }
    });
    freeModel(model);
  });
});
