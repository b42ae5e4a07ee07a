/** The canonical form computes what the network computes, and is made of fewer kinds of layer. */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { leastMargins } from '../../src/domain/margins';
import { value } from '../../src/domain/value';
import { compile, type Network, type NodeSpec, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model, modelFrom } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { expectClose } from '../helpers/close';
import { bits } from '../helpers/engine';
import { graphs, modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const output = ({ graph, params }: Model, x: ArrayLike<number>): Float32Array =>
  step(engine, () => {
    const shape = graph.network.input;
    const size = shape.reduce((a, b) => a * b, 1);
    return propagate(graph, params, value, input(engine, x, [x.length / size, ...shape])).read();
  });

/** Lowers a random model of the network, compares, and returns the kinds that are left. */
function check(network: Network, seed = 1): string[] {
  const random = sampler(seed);
  const model = modelOf(engine, network, randomWeights(compile(network), random));
  const before = new Map([...model.params].map(([name, t]) => [name, bits(t.read())]));
  engine.arena.trim();
  const used = engine.memory.usedBytes;
  const canonical = lower(model);
  const x = random.array([3, ...network.input]).data;
  expectClose(output(canonical, x), output(model, x), { rel: 1e-4, abs: 1e-5 });
  for (const [name, t] of model.params) expect(bits(t.read())).toEqual(before.get(name));
  expect(model.graph.network).toEqual(network);
  const kinds = canonical.graph.nodes.map((n) => n.kind);
  for (const gone of ['batch-norm', 'dropout', 'normalise']) expect(kinds).not.toContain(gone);
  freeModel(canonical);
  engine.arena.trim();
  expect(engine.memory.usedBytes).toBe(used);
  freeModel(model);
  return kinds;
}

const node = (name: string, layer: string, inputs?: string[], options = {}): NodeSpec => ({
  name,
  layer,
  options,
  ...(inputs ? { inputs } : {}),
});

describe('lower', () => {
  it('folds norms into the layer before them', () => {
    const network = sequential(
      'n',
      [2, 6, 6],
      [
        ['normalise', { mean: [0.3, 0.4], std: [0.5, 0.6] }],
        ['conv2d', { channels: 3, kernel: 3, padding: 1, bias: false }],
        ['batch-norm'],
        ['dropout'],
        ['relu'],
        ['flatten'],
        ['dense', { units: 5, bias: false }],
        ['dropout', { rate: 0.1 }],
        ['batch-norm'],
        ['scale'],
        ['tanh'],
        ['batch-norm'],
        ['dense', { units: 2 }],
      ],
    );
    expect(check(network)).toEqual([
      ...['scale', 'conv2d', 'relu', 'flatten'],
      // One scale and shift is folded, and counted, a product.
      ...['dense', 'scale', 'tanh', 'scale', 'dense'],
    ]);
  });

  /** Kinds that are left of dense and scale of one unit. */
  const folded = (weight: number[], bias: number, scale: number, shift: number): string[] => {
    const network = sequential('n', [weight.length], [['dense', { units: 1 }], ['scale']]);
    const values: Record<string, number[]> = {
      'dense1.weight': weight,
      'dense1.bias': [bias],
      'scale1.scale': [scale],
      'scale1.shift': [shift],
    };
    const model = modelFrom(engine, network, (name) => values[name]!);
    const canonical = lower(model);
    const kinds = canonical.graph.nodes.map((n) => n.kind);
    const twice = lower(canonical);
    expect(twice.graph.nodes.map((n) => n.kind)).toEqual(kinds);
    for (const each of [model, canonical, twice]) freeModel(each);
    return kinds;
  };

  it.each([
    ['no bias', [1, -2], 0, 3, 4, true],
    ['no shift', [1, -2], 5, -3, 0, true],
    ['bias and shift of one sign', [1, -2], 1e6, 0.5, 1, true],
    ['bias and shift of one sign after a negative scale', [1, -2], -1e6, -0.5, 1, true],
    ['a large bias that the shift takes back', [1, -2], 1e6, 1, -1e6, false],
    ['a bias and a shift that cancel a little', [1, -2], 1, 1, -0.01, false],
    ['a scale of 0', [1, -2], 0, 0, 1, false],
    ['a scale that hides an overflow', [1, -2], 0, 2 ** -25, 1, false],
    ['a weight that would become denormal', [1, 2 ** -120], 0, 2 ** -10, 1, false],
    ['a weight that would become too large', [1, 2 ** 90], 0, 2 ** 20, 1, false],
    ['a scale that is no number', [1, -2], 0, Number.NaN, 1, false],
    ['a shift that is infinite', [1, -2], 0, 1, Infinity, false],
    ['zeros', [0, 0], 0, 2, 0, true],
  ] as const)('folds where it counts what that rounds: %s', (_, w, bias, scale, shift, yes) => {
    expect(folded([...w], bias, scale, shift)).toEqual(yes ? ['dense'] : ['dense', 'scale']);
  });

  it('keeps what a batch norm behind a large bias rounds away', () => {
    const network = sequential('n', [1], [['dense', { units: 2 }], ['scale']]);
    const values: Record<string, number[]> = {
      'dense1.weight': [1, 0],
      'dense1.bias': [2 ** 23, 0],
      'scale1.scale': [1, 1],
      'scale1.shift': [-(2 ** 23), 0.2],
    };
    const model = modelFrom(engine, network, (name) => values[name]!);
    const canonical = lower(model);
    // In float32 the first output is 0.4 rounded to a whole number.
    expect([...output(canonical, [0.4])]).toEqual([0, Math.fround(0.2)]);
    const images = Float32Array.of(0.4);
    for (const label of [0, 1]) {
      const [margin] = leastMargins(canonical, images, [label], 0, { sound: true });
      expect(margin! > 0).toBe(false);
    }
    for (const each of [model, canonical]) freeModel(each);
  });

  it('keeps the output of a graph whose last layer goes into an earlier one', () => {
    const nodes = [
      node('a', 'dense', ['input'], { units: 2, bias: false }),
      node('b', 'relu', ['input']),
      node('c', 'batch-norm', ['a']),
    ];
    expect(check({ name: 'n', input: [4], nodes })).toEqual(['dense', 'relu', 'reshape']);
    const dropped = [node('a', 'tanh', ['input']), node('b', 'dropout', ['input'])];
    expect(check({ name: 'n', input: [4], nodes: dropped })).toEqual(['tanh', 'reshape']);
    expect(check({ name: 'n', input: [4], nodes: [node('a', 'dropout')] })).toEqual(['reshape']);
  });

  it('leaves alone what has a second reader', () => {
    const shared = [
      node('a', 'dense', ['input'], { units: 4 }),
      node('b', 'batch-norm', ['a']),
      node('c', 'add', ['a', 'b']),
    ];
    expect(check({ name: 'n', input: [4], nodes: shared })).toEqual(['dense', 'scale', 'add']);
    const through = [
      node('a', 'dense', ['input'], { units: 4 }),
      node('d', 'dropout', ['a']),
      node('b', 'batch-norm', ['d']),
      node('c', 'add', ['a', 'b']),
    ];
    expect(check({ name: 'n', input: [4], nodes: through })).toEqual(['dense', 'scale', 'add']);
    const twice = [
      node('a', 'dense', ['input'], { units: 4, bias: false }),
      node('b', 'batch-norm', ['a']),
      node('e', 'batch-norm', ['b']),
      node('c', 'add', ['b', 'e']),
    ];
    expect(check({ name: 'n', input: [4], nodes: twice })).toEqual(['dense', 'scale', 'add']);
  });

  it('takes what ends or begins with a layer that goes', () => {
    const ends = sequential(
      'n',
      [3],
      [['dropout'], ['dense', { units: 2, bias: false }], ['batch-norm'], ['dropout']],
    );
    expect(check(ends)).toEqual(['dense']);
    expect(check(sequential('n', [3], [['batch-norm']]))).toEqual(['scale']);
  });

  it('lowers the canonical form to itself', () => {
    const network = sequential('n', [3], [['dense', { units: 4 }], ['batch-norm'], ['relu']]);
    const model = modelOf(engine, network, randomWeights(compile(network), sampler(2)));
    const once = lower(model);
    const twice = lower(once);
    expect(twice.graph.network).toEqual(once.graph.network);
    for (const [name, t] of once.params)
      expect(bits(twice.params.get(name)!.read())).toEqual(bits(t.read()));
    for (const each of [model, once, twice]) freeModel(each);
  });

  it.each(['vgg16', 'wrn-10-1', 'cnn-small'])('keeps %s', (name) => {
    const options = name === 'vgg16' ? { width: 1 / 16 } : {};
    check(buildNetwork(name, options, [3, 16, 16], 5), 3);
  });

  it('keeps random graphs', () => {
    fc.assert(
      fc.property(graphs, ({ network, seed }) => void check(network, seed)),
      { numRuns: 60 },
    );
  });
});
