/**
 * Plans of interval bounds: against the layers one by one, against points of the boxes, over random
 * graphs and the zoo, masked; and what refuses, which the layers one by one decide.
 */

import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { type Box, ball, interval } from '../../src/domain/interval';
import { intervalMargins, lastAffine } from '../../src/domain/rows';
import { freezeSparsity } from '../../src/nn/freeze';
import { compile, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { type AnyModel, createModel, freeModel, type Model } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { compileIntervalPlan, type IntervalPlan } from '../../src/plan/interval-plan';
import { ballMargins, lastBox } from '../../src/plan/margins';
import { type Engine, load } from '../../src/runtime/engine';
import type { Ptr } from '../../src/runtime/kernels';
import { isSparse, readEntries } from '../../src/sparse/weight';
import { sum } from '../../src/tensor/ops/core';
import { sizeOf } from '../../src/tensor/shape';
import { gradients } from '../../src/tensor/tape';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { boxAround, pointsIn } from '../helpers/boxes';
import { expectClose, expectInside } from '../helpers/close';
import { binaries } from '../helpers/engine';
import { type Nd, nd } from '../helpers/nd';
import { graphs, modelOf, randomWeights } from '../helpers/networks';
import { type Sampler, sampler } from '../helpers/random';
import { type BoxNd, evaluate } from '../helpers/reference-network';

/** Sets a share of the weights to 0. */
function thin<M extends Model>(model: M, sparsity: number, seed: number): M {
  const random = sampler(seed);
  for (const [name, t] of model.params) {
    if (!name.endsWith('.weight')) continue;
    const chosen = random.array([t.size], 0, 1).data;
    t.write(t.read().map((v, i) => (chosen[i]! < sparsity ? 0 : v)));
  }
  return model;
}

const read = ({ lo, hi }: Box): [Float32Array, Float32Array] => [lo.read(), hi.read()];

/** The box in front of the last layer, by a plan; undefined where it refuses. */
function planned(plan: IntervalPlan, { engine }: AnyModel, box: BoxNd) {
  return step(engine, () => {
    const of = ({ data, shape }: Nd) => input(engine, data, shape);
    const found = plan.run({ lo: of(box.lo), hi: of(box.hi) });
    return found && read(found);
  });
}

/** The same, layer by layer. */
function layerwise({ engine, graph, params }: AnyModel, box: BoxNd, sound: boolean) {
  return step(engine, () => {
    const of = ({ data, shape }: Nd) => input(engine, data, shape);
    const before = lastAffine(graph);
    const given = { lo: of(box.lo), hi: of(box.hi) };
    return read(propagate(graph, params, interval({ sound }), given, before ? { before } : {}));
  });
}

/** What the network computes in front of its last layer in f64. */
function reference({ graph, params }: AnyModel, x: Nd): ArrayLike<number> {
  const weights = new Map([...params].map(([name, t]) => [name, nd(t.shape, readEntries(t))]));
  if (!lastAffine(graph)) return evaluate(graph, weights, x).data;
  const nodes = graph.network.nodes.slice(0, -1);
  return nodes.length === 0
    ? x.data
    : evaluate(compile({ ...graph.network, nodes }), weights, x).data;
}

const mean = (values: Float32Array): number => values.reduce((a, b) => a + b, 0) / values.length;

interface Setting {
  readonly lanes: number;
  readonly batch: number;
  readonly width: number;
  readonly random: Sampler;
}

function check(model: Model, { lanes, batch, width, random }: Setting): string[] {
  const box = boxAround(random.array([batch, ...model.graph.network.input], -1, 1), width);
  const names: string[] = [];
  for (const sound of [false, true]) {
    const plan = compileIntervalPlan(model, { lanes, sound });
    const got = planned(plan, model, box)!;
    const want = layerwise(model, box, sound);
    // Ends may cancel: rounding is by the size of the larger one. Sound bounds pay a little more for it.
    const size = mean(want[0].map((lo, i) => Math.max(Math.abs(lo), Math.abs(want[1][i]!))));
    for (const side of [0, 1])
      expectClose(got[side]!, want[side]!, { rel: 2e-5, abs: (sound ? 3e-4 : 1e-5) * size });
    expect(planned(plan, model, box)).toEqual(got);
    if (sound) {
      const points = pointsIn(box, 3, random);
      expectInside(Float32Array.from(reference(model, points)), ...got, 'float64, rounded');
    }
    names.push(...plan.steps.map(({ form }) => form));
    plan.free();
  }
  return names;
}

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
  });
  afterAll(() => engine.close());

  it('bounds what the layers one by one bound, on random graphs', () => {
    const lanes = fc.constantFrom(1, 2, 4, 8, 16, 3);
    const batches = fc.constantFrom(1, 2, 5, 17);
    const sparsities = fc.constantFrom(0, 0.5, 0.9, 1);
    const widths = fc.constantFrom(0, 1e-6, 0.1, 1);
    fc.assert(
      fc.property(graphs, lanes, batches, sparsities, widths, (g, l, batch, sparsity, width) => {
        const weights = randomWeights(compile(g.network), sampler(g.seed));
        const model = modelOf(engine, g.network, weights);
        const canonical = thin(lower(model), sparsity, g.seed);
        check(canonical, { lanes: l, batch, width, random: sampler(g.seed) });
        freeModel(canonical);
        freeModel(model);
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    ['mlp', [1, 4, 4], {}, [1, 16]],
    ['cnn-small', [1, 28, 28], {}, [1, 4]],
    ['cnn-large', [3, 12, 12], {}, [16]],
    ['vgg16', [3, 32, 32], { width: 1 / 16 }, [8]],
    ['wrn-16-1', [3, 16, 16], {}, [2]],
  ] as const)('%s', (name, shape, options, all) => {
    const model = createModel(engine, buildNetwork(name, options, shape, 10));
    const canonical = thin(lower(model), 0.9, 1);
    for (const lanes of all) {
      const batch = Math.min(5, lanes + 1);
      const setting = { lanes, batch, width: 0.01, random: sampler(lanes) };
      const names = check(canonical, setting);
      if (!name.startsWith('wrn'))
        expect(new Set(names)).toEqual(
          new Set(name === 'vgg16' ? ['feed', 'csr', 'pool'] : ['feed', 'csr']),
        );
    }
    freeModel(canonical);
    freeModel(model);
  });

  it('bounds the exact sums of weights of very different sizes', () => {
    const network = sequential(
      'n',
      [9],
      [['dense', { units: 7 }], ['relu'], ['dense', { units: 6 }], ['dense', { units: 2 }]],
    );
    const random = sampler(5);
    for (const [low, high] of [
      [-8, 8],
      [-26, -16],
      [-45, -36],
    ] as const)
      for (const width of [0, 1e-40, 1e-3]) {
        const weights = new Map(
          [...randomWeights(compile(network), random)].map(([name, w]) => [
            name,
            random.spread(w.shape, low, high),
          ]),
        );
        const model = thin(modelOf(engine, network, weights), 0.3, 1);
        const box = boxAround(random.spread([5, 9], low, high), width);
        const plan = compileIntervalPlan(model, { lanes: 4, sound: true });
        const points = pointsIn(box, 40, random);
        const [lo, hi] = planned(plan, model, box)!;
        expectInside(reference(model, points), lo, hi, `${low}, ${width}`);
        plan.free();
        freeModel(model);
      }
  });
});

describe('plans of interval bounds', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  const images = (model: AnyModel, n: number): Float32Array =>
    Float32Array.from(sampler(n).array([n * sizeOf(model.graph.network.input)], 0, 1).data);
  const margins = (model: AnyModel, x: Float32Array, eps: number): Float32Array =>
    step(engine, () => {
      const n = x.length / sizeOf(model.graph.network.input);
      const labels = Int32Array.from({ length: n }, (_, i) => i % 10);
      return ballMargins(model, input(engine, x, [n, ...model.graph.network.input]), eps, labels, {
        sound: true,
      }).read();
    });

  it('refuse what could overflow, and leave it to the layers', () => {
    const dense = thin(createModel(engine, buildNetwork('cnn-small', {}, [1, 28, 28], 10)), 0.9, 1);
    const sparse = freezeSparsity(lower(dense));
    const x = images(dense, 20);
    const wild = x.slice();
    wild.fill(Number.NaN, 784 * 3, 784 * 3 + 1);
    const plan = compileIntervalPlan(sparse, { lanes: 16, sound: true });
    const boxOf = (of: Float32Array): BoxNd => {
      const one = nd([20, 1, 28, 28], of);
      return { lo: one, hi: one };
    };
    const fine = planned(plan, sparse, boxOf(x));
    expect(planned(plan, sparse, boxOf(wild))).toBeUndefined();
    const large = x.map((v, i) => (i === 784 * 17 + 400 ? 1e38 : v));
    expect(planned(plan, sparse, boxOf(large))).toBeUndefined();
    // And nothing of them stays.
    expect(planned(plan, sparse, boxOf(x))).toEqual(fine);
    plan.free();
    const got = margins(sparse, wild, 0.01);
    expectClose(
      got.filter((_, i) => Math.floor(i / 10) !== 3),
      margins(dense, wild, 0.01).filter((_, i) => Math.floor(i / 10) !== 3),
      { rel: 1e-5 },
    );
    expect(got.subarray(30, 40).filter(Number.isNaN).length).toBe(10);
    freeModel(sparse);
    freeModel(dense);
  });

  it('are taken where zeros stay and pay, and freed with the model', () => {
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    const model = createModel(engine, buildNetwork('cnn-small', {}, [1, 28, 28], 10));
    const x = images(model, 21);
    const pruned = thin(lower(model), 0.95, 2);
    const kept = freezeSparsity(thin(lower(model), 0.95, 2));
    const full = freezeSparsity(lower(model));
    for (const eps of [0, 0.05]) {
      const want = margins(pruned, x, eps);
      const before = engine.memory.usedBytes;
      const got = margins(kept, x, eps);
      if (eps === 0) expect(engine.memory.usedBytes).toBeGreaterThan(before);
      expectClose(got, want, { rel: 1e-5 });
      const held = engine.memory.usedBytes;
      margins(full, x, eps);
      margins(pruned, x, eps);
      expect(engine.memory.usedBytes).toBe(held);
    }
    for (const one of [model, pruned, kept, full]) freeModel(one);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });

  it('bound each sample by itself, bit for bit', () => {
    const model = freezeSparsity(
      thin(createModel(engine, buildNetwork('cnn-small', {}, [1, 28, 28], 10)), 0.9, 3),
    );
    const x = images(model, 19);
    const boxes = (from: number, count: number) =>
      step(engine, () => {
        const part = x.subarray(784 * from, 784 * (from + count));
        const one = input(engine, part, [count, 1, 28, 28]);
        return read(lastBox(model, ball(one, 0.1, { sound: true }), { sound: true }));
      });
    const all = boxes(0, 19);
    for (const [from, count] of [
      [0, 1],
      [18, 1],
      [3, 2],
      [5, 7],
      [1, 17],
    ] as const)
      boxes(from, count).forEach((part, side) => {
        const size = part.length / count;
        expect(part).toEqual(all[side]!.subarray(from * size, (from + count) * size));
      });
    freeModel(model);
  });

  /** Frozen, with plans that take some products dense and others over their zeros. */
  const mixed = (on = engine, change = (_: Model): void => {}): AnyModel => {
    const layers = [
      ['dense', { units: 300 }],
      ['relu'],
      ['dense', { units: 300 }],
      ['relu'],
    ] as const;
    const network = sequential('n', [200], [...layers, ['dense', { units: 10 }]]);
    const model = modelOf(on, network, randomWeights(compile(network), sampler(8)));
    // At this share a product over its zeros pays for 16 lanes and not for one.
    const second = model.params.get('dense2.weight')!;
    second.write(second.read().map((v, i) => (i % 5 < 2 ? v : 0)));
    change(model);
    return freezeSparsity(model);
  };

  it('take forms that do not depend on the lanes, in mixed networks', () => {
    const model = mixed();
    const all = [1, 2, 3, 4, 8, 16].map((lanes) => {
      const plan = compileIntervalPlan(model, { lanes, sound: true });
      const forms = plan.steps.map(({ node, form }) => `${node} ${form}`);
      plan.free();
      return forms;
    });
    expect(new Set(all[0]!.map((name) => name.split(' ')[1]))).toEqual(
      new Set(['feed', 'csr', 'interval']),
    );
    for (const forms of all) expect(forms).toEqual(all[0]);
    freeModel(model);
  });

  it('of one bad sample in a mixed network leave the others sound and as close as rounding', () => {
    const model = mixed();
    const x = images(model, 6);
    const bad = x.slice();
    bad[2 * 200 + 7] = Number.NaN;
    const [fine, found] = [margins(model, x, 0.01), margins(model, bad, 0.01)];
    const of = (all: Float32Array): Float32Array => all.filter((_, i) => Math.floor(i / 10) !== 2);
    expectClose(of(found), of(fine), { rel: 1e-5, abs: 1e-4 });
    expect(found.subarray(20, 30).every(Number.isNaN)).toBe(true);
    const weights = new Map(
      [...model.params].map(([name, t]) => [name, nd(t.shape, readEntries(t))]),
    );
    const logits = evaluate(model.graph, weights, nd([6, 200], x)).data;
    of(found).forEach((margin, k) => {
      const at = k < 20 ? k : k + 10;
      const i = Math.floor(at / 10);
      expect(margin).toBeLessThanOrEqual(logits[10 * i + i]! - logits[at]!);
    });
    freeModel(model);
  });

  it('are passed over while a tape is open: bounds have their gradients', () => {
    const model = mixed();
    const x = images(model, 3);
    margins(model, x, 0.02);
    const wanted = [...model.params.values()].map((w) => (isSparse(w) ? w.values : w));
    const [options, labels] = [{ sound: true }, [0, 1, 2]];
    const found = (margins: (x: Tensor) => Tensor): Float32Array[] =>
      step(engine, () => {
        const at = input(engine, x, [3, 200]);
        const got = gradients(engine, wanted, () => ({ loss: sum(margins(at)) })).gradients;
        return got.map((g) => g.read());
      });
    const got = found((at) => ballMargins(model, at, 0.02, labels, options));
    const want = found((at) => {
      const { graph, params } = model;
      return intervalMargins(graph, params, ball(at, 0.02, options), labels, options);
    });
    got.forEach((g, i) => void expectClose(g, want[i]!, { rel: 0 }));
    expect(got[0]!.some((g) => g !== 0)).toBe(true);
    freeModel(model);
  });

  it('see biases as they are', () => {
    // Large beside the sums: what it rounds is most of the radius.
    const model = mixed(engine, ({ params }) =>
      params.get('dense2.bias')!.write(new Float32Array(300).fill(3e4)),
    );
    const x = images(model, 5);
    const box = { lo: nd([5, 200], x), hi: nd([5, 200], x) };
    const [lo, hi] = step(engine, () => {
      const at = input(engine, x, [5, 200]);
      return read(lastBox(model, { lo: at, hi: at }, { sound: true }));
    });
    const want = layerwise(model, box, true);
    const width = (ends: readonly Float32Array[]): Float32Array =>
      ends[1]!.map((v, i) => v - ends[0]![i]!);
    expectClose([mean(width([lo, hi]))], [mean(width(want))], { rel: 0.1 });
    expectInside(Float32Array.from(reference(model, nd([5, 200], x))), lo, hi, 'float64, rounded');
    freeModel(model);
  });

  it('are done without where there is no memory for them', async () => {
    const small = await load({ threads: 1, maxMemory: 2 ** 26 });
    const model = mixed(small);
    const x = images(model, 3);
    const layers = (): Float32Array =>
      step(small, () => {
        const { graph, params } = model;
        const box = ball(input(small, x, [3, 200]), 0.02, { sound: true });
        return intervalMargins(graph, params, box, [0, 1, 2], { sound: true }).read();
      });
    const want = layers();
    const blocks: Ptr[] = [];
    for (let size = 2 ** 22; size >= 64; size /= 2)
      try {
        for (;;) blocks.push(small.memory.alloc(size));
      } catch (error) {
        expect(String(error)).toContain('memory: expected');
      }
    expect(() => compileIntervalPlan(model, { lanes: 4, sound: true })).toThrow('memory: expected');
    const got = step(small, () =>
      ballMargins(model, input(small, x, [3, 200]), 0.02, [0, 1, 2], { sound: true }).read(),
    );
    expect(got).toEqual(want);
    for (const ptr of blocks) small.memory.free(ptr);
    freeModel(model);
    small.close();
  });

  it('margins are those of intervalMargins where no plan is', () => {
    const model = createModel(engine, buildNetwork('mlp', { hidden: [5] }, [6], 10));
    const x = images(model, 4);
    const labels = [0, 1, 2, 3];
    const direct = step(engine, () => {
      const box = ball(input(engine, x, [4, 6]), 0.1, { sound: true });
      return intervalMargins(model.graph, model.params, box, labels, { sound: true }).read();
    });
    expect(margins(model, x, 0.1)).toEqual(direct);
    freeModel(model);
  });

  it('refuse wrong sizes', () => {
    const model = createModel(engine, sequential('one', [3], [['dense', { units: 2 }]]));
    expect(() => compileIntervalPlan(model, { lanes: 0, sound: true })).toThrow(
      'compileIntervalPlan: lanes: expected a whole number > 0, got 0',
    );
    const plan = compileIntervalPlan(model, { lanes: 2, sound: true });
    const wrong = nd([1, 4], new Float32Array(4));
    expect(() => planned(plan, model, { lo: wrong, hi: wrong })).toThrow('boxes of 3 numbers');
    plan.free();
    const two = nd([1, 3], new Float32Array(3));
    expect(() => planned(plan, model, { lo: two, hi: two })).toThrow('freed');
    freeModel(model);
  });
});
