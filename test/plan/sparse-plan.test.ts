/** Plans over non-zeros against the value domain, over random graphs and the zoo, masked. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import { compile, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { compileSparsePlan, fastestPlan } from '../../src/plan/sparse-plan';
import { SHIPPED } from '../../src/runtime/costs';
import { load } from '../../src/runtime/engine';
import { sizeOf } from '../../src/tensor/shape';
import { input, step } from '../../src/tensor/tensor';
import { graphs, modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });

function expected(model: Model, images: Float32Array, batch: number): Float32Array {
  const shape = [batch, ...model.graph.network.input];
  return step(engine, () => logits(model, input(engine, images, shape)).read());
}

function imagesOf({ graph }: Model, batch: number, seed = 1): Float32Array {
  return Float32Array.from(sampler(seed).array([batch * sizeOf(graph.network.input)], 0, 1).data);
}

/** Sets a share of the weights to 0. */
function thin(model: Model, sparsity: number, seed: number): void {
  const random = sampler(seed);
  for (const [name, t] of model.params) {
    if (!name.endsWith('.weight')) continue;
    const chosen = random.array([t.size], 0, 1).data;
    t.write(t.read().map((v, i) => (chosen[i]! < sparsity ? 0 : v)));
  }
}

function distance(got: Float32Array, want: Float32Array): number {
  const size = want.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  return got.reduce((most, x, i) => Math.max(most, Math.abs(x - want[i]!)), 0) / size;
}

function check(model: Model, batch: number): string[] {
  const plan = compileSparsePlan(model, { batch });
  for (const seed of [1, 2]) {
    const images = imagesOf(model, batch, seed);
    const got = plan.run(images);
    expect(distance(got, expected(model, images, batch))).toBeLessThan(1e-5);
    expect(plan.run(images)).toEqual(got);
  }
  const names = plan.steps.map(({ form }) => form);
  plan.free();
  return names;
}

describe('plans over non-zeros', () => {
  it('compute what the value domain computes, on random graphs', () => {
    const batches = fc.constantFrom(1, 2, 3, 5, 8, 16, 17, 33);
    fc.assert(
      fc.property(graphs, batches, fc.constantFrom(0, 0.5, 0.95, 1), (g, batch, sparsity) => {
        const weights = randomWeights(compile(g.network), sampler(g.seed));
        const model = modelOf(engine, g.network, weights);
        const canonical = lower(model);
        thin(canonical, sparsity, g.seed);
        check(canonical, batch);
        freeModel(canonical);
        freeModel(model);
      }),
      { numRuns: 80 },
    );
  });

  it.each([
    ['mlp', [1, 4, 4], {}, [1, 5, 20]],
    ['cnn-small', [1, 28, 28], {}, [1, 3, 16]],
    ['cnn-large', [1, 28, 28], {}, [1, 7, 18]],
    ['vgg16', [3, 32, 32], { width: 1 / 8 }, [1, 8]],
    ['wrn-16-1', [3, 16, 16], {}, [2]],
  ] as const)('%s', (name, shape, options, batches) => {
    const model = createModel(engine, buildNetwork(name, options, shape, 10));
    const canonical = lower(model);
    thin(canonical, 0.9, 1);
    for (const batch of batches) {
      const names = check(canonical, batch);
      if (!name.startsWith('wrn'))
        expect(names.filter((form) => form !== 'csr' && form !== 'pool')).toEqual([]);
    }
    freeModel(canonical);
    freeModel(model);
  });

  it('are taken where they are faster, and leave full layers dense', () => {
    const network = buildNetwork('cnn-large', {}, [1, 28, 28], 10);
    const model = createModel(engine, network);
    const formsOf = (batch: number): string[] => {
      const plan = fastestPlan(model, { batch });
      const names = plan.steps.map(({ form }) => form);
      const images = imagesOf(model, batch);
      expect(distance(plan.run(images), expected(model, images, batch))).toBeLessThan(1e-5);
      plan.free();
      return names;
    };
    for (const batch of [1, 16]) expect(formsOf(batch)).not.toContain('csr');
    thin(model, 0.95, 1);
    for (const batch of [1, 16]) expect(new Set(formsOf(batch))).toEqual(new Set(['csr']));
    const full = model.params.get('conv2d3.weight')!;
    full.write(full.read().fill(0.01));
    expect(formsOf(16).filter((form) => form === 'csr').length).toBe(6);
    freeModel(model);
  });

  it.each([
    ['cnn-small', [1, 28, 28], [1, 3, 16]],
    ['mlp', [1, 4, 4], [1, 20]],
    ['vgg16', [3, 32, 32], [2]],
  ] as const)('take blocks of four rows where costs say so: %s', (name, shape, batches) => {
    const options = name === 'vgg16' ? { width: 1 / 8 } : {};
    const model = createModel(engine, buildNetwork(name, options, shape, 10));
    const canonical = lower(model);
    thin(canonical, 0.95, 3);
    const costs = { ...SHIPPED, '4x1': { product: 0, row: 0 } };
    for (const batch of batches) {
      const plan = compileSparsePlan(canonical, { batch, costs });
      const images = imagesOf(canonical, batch);
      expect(distance(plan.run(images), expected(canonical, images, batch))).toBeLessThan(1e-5);
      // Single outputs have no lanes to fill.
      const single = (name: string): boolean =>
        batch === 1 && canonical.graph.nodes.find((node) => node.name === name)!.shape.length === 1;
      for (const { node, form } of plan.steps.filter((one) => one.form !== 'pool'))
        expect(form, node).toBe(single(node) ? 'csr' : '4x1');
      plan.free();
    }
    freeModel(canonical);
    freeModel(model);
  });

  it('see masks of blocks and of 2:4, and random ones as rows', () => {
    const network = sequential(
      'three',
      [16, 12, 12],
      [['conv2d', { channels: 16, kernel: 3, padding: 1 }], ['relu']],
    );
    const model = createModel(engine, network, { seed: 1 });
    const weight = model.params.get('conv2d1.weight')!;
    const drawn = weight.read();
    const formOf = (keep: (row: number, column: number) => boolean): string => {
      weight.write(drawn.map((v, i) => (keep(Math.floor(i / 144), i % 144) ? v : 0)));
      const plan = compileSparsePlan(model, { batch: 16 });
      const images = imagesOf(model, 16);
      expect(distance(plan.run(images), expected(model, images, 16))).toBeLessThan(1e-5);
      plan.free();
      return plan.steps[0]!.form;
    };
    const chosen = sampler(5).array([16 * 144], 0, 1).data;
    expect(formOf((row, column) => chosen[(row >> 2) * 144 + column]! < 0.15)).toBe('4x1');
    expect(formOf((row, column) => (row + Math.floor(column / 9)) % 4 === 0)).toBe('1:4');
    expect(formOf((row, column) => chosen[row * 144 + column]! < 0.15)).toBe('csr');
    freeModel(model);
  });

  it('do not mix images, whatever they hold', () => {
    const network = buildNetwork('cnn-small', {}, [1, 28, 28], 10);
    const model = createModel(engine, network);
    const plan = compileSparsePlan(model, { batch: 20 });
    const images = imagesOf(model, 20);
    const want = plan.run(images);
    const wild = images.slice();
    wild.fill(Number.NaN, 784 * 3, 784 * 4);
    wild.fill(Infinity, 784 * 17, 784 * 18);
    const got = plan.run(wild);
    for (let i = 0; i < 20; i++) {
      const of = (all: Float32Array) => all.subarray(10 * i, 10 * i + 10);
      if (i === 3) expect(of(got).every(Number.isNaN)).toBe(true);
      else if (i !== 17) expect(of(got)).toEqual(of(want));
    }
    // And nothing of them stays.
    expect(plan.run(images)).toEqual(want);
    plan.free();
    freeModel(model);
  });

  it('give all memory back, and refuse wrong sizes', () => {
    const before = engine.memory.usedBytes;
    const model = createModel(engine, sequential('one', [3], [['dense', { units: 2 }]]));
    expect(() => compileSparsePlan(model, { batch: 0 })).toThrow(/batch: expected a whole number/);
    const plan = compileSparsePlan(model, { batch: 2 });
    expect(() => plan.run(new Float32Array(5))).toThrow('plan.run: expected 6 numbers, got 5');
    plan.free();
    freeModel(model);
    expect(engine.memory.usedBytes).toBe(before);
  });
});
