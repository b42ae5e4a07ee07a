/** Compiled plans against the value domain, over random graphs, every form and the zoo. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import { compile, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { denseCalls } from '../../src/plan/dense-product';
import { compilePlan } from '../../src/plan/plan';
import { load } from '../../src/runtime/engine';
import { type AlgorithmName, algorithms, costOfAlgorithm } from '../../src/tensor/algorithms';
import type { ConvShape } from '../../src/tensor/convolution';
import { sizeOf } from '../../src/tensor/shape';
import { input, step } from '../../src/tensor/tensor';

import { graphs, modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });

function expected({ graph, ...model }: Model, images: Float32Array, batch: number): Float32Array {
  const shape = [batch, ...graph.network.input];
  return step(engine, () => logits({ graph, ...model }, input(engine, images, shape)).read());
}

function imagesOf({ graph }: Model, batch: number, seed = 1): Float32Array {
  return Float32Array.from(sampler(seed).array([batch * sizeOf(graph.network.input)], 0, 1).data);
}

/** The largest difference, relative to the largest expected size; NaN where one is. */
function distance(got: Float32Array, want: Float32Array): number {
  const size = want.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  return got.reduce((most, x, i) => Math.max(most, Math.abs(x - want[i]!)), 0) / size;
}

describe('compiled plans', () => {
  it('compute what the value domain computes, on random graphs', () => {
    fc.assert(
      fc.property(
        graphs,
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        (g, batch, allowWinograd) => {
          const model = modelOf(
            engine,
            g.network,
            randomWeights(compile(g.network), sampler(g.seed)),
          );
          const canonical = lower(model);
          const plan = compilePlan(canonical, { batch, allowWinograd });
          for (const seed of [1, 2]) {
            const images = imagesOf(canonical, batch, seed);
            const got = plan.run(images);
            expect(distance(got, expected(canonical, images, batch))).toBeLessThan(1e-5);
            expect(plan.run(images)).toEqual(got);
          }
          plan.free();
          freeModel(canonical);
          freeModel(model);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    ['cnn-small', [1, 28, 28], {}, 3],
    ['cnn-large', [1, 28, 28], {}, 5],
    ['vgg16', [3, 32, 32], { width: 1 / 8 }, 2],
    ['wrn-16-1', [3, 16, 16], {}, 2],
  ] as const)('%s, with and without other sums', (name, shape, options, batch) => {
    const model = createModel(engine, buildNetwork(name, options, shape, 10));
    const canonical = lower(model);
    const images = imagesOf(canonical, batch);
    const want = expected(canonical, images, batch);
    for (const direct of [true, false]) {
      const plan = compilePlan(canonical, direct ? { batch } : { batch, allowWinograd: true });
      expect(distance(plan.run(images), want)).toBeLessThan(direct ? 2e-6 : 2e-5);
      if (direct) expect(plan.steps.map(({ form }) => form)).not.toContain('winograd');
      plan.free();
    }
    freeModel(canonical);
    freeModel(model);
  });

  it('share buffers, and give all memory back', () => {
    const before = engine.memory.usedBytes;
    const network = sequential('deep', [32], Array(20).fill(['dense', { units: 32 }]));
    const model = createModel(engine, network);
    const plan = compilePlan(model, { batch: 1000 });
    // Two activations of 1000 x 32, not 21, beside the weights.
    expect(plan.bytes).toBeLessThan(4 * (1000 * 32 * 3 + 20 * 32 * 40) + 100_000);
    plan.free();
    freeModel(model);
    expect(engine.memory.usedBytes).toBe(before);
  });

  it('refuse wrong sizes and stay usable', () => {
    const model = createModel(engine, sequential('one', [3], [['dense', { units: 2 }]]));
    expect(() => compilePlan(model, { batch: 0 })).toThrow(/batch: expected a whole number/);
    const plan = compilePlan(model, { batch: 2 });
    expect(() => plan.run(new Float32Array(5))).toThrow('plan.run: expected 6 numbers, got 5');
    expect(plan.run(new Float32Array(6))).toEqual(new Float32Array(4));
    plan.free();
    freeModel(model);
  });
});

const LAYERS = [
  ['dense', { units: 5 }, [17]],
  ['dense', { units: 64, bias: false }, [33]],
  ['conv2d', { channels: 5, kernel: 3, padding: 1 }, [3, 7, 9]],
  ['conv2d', { channels: 8, kernel: 4, stride: 2, padding: 1, bias: false }, [2, 10, 10]],
  ['conv2d', { channels: 3, kernel: 2 }, [4, 5, 5]],
  ['conv2d', { channels: 3, kernel: [3, 2], stride: [1, 2], dilation: 2 }, [2, 9, 8]],
  ['conv2d', { channels: 6, kernel: 3, padding: 1, groups: 3 }, [3, 9, 7]],
] as const;

describe.each(Object.keys(algorithms) as AlgorithmName[])('algorithm %s', (name) => {
  it.each(LAYERS)('%s %o on %o', (layer, options, shape) => {
    const chain = [[layer, options], ['relu']] as const;
    const model = createModel(engine, sequential('one', shape, chain));
    const [node] = model.graph.nodes;
    const conv = node!.structure!.conv!;
    for (const batch of [1, 3, 8]) {
      if (costOfAlgorithm(name, conv, batch) === Infinity) continue;
      const images = imagesOf(model, batch);
      const got = step(engine, () => runAlgorithm(name, model, conv, images, batch));
      expect(distance(got, expected(model, images, batch))).toBeLessThan(1e-5);
    }
    freeModel(model);
  });

  it('applies to one of the layers at least', () => {
    const costs = LAYERS.map(([layer, options, shape]) => {
      const { nodes } = compile(sequential('one', shape, [[layer, options]]));
      return costOfAlgorithm(name, nodes[0]!.structure!.conv!, 2);
    });
    expect(costs.some((cost) => cost < Infinity)).toBe(true);
  });
});

function runAlgorithm(
  name: AlgorithmName,
  model: Model,
  conv: ConvShape,
  images: Float32Array,
  batch: number,
): Float32Array {
  const node = model.graph.nodes[0]!;
  const x = input(engine, images, [images.length]);
  const size = batch * sizeOf(node.shape);
  const y = engine.arena.alloc(4 * size);
  const call = denseCalls[name]({
    engine,
    batch,
    conv,
    weight: model.params.get(`${node.name}.weight`)!.ptr,
    bias: model.params.get(`${node.name}.bias`)?.ptr ?? 0,
    x: x.ptr,
    y,
    relu: 1,
    keep: (bytes) => engine.arena.alloc(bytes),
  });
  engine.start(call, engine.arena.alloc((call.work ?? 0) * call.parts));
  return engine.memory.f32(y, size).slice();
}

describe('memory that was given back', () => {
  it('is not used by a plan that was freed, or whose model or engine was', async () => {
    const own = await load({ threads: 1 });
    const network = sequential('n', [5], [['dense', { units: 3 }]]);
    const model = createModel(own, network, { seed: 1 });
    const images = imagesOf(model, 2);
    const gone = compilePlan(model, { batch: 2 });
    gone.free();
    gone.free();
    expect(() => gone.run(images)).toThrow(/plan\.run: expected a plan that was not freed/);
    const [closed, orphan] = [compilePlan(model, { batch: 2 }), compilePlan(model, { batch: 2 })];
    expect(orphan.run(images)).toHaveLength(6);
    freeModel(model);
    expect(() => orphan.run(images)).toThrow(/freed/);
    own.close();
    expect(() => closed.run(images)).toThrow(/expected/);
  });
});
