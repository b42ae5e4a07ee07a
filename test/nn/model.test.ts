/** Models: drawn weights, given weights, copies; and the initialisers behind them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sequential } from '../../src/nn/graph';
import { initialisers } from '../../src/nn/init';
import {
  createModel,
  freeModel,
  modelFrom,
  nodeParams,
  prunableNames,
  trainableNames,
} from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { bits } from '../helpers/engine';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const network = sequential(
  'net',
  [1, 16, 16],
  [
    ['normalise', { mean: [0.5], std: [0.25] }],
    ['conv2d', { channels: 16, kernel: 5 }],
    ['batch-norm'],
    ['relu'],
    ['flatten'],
    ['dense', { units: 40 }],
  ],
);
const weightsOf = (seed: number, init?: keyof typeof initialisers) => {
  const model = createModel(engine, network, { seed, ...(init ? { init } : {}) });
  const values = new Map([...model.params].map(([name, t]) => [name, t.read()]));
  freeModel(model);
  return values;
};

describe('createModel', () => {
  it('draws the same weights for the same seed and others for another', () => {
    const [a, b, c] = [weightsOf(1), weightsOf(1), weightsOf(2)];
    for (const [name, values] of a) expect(bits(b.get(name)!)).toEqual(bits(values));
    expect(c.get('conv2d1.weight')).not.toEqual(a.get('conv2d1.weight'));
    expect(a.get('conv2d1.weight')!.slice(0, 9)).not.toEqual(a.get('dense1.weight')!.slice(0, 9));
  });

  it('begins constants as their layers say', () => {
    const w = weightsOf(1);
    const constant = (name: string) => [...new Set(w.get(name))];
    expect(['mean', 'std'].map((n) => constant(`normalise1.${n}`))).toEqual([[0.5], [0.25]]);
    expect(['weight', 'bias', 'mean', 'variance'].map((n) => constant(`batch-norm1.${n}`))).toEqual(
      [[1], [0], [0], [1]],
    );
    expect(constant('conv2d1.bias')).toEqual([0]);
  });

  it.each<[keyof typeof initialisers, (fanIn: number) => number]>([
    ['kaiming', (n) => Math.sqrt(2 / n)],
    ['uniform', (n) => Math.sqrt(1 / (3 * n))],
    ['interval', (n) => Math.sqrt(2 * Math.PI) / n],
  ])('%s has the deviation of its paper', (init, deviation) => {
    const w = weightsOf(3, init);
    for (const [name, fanIn] of [
      ['dense1.weight', 16 * 144],
      ['conv2d1.weight', 25],
    ] as const) {
      const values = w.get(name)!;
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const found = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
      const tolerance = 5 / Math.sqrt(values.length);
      expect(Math.abs(found / deviation(fanIn) - 1)).toBeLessThan(tolerance);
      expect(Math.abs(mean) / deviation(fanIn)).toBeLessThan(tolerance);
    }
  });

  it('covers every initialiser, and suggests the nearest name', () => {
    expect(Object.keys(initialisers)).toEqual(['kaiming', 'uniform', 'interval']);
    expect(() => createModel(engine, network, { init: 'kaimin' as never })).toThrow(
      'Did you mean "kaiming"?',
    );
  });
});

describe('models', () => {
  it('know their trainable and prunable tensors', () => {
    const { graph } = createModel(engine, network);
    expect(prunableNames(graph)).toEqual(['conv2d1.weight', 'dense1.weight']);
    expect(trainableNames(graph)).toEqual([
      'conv2d1.weight',
      'conv2d1.bias',
      'batch-norm1.weight',
      'batch-norm1.bias',
      'dense1.weight',
      'dense1.bias',
    ]);
  });

  it('take given weights and check their sizes', () => {
    const small = sequential('small', [2], [['dense', { units: 1 }]]);
    const model = modelFrom(engine, small, (name) => (name === 'dense1.weight' ? [1, 2] : [3]));
    expect([...model.params.get('dense1.weight')!.read()]).toEqual([1, 2]);
    expect(() => modelFrom(engine, small, () => [1])).toThrow(
      'small.dense1.weight: expected 2 weights, got 1.',
    );
    expect(() => nodeParams(model.graph.nodes[0]!, new Map())).toThrow(
      'dense1: expected the parameter weight, got none',
    );
  });

  it('are freed wholly', () => {
    const used = engine.memory.usedBytes;
    const model = createModel(engine, network, { seed: 1 });
    freeModel(model);
    expect(engine.memory.usedBytes).toBe(used);
    expect(() => model.params.get('dense1.weight')!.read()).toThrow('freed');
  });
});
