/** Layers that depend on the batch while training: batch norm and dropout. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPass, propagate } from '../../src/domain/domain';
import { interval } from '../../src/domain/interval';
import { value } from '../../src/domain/value';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { type Engine, load } from '../../src/runtime/engine';
import { mul, sum } from '../../src/tensor/ops/core';
import type { RandomKey } from '../../src/tensor/ops/random';
import { gradients } from '../../src/tensor/tape';
import { input, step } from '../../src/tensor/tensor';
import { expectClose } from '../helpers/close';
import { dot, map, type Nd, nd, numericGradients } from '../helpers/nd';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';
import { channelMoments } from '../helpers/reference';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const key: RandomKey = { seed: 3, stream: 5 };

describe.each([[[3, 4, 2]], [[5]]])('batch-norm on %j', (shape) => {
  const momentum = 0.25;
  const network = sequential('norm', shape, [['batch-norm', { momentum, epsilon: 0.01 }]]);
  const random = sampler(41);
  const weights = randomWeights(compile(network), random);
  const x = random.array([7, ...shape], -2, 3);
  const get = (name: string): Nd => weights.get(`batch-norm1.${name}`)!;
  const perChannel = (v: Nd): Nd => nd([v.shape[0]!, ...shape.slice(1).map(() => 1)], v.data);

  /** From its definition: the batch's own statistics. */
  const reference = (at: Nd, weight: Nd, bias: Nd): Nd => {
    const { mean, variance } = channelMoments(at);
    const [m, v, w, b] = [mean, variance, weight, bias].map(perChannel);
    return map((a, p, q, r, s) => ((a! - p!) / Math.sqrt(q! + 0.01)) * r! + s!, at, m!, v!, w!, b!);
  };

  it('normalises by the statistics of the batch and notes new running ones', () => {
    const model = modelOf(engine, network, weights);
    const { y, updates } = step(engine, () => {
      const pass = newPass({ key });
      const out = propagate(model.graph, model.params, value, input(engine, x.data, x.shape), {
        pass,
      });
      return {
        y: out.read(),
        updates: new Map([...pass.updates].map(([name, t]) => [name, t.read()])),
      };
    });
    expectClose(y, reference(x, get('weight'), get('bias')).data, { rel: 1e-6 });
    const { mean, variance, count } = channelMoments(x);
    const blend = (old: Nd, now: Nd, factor: number) =>
      map((a, b) => (1 - momentum) * a! + momentum * factor * b!, old, now).data;
    expect([...updates.keys()].sort()).toEqual(['batch-norm1.mean', 'batch-norm1.variance']);
    expectClose(updates.get('batch-norm1.mean')!, blend(get('mean'), mean, 1));
    expectClose(
      updates.get('batch-norm1.variance')!,
      blend(get('variance'), variance, count / (count - 1)),
    );
    // The stored statistics are not touched: that is for after the step.
    expectClose(model.params.get('batch-norm1.mean')!.read(), get('mean').data, { rel: 0, abs: 0 });
  });

  it('has gradients that go through the statistics', () => {
    const factor = random.array(x.shape, -1, 1);
    const model = modelOf(engine, network, weights);
    const found = step(engine, () => {
      const at = input(engine, x.data, x.shape);
      const wanted = [at, ...['weight', 'bias'].map((n) => model.params.get(`batch-norm1.${n}`)!)];
      return gradients(engine, wanted, () => {
        const y = propagate(model.graph, model.params, value, at, { pass: newPass({ key }) });
        return { loss: sum(mul(y, input(engine, factor.data, factor.shape))) };
      }).gradients.map((g) => g.read());
    });
    const expected = numericGradients(
      ([at, w, b]) => dot(reference(at!, w!, b!).data, factor.data),
      [x, get('weight'), get('bias')],
    );
    found.forEach((g, i) => void expectClose(g, expected[i]!.data, { rel: 1e-5, abs: 1e-6 }));
  });

  it('gives other domains the statistics of the value pass', () => {
    const model = modelOf(engine, network, weights);
    step(engine, () => {
      const pass = newPass({ key });
      const at = input(engine, x.data, x.shape);
      const y = propagate(model.graph, model.params, value, at, { pass });
      const point = { lo: at, hi: at };
      const box = propagate(model.graph, model.params, interval({ sound: false }), point, { pass });
      expectClose(box.lo.read(), y.read(), { rel: 1e-6 });
      expectClose(box.hi.read(), y.read(), { rel: 1e-6 });
      expect(pass.updates.size).toBe(2);
    });
  });
});

it('batch-norm bears a batch of one flat sample', () => {
  const network = sequential('norm', [3], [['batch-norm']]);
  const model = modelOf(engine, network, randomWeights(compile(network), sampler(1)));
  step(engine, () => {
    const pass = newPass({ key });
    const y = propagate(model.graph, model.params, value, input(engine, [1, 2, 3], [1, 3]), {
      pass,
    });
    expect([...y.read()].every(Number.isFinite)).toBe(true);
    for (const t of pass.updates.values()) expect([...t.read()].every(Number.isFinite)).toBe(true);
  });
});

describe('dropout', () => {
  const network: Network = sequential(
    'drop',
    [1000],
    [
      ['dropout', { rate: 0.25 }],
      ['dropout', { rate: 0.25 }],
    ],
  );
  /** Output for a batch of ones (row i named index[i]), and what each layer kept. */
  function run(of: Network, rows: number, training?: RandomKey): Float32Array {
    const model = modelOf(engine, of, new Map());
    const [size] = of.input as [number];
    return step(engine, () => {
      const ones = input(engine, new Float32Array(rows * size).fill(1), [rows, size]);
      const pass = newPass(training && { key: training });
      return propagate(model.graph, model.params, value, ones, { pass }).read();
    });
  }
  const single = sequential('drop', [1000], [['dropout', { rate: 0.25 }]]);

  it('is the identity outside of training and at rate 0', () => {
    expect(run(network, 2).every((v) => v === 1)).toBe(true);
    const none = sequential('drop', [9], [['dropout', { rate: 0 }]]);
    expect(run(none, 2, key).every((v) => v === 1)).toBe(true);
  });

  it('drops at its rate and scales the rest', () => {
    const y = run(single, 20, key);
    const kept = y.filter((v) => v !== 0);
    expect(kept.every((v) => v === Math.fround(1 / 0.75))).toBe(true);
    expect(kept.length / y.length).toBeCloseTo(0.75, 1);
    expect(Math.abs(kept.length / y.length - 0.75)).toBeLessThan(0.015);
  });

  it('depends on the key, the row and the node only', () => {
    const rows = run(single, 4, { ...key, index: [10, 11, 12, 13] });
    expect(run(single, 4, { ...key, index: [10, 11, 12, 13] })).toEqual(rows);
    expect(run(single, 1, { ...key, index: [12] })).toEqual(rows.slice(2000, 3000));
    expect(run(single, 4, { ...key, seed: 4, index: [10, 11, 12, 13] })).not.toEqual(rows);
    // Two dropouts of one network draw apart: together they keep 0.75^2.
    const both = run(network, 20, key).filter((v) => v !== 0).length / 20_000;
    expect(Math.abs(both - 0.5625)).toBeLessThan(0.015);
  });

  it('drops the same values in every domain of a pass', () => {
    const model = modelOf(engine, single, new Map());
    step(engine, () => {
      const pass = newPass({ key });
      const ones = input(engine, new Float32Array(2000).fill(1), [2, 1000]);
      const y = propagate(model.graph, model.params, value, ones, { pass }).read();
      const half = input(engine, new Float32Array(2000).fill(0.5), [2, 1000]);
      const box = propagate(
        model.graph,
        model.params,
        interval({ sound: false }),
        { lo: half, hi: ones },
        { pass },
      );
      expectClose(box.hi.read(), y);
      expectClose(
        box.lo.read(),
        y.map((v) => v / 2),
      );
    });
  });
});
