/** Parts of certified objectives: schedules, samples of a batch, terms, and what picks checkpoints. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lowerBounds } from '../../src/bounds/linear';
import { marginRows } from '../../src/bounds/margins';
import { exact, hybrid } from '../../src/bounds/zonotope';
import { newPass, propagate } from '../../src/domain/domain';
import { ball } from '../../src/domain/interval';
import { value } from '../../src/domain/value';
import type { Network } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { add } from '../../src/tensor/ops/core';
import { clamp } from '../../src/tensor/ops/elementwise';
import { uniform } from '../../src/tensor/ops/random';
import { filled, input, item, step } from '../../src/tensor/tensor';
import { radiusAt, smoothTo } from '../../src/train/certified/difficulty';
import type { RobustContext } from '../../src/train/certified/family';
import { byZonotopes } from '../../src/train/certified/forward';
import { boundedBatch } from '../../src/train/certified/linear';
import { byIntervals, someSamples } from '../../src/train/certified/parts';
import { withTerms } from '../../src/train/certified/terms';
import { dual } from '../../src/train/objectives/dual';
import { ibp } from '../../src/train/objectives/ibp';
import { mixtrain } from '../../src/train/objectives/mixtrain';
import { batchFrom, range, TOY_NETWORK, toySet, trainedToy } from './toy';

let engine: Engine;
const set = await toySet();
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const N = 9;

/** A batch in training, its clean values computed. */
function contextOf(model: Model, radius: number): RobustContext {
  const { images, labels, index } = batchFrom(set, set.train, range(20, 20 + N));
  const x = input(engine, images, [N, ...model.graph.network.input]);
  const pass = newPass({ key: { seed: 4, stream: 5, index } });
  const clean = propagate(model.graph, model.params, value, x, { pass });
  const when = { seed: 4, epoch: 1, epochs: 2, ramp: false };
  return {
    ...{ model, x, labels, index, pass, clean, radius },
    ...{ ...when, share: 1, watch: true },
  };
}

describe('the radius', () => {
  const o = { eps: 0.1, factor: 1.5, rampStart: 0.1, rampEnd: 0.6 };
  it.each(['linear', 'smooth'] as const)('%s: grows from 0 to its end, never back', (ramp) => {
    const at = (epoch: number) => radiusAt({ epoch, epochs: 10, ramp: true }, { ...o, ramp });
    const radii = range(0, 101).map((t) => at(t / 10).radius);
    expect(radii[0]).toBe(0);
    expect(radii[10]).toBe(0);
    expect(radii[11]).toBeGreaterThan(0);
    expect(radii[59]).toBeLessThan(0.15);
    expect(radii[60]).toBeCloseTo(0.15, 12);
    for (const [i, r] of radii.slice(1).entries()) expect(r).toBeGreaterThanOrEqual(radii[i]!);
    expect(at(3.5).share).toBeCloseTo(at(3.5).radius / 0.15, 12);
    expect(radiusAt({ epoch: 0, epochs: 10, ramp: false }, { ...o, ramp }).radius).toBeCloseTo(
      0.15,
    );
  });

  it('smooth: a fourth power, then a line without a bend', () => {
    expect(smoothTo(1, 0.2, 0, 1) / smoothTo(1, 0.1, 0, 1)).toBeCloseTo(16, 10);
    const slope = (t: number): number =>
      (smoothTo(1, t + 1e-6, 0, 1) - smoothTo(1, t, 0, 1)) / 1e-6;
    expect(slope(0.25 - 1e-6)).toBeCloseTo(slope(0.25), 3);
    expect(slope(0.3)).toBeCloseTo(slope(0.9), 6);
    expect(smoothTo(1, 1, 0, 1)).toBe(1);
  });
});

describe('samples of a batch', () => {
  it('have the statistics of their batch and masks of their own', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    step(engine, () => {
      const context = contextOf(model, 0.1);
      const part = someSamples(context, 4);
      expect(part.labels).toHaveLength(4);
      expect(new Set(part.index).size).toBe(4);
      const { graph, params } = model;
      const again = propagate(graph, params, value, part.x, { pass: part.pass }).read();
      expect([...again]).toEqual([...part.clean.read()]);
      const places = [...part.index].map((i) => context.index.indexOf(i));
      const clean = context.clean.read();
      places.forEach((place, i) => {
        expect(part.labels[i]).toBe(context.labels[place]);
        expect([...again.subarray(4 * i, 4 * i + 4)]).toEqual([
          ...clean.subarray(4 * place, 4 * place + 4),
        ]);
      });
      expect(someSamples(context, N)).toBe(context);
      expect(someSamples(context, null)).toBe(context);
    });
    freeModel(model);
  });

  it('have bounds that hold in training, dropout and batch norm and all', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    step(engine, () => {
      const part = someSamples(contextOf(model, 0.06), 5);
      const { graph, params } = model;
      const { x, labels, pass, radius } = part;
      const linear = (['interval', 'unstable', 'all'] as const).map((hidden) => {
        const bounded = boundedBatch(part, { hidden, slopes: 'parallel' });
        const rows = lowerBounds(bounded, marginRows(bounded, labels)).read();
        return Array.from(labels, (label, i) =>
          [...rows.subarray(3 * i, 3 * i + 3)].toSpliced(label, 0, 0),
        );
      });
      const table = (margins: Float32Array): number[][] =>
        range(0, 5).map((i) => [...margins.subarray(4 * i, 4 * i + 4)]);
      const forward = [exact, hybrid].map((errors) =>
        table(byZonotopes(part, errors).margins.read()),
      );
      const intervals = table(byIntervals(part, ball(x, radius, { sound: false })).margins.read());
      for (let draw = 0; draw < 20; draw++) {
        const noise = uniform(engine, x.shape, { seed: draw, stream: 3 }, -radius, radius);
        const z = propagate(graph, params, value, clamp(add(x, noise), 0, 1), { pass }).read();
        for (const bounds of [...linear, ...forward, intervals])
          bounds.forEach((margins, i) => {
            margins.forEach((margin, j) => {
              const real = z[4 * i + labels[i]!]! - z[4 * i + j]!;
              expect(margin).toBeLessThanOrEqual(real + 1e-4);
            });
          });
      }
      // The exact zonotope is the dual bound.
      for (const [i, margins] of forward[0]!.entries())
        for (const [j, margin] of margins.entries())
          expect(margin).toBeCloseTo(linear[2]![i]![j]!, 3);
    });
    freeModel(model);
  });
});

describe('terms', () => {
  const NONE = {
    ...{ regularise: 0, tau: 0.5, stability: 0, normalisedStability: 0, l1: 0, lastLayer: 0 },
  };

  it('divide by the squared gains of the layer in front', () => {
    const network: Network = {
      name: 'gains',
      input: [3],
      nodes: [
        { name: 'norm', layer: 'batch-norm' },
        { name: 'act', layer: 'relu' },
        { name: 'act2', layer: 'relu' },
      ],
    };
    const model = createModel(engine, network);
    model.params.get('norm.weight')!.write(Float32Array.of(0.5, 1, 2));
    const context = step(engine, () => {
      const box = {
        lo: input(engine, [-1, -0.5, 0.25, -2, 0.1, -0.3], [2, 3]),
        hi: input(engine, [1, 2, 0.5, -1, 0.4, 0.2], [2, 3]),
      };
      const hidden = model.graph.nodes.slice(1).map((node) => ({ node, box }));
      const zero = filled(engine, [], 0);
      const at = { model, first: box, hidden, share: 1 };
      return item(withTerms(zero, at, { ...NONE, normalisedStability: 2 }));
    });
    const products = [-1, -1, 0.125, 2, 0.04, -0.06];
    const gains = [0.5, 1, 2, 0.5, 1, 2];
    const each = [
      ...products.map((p, i) => -Math.tanh(1 + p / gains[i]! ** 2)),
      ...products.map((p) => -Math.tanh(1 + p)),
    ];
    expect(context).toBeCloseTo((2 * each.reduce((a, b) => a + b)) / 12, 5);
    freeModel(model);
  });

  it('of weights are there at radius 0 too, others are not', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    const lossOf = (options: object): number =>
      step(engine, () => {
        const context = { ...contextOf(model, 0), epoch: 0, epochs: 10, ramp: true };
        return item(ibp.loss(context, { ...ibp(), ...options } as never).loss);
      });
    const norm = ['conv.weight', 'conv2.weight', 'fc.weight']
      .flatMap((name) => [...model.params.get(name)!.read()])
      .reduce((sum, w) => sum + Math.abs(w), 0);
    expect(lossOf({ l1: 0.01 }) - lossOf({})).toBeCloseTo(0.01 * norm, 4);
    expect(lossOf({ stability: 1, normalisedStability: 1 })).toBe(lossOf({}));
    freeModel(model);
  });
});

describe('mixtrain', () => {
  it('gives its bounds a weight that grows once the radius is full', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    const kappaAt = (epoch: number, ramp = true): number =>
      step(engine, () => {
        const context = { ...contextOf(model, 0), epoch, epochs: 40, ramp };
        const options = { rampStart: 0, rampEnd: 0.25, share: 1 };
        return mixtrain.loss(context, options).metrics.kappa as number;
      });
    const weights = [5, 14.9, 15, 20, 39].map((epoch) => 1 / kappaAt(epoch) - 1);
    const wanted = [0.1, 0.1, 0.25, 0.625, 0.1 * 2.5 ** 5];
    for (const [i, weight] of weights.entries()) expect(weight).toBeCloseTo(wanted[i]!, 9);
    expect(1 / kappaAt(0, false) - 1).toBeCloseTo(50, 9);
    freeModel(model);
  });

  it('bounds some in about its share of the batches', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    const drawn = range(0, 100).filter((epoch) =>
      step(engine, () => {
        const context = { ...contextOf(model, 0), epoch, epochs: 100, ramp: false };
        return mixtrain.loss(context, { share: 0.3 }).metrics.kappa !== 1;
      }),
    );
    expect(drawn.length).toBeGreaterThan(15);
    expect(drawn.length).toBeLessThan(45);
    freeModel(model);
  });
});

describe('what picks checkpoints', () => {
  it('linear bounds prove no less than intervals, and no more than an attack leaves', () => {
    const model = lower(trainedToy(engine, set, { objective: dual }));
    const held = { model, seed: 1, ...batchFrom(set, set.test, range(0, 40)) };
    const counts = (['interval', 'linear', 'attack'] as const).map((judge) =>
      dual.robust(held, { eps: 0.15, judge }),
    );
    const [intervals, linear, attack] = counts as [Uint8Array, Uint8Array, Uint8Array];
    intervals.forEach((one, i) => {
      expect(one).toBeLessThanOrEqual(linear[i]!);
      expect(linear[i]!).toBeLessThanOrEqual(attack[i]!);
    });
    const total = (all: Uint8Array): number => all.reduce((a, b) => a + b, 0);
    expect(total(linear)).toBeGreaterThan(total(intervals));
    freeModel(model);
  });
});
