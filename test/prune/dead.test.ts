/**
 * Channels that do not matter: what is removed is removed everywhere, the function stays, and what
 * matters stays. On random graphs, and by hand where the outcome is known.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { INPUT, type NodeSpec } from '../../src/nn/graph';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { dependencyOf } from '../../src/prune/channels';
import { removeDead } from '../../src/prune/dead';
import { type Engine, load } from '../../src/runtime/engine';
import { uniform } from '../../src/tensor/philox';
import { sizeOf } from '../../src/tensor/shape';
import { input, step } from '../../src/tensor/tensor';
import { grow, randomise } from '../helpers/random-graphs';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

function outputs({ graph, params }: Model, seed: number): Float32Array {
  const shape = [3, ...graph.network.input];
  return step(engine, () => {
    const x = input(engine, uniform(seed, 98, 0, sizeOf(shape)), shape);
    return propagate(graph, params, value, x).read();
  });
}

function difference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  const scale = a.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
  return a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0) / scale;
}

/** Some rows, columns and single weights of every convolution and dense layer become 0. */
function damage({ graph, params }: Model, seed: number): void {
  graph.nodes.forEach((node, at) => {
    if (dependencyOf(node).kind !== 'producer') return;
    const weight = params.get(`${node.name}.weight`)!;
    const [rows = 1, columns = 1] = weight.shape;
    const area = weight.size / rows / columns;
    const draws = uniform(seed, 96, at, rows + columns + weight.size);
    const harsh = seed % 3;
    const values = weight.read().map((w, i) => {
      const column = Math.floor(i / area) % columns;
      const row = Math.floor(i / area / columns);
      const gone =
        draws[row]! < 0.3 || draws[rows + column]! < 0.3 || draws[rows + columns + i]! < harsh / 3;
      return gone ? 0 : w;
    });
    weight.write(values);
  });
}

const removedOf = (model: Model): { smaller: Model; removed: Record<string, number> } => {
  const { model: smaller, removed } = removeDead(model);
  return { smaller, removed: Object.fromEntries(removed) };
};

/** Whether a layer lost all channels but one. */
const hasLoneChannel = ({ graph }: Model, removed: Record<string, number>): boolean =>
  graph.nodes.some((node) => removed[node.name] && node.shape[0] === 1);

const build = (nodes: readonly NodeSpec[], shape: readonly number[]): Model => {
  const model = createModel(engine, { name: 'hand', input: shape, nodes }, { seed: 3 });
  randomise(model, 3);
  return model;
};

const zeroRow = (model: Model, name: string, row: number): void => {
  const weight = model.params.get(`${name}.weight`)!;
  const width = weight.size / weight.shape[0]!;
  weight.write(weight.read().map((w, i) => (Math.floor(i / width) === row ? 0 : w)));
};

const zeroColumn = (model: Model, name: string, column: number): void => {
  const weight = model.params.get(`${name}.weight`)!;
  const [rows = 1, columns = 1] = weight.shape;
  const area = weight.size / rows / columns;
  weight.write(weight.read().map((w, i) => (Math.floor(i / area) % columns === column ? 0 : w)));
};

describe('removeDead', () => {
  it('keeps the function of random graphs, and finds nothing more in its own result', () => {
    const seen = { settled: 0, removed: 0, biased: 0, tied: 0, joined: 0, normed: 0, repeated: 0 };
    const numbers = fc.array(fc.nat(1000), { minLength: 40, maxLength: 100 });
    fc.assert(
      fc.property(numbers, fc.nat(1e6), (list, seed) => {
        const model = createModel(engine, grow(list), { seed });
        randomise(model, seed);
        damage(model, seed);
        const { smaller, removed } = removedOf(model);
        const count = Object.values(removed).reduce((a, b) => a + b, 0);
        expect(difference(outputs(model, seed), outputs(smaller, seed))).toBeLessThan(1e-5);
        const again = removedOf(smaller);
        // The one channel that a dead layer keeps is any of them, and may read more than another.
        if (!hasLoneChannel(smaller, removed)) {
          expect(again.removed).toEqual({});
          seen.settled += count > 0 ? 1 : 0;
        }
        const kinds = new Set(count > 0 ? model.graph.nodes.map(({ kind }) => kind) : []);
        seen.removed += count;
        seen.tied += kinds.has('add') ? 1 : 0;
        seen.joined += kinds.has('concat') ? 1 : 0;
        seen.normed += kinds.has('batch-norm') ? 1 : 0;
        seen.repeated += kinds.has('flatten') ? 1 : 0;
        for (const [name, t] of smaller.params) {
          const old = model.params.get(name);
          seen.biased +=
            name.endsWith('.bias') &&
            t.size === old?.size &&
            !old.read().every((b, i) => b === t.read()[i])
              ? 1
              : 0;
        }
        for (const used of [model, smaller, again.smaller]) freeModel(used);
      }),
      { numRuns: 300 },
    );
    const { settled, ...often } = seen;
    expect(settled).toBeGreaterThan(0);
    for (const count of Object.values(often)) expect(count).toBeGreaterThan(10);
  });

  it('removes units nobody reads, and what only they read', () => {
    const nodes = [
      { name: 'a', layer: 'dense', options: { units: 4 } },
      { name: 'f', layer: 'relu' },
      { name: 'b', layer: 'dense', options: { units: 3 } },
      { name: 'g', layer: 'tanh' },
      { name: 'c', layer: 'dense', options: { units: 2 } },
    ];
    const model = build(nodes, [5]);
    zeroColumn(model, 'c', 1);
    // Unit 2 of a feeds only unit 1 of b.
    const weight = model.params.get('b.weight')!;
    weight.write(weight.read().map((w, i) => (i % 4 === 2 && i !== 6 ? 0 : w)));
    const { smaller, removed } = removedOf(model);
    expect(removed).toEqual({ a: 1, b: 1 });
    expect(smaller.params.get('b.weight')!.shape).toEqual([2, 3]);
    expect(difference(outputs(model, 1), outputs(smaller, 1))).toBeLessThan(1e-6);
  });

  const chain = (padding: number, bias: boolean): NodeSpec[] => [
    { name: 'a', layer: 'conv2d', options: { channels: 3, kernel: 3, padding: 1 } },
    { name: 'n', layer: 'batch-norm' },
    { name: 'f', layer: 'sigmoid' },
    { name: 'b', layer: 'conv2d', options: { channels: 2, kernel: 3, padding, bias } },
    { name: 'flat', layer: 'flatten' },
    { name: 'c', layer: 'dense', options: { units: 2 } },
  ];

  it('moves a constant into a reader, which gets a bias where it had none', () => {
    const model = build(chain(0, false), [2, 5, 5]);
    zeroRow(model, 'a', 1);
    const { smaller, removed } = removedOf(model);
    expect(removed).toEqual({ a: 1 });
    expect(smaller.params.get('n.mean')!.size).toBe(2);
    expect(
      smaller.params
        .get('b.bias')!
        .read()
        .every((b) => b !== 0),
    ).toBe(true);
    expect(difference(outputs(model, 1), outputs(smaller, 1))).toBeLessThan(1e-5);
  });

  it('leaves a constant that zero padding would show, unless it is 0', () => {
    const model = build(chain(1, true), [2, 5, 5]);
    zeroRow(model, 'a', 1);
    expect(removedOf(model).removed).toEqual({});
    const nodes = chain(1, true).map((n) => (n.name === 'f' ? { ...n, layer: 'relu' } : n));
    const relu = build(nodes, [2, 5, 5]);
    zeroRow(relu, 'a', 1);
    relu.params.get('n.bias')!.write([0, -9, 0]);
    const { smaller, removed } = removedOf(relu);
    expect(removed).toEqual({ a: 1 });
    expect(difference(outputs(relu, 1), outputs(smaller, 1))).toBeLessThan(1e-5);
  });

  it('takes residual partners together or not at all', () => {
    const conv = { layer: 'conv2d', options: { channels: 3, kernel: 3, padding: 1, bias: false } };
    const nodes = [
      { name: 'a', ...conv, inputs: [INPUT] },
      { name: 'b', ...conv, inputs: ['a'] },
      { name: 'sum', layer: 'add', inputs: ['a', 'b'] },
      { name: 'c', ...conv, inputs: ['sum'] },
      { name: 'flat', layer: 'flatten', inputs: ['c'] },
      { name: 'd', layer: 'dense', options: { units: 2 }, inputs: ['flat'] },
    ];
    const model = build(nodes, [2, 4, 4]);
    zeroRow(model, 'a', 1);
    expect(removedOf(model).removed).toEqual({});
    zeroRow(model, 'b', 1);
    expect(removedOf(model).removed).toEqual({ a: 1, b: 1 });
  });

  it('keeps one unit of a layer that does nothing, and the constant it leaves', () => {
    const nodes = [
      { name: 'a', layer: 'dense', options: { units: 4 } },
      { name: 'b', layer: 'dense', options: { units: 2 } },
    ];
    const model = build(nodes, [3]);
    model.params.get('b.weight')!.write(new Float32Array(8));
    const { smaller, removed } = removedOf(model);
    expect(removed).toEqual({ a: 3 });
    expect(smaller.params.get('a.weight')!.shape).toEqual([1, 3]);
    expect(Array.from(outputs(smaller, 1))).toEqual(Array.from(outputs(model, 1)));
  });
});
