/** Layers over the non-zeros of their weights: values, bounds and gradients are those of dense ones. */
import { describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import { propagate } from '../../src/domain/domain';
import { interval } from '../../src/domain/interval';
import { freezeSparsity } from '../../src/nn/freeze';
import { lower } from '../../src/nn/lower';
import { type AnyModel, createModel, freeModel, type Model } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { load } from '../../src/runtime/engine';
import { patternOf, type SparsityPattern } from '../../src/sparse/pattern';
import { isSparse, sparseWeight, type Weight } from '../../src/sparse/weight';
import { add, affine, mul, sum } from '../../src/tensor/ops/core';
import { sizeOf } from '../../src/tensor/shape';
import { gradients } from '../../src/tensor/tape';
import { assign, input, keep, step, type Tensor } from '../../src/tensor/tensor';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });

/** Logits, ends of bounds, and the gradients of both by images and weights. */
function everything(model: AnyModel, images: Float32Array, batch: number): Float32Array[] {
  const { graph, params } = model;
  return step(engine, () => {
    const x = input(engine, images, [batch, ...graph.network.input]);
    const wanted = [
      x,
      ...[...params]
        .filter(([name]) => name.endsWith('.weight'))
        .map(([, t]) => (isSparse(t) ? t.values : t)),
    ];
    const { result, gradients: found } = gradients(engine, wanted, () => {
      const y = logits(model, x);
      const box = { lo: affine(x, 1, -0.01), hi: affine(x, 1, 0.01) };
      const { lo, hi } = propagate(graph, params, interval({ sound: true }), box);
      const loss = add(sum(mul(y, y)), add(sum(mul(lo, lo)), sum(mul(hi, hi))));
      return { loss, all: [y, lo, hi] };
    });
    return [...result.all, ...found].map((t) => t.read());
  });
}

function distance(got: Float32Array, want: Float32Array): number {
  const size = want.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  return got.reduce((most, x, i) => Math.max(most, Math.abs(x - want[i]!)), 0) / size;
}

const prunable = (model: Model): [string, Tensor][] =>
  [...model.params].filter(([name]) => name.endsWith('.weight'));

const patternPlaces = (mask: Tensor): number[] =>
  [...mask.read().entries()].filter(([, v]) => v !== 0).map(([at]) => at);

/** The model with the values of patterns for weights, kept. */
function overPatterns(model: Model, patterns: ReadonlyMap<Tensor, SparsityPattern>): AnyModel {
  const params = Array.from(model.params, ([name, t]): [string, Weight] => {
    const pattern = patterns.get(t);
    if (!pattern) return [name, t];
    const all = t.read();
    const values = keep(
      engine,
      [pattern.nnz],
      Array.from(pattern.places(), (at) => all[at]!),
    );
    return [name, sparseWeight(pattern, values)];
  });
  return { ...model, params: new Map(params) };
}

/** Masks that keep about 10 % of the weights. */
function thin(model: Model): Map<Tensor, Tensor> {
  const random = sampler(3);
  return new Map(
    prunable(model).map(([, weight]) => {
      const kept = random.array([weight.size], 0, 1).data;
      const mask = keep(
        engine,
        weight.shape,
        Array.from(kept, (v) => (v < 0.1 ? 1 : 0)),
      );
      const ones = mask.read();
      weight.write(weight.read().map((v, i) => v * ones[i]!));
      return [weight, mask];
    }),
  );
}

describe('layers over the non-zeros of their weights', () => {
  it.each([
    ['cnn-small', [1, 28, 28], {}, [2, 9, 40]],
    ['cnn-large', [1, 28, 28], {}, [8]],
    ['vgg16', [3, 32, 32], { width: 1 / 16 }, [3]],
  ] as const)('%s', (name, shape, options, batches) => {
    const memory = engine.memory.usedBytes;
    const drawn = createModel(engine, buildNetwork(name, options, shape, 10));
    const model = lower(drawn);
    freeModel(drawn);
    const masks = thin(model);
    const patterns = new Map([...masks].map(([weight, mask]) => [weight, patternOf(mask)]));
    for (const batch of batches) {
      const random = sampler(batch).array([batch * sizeOf(model.graph.network.input)], 0, 1);
      const images = Float32Array.from(random.data);
      const want = everything(model, images, batch);
      const sparse = overPatterns(model, patterns);
      const got = everything(sparse, images, batch);
      const places = [...masks.values()].map((mask) => patternPlaces(mask));
      // Dense gradients of weights have more than those of the values.
      const inside = want.map((v, i) =>
        i < 4 ? v : Float32Array.from(places[i - 4]!, (at) => v[at]!),
      );
      for (const [i, values] of inside.entries())
        expect(distance(got[i]!, values), `${batch}, ${i}`).toBeLessThan(2e-5);
      for (const weight of sparse.params.values()) if (isSparse(weight)) weight.values.free();
    }
    for (const mask of masks.values()) mask.free();
    for (const pattern of patterns.values()) pattern.free();
    freeModel(model);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBeLessThanOrEqual(memory);
  });

  it('keep the NaN of bounds that a zero weight would hide', () => {
    const model = createModel(engine, buildNetwork('mlp', { hidden: [9] }, [5], 10));
    const masks = thin(model);
    for (const [weight, mask] of masks) {
      weight.write(weight.read().fill(0));
      mask.free();
    }
    const frozen = freezeSparsity(model);
    const hi = step(engine, () => {
      const x = input(engine, new Float32Array(8 * 5).fill(1), [8, 5]);
      x.write(x.read().fill(Infinity, 10, 11));
      const box = { lo: affine(x, 1, -1), hi: x };
      return propagate(frozen.graph, frozen.params, interval({ sound: true }), box).hi.read();
    });
    for (const [i, v] of hi.entries()) expect(Number.isNaN(v)).toBe(Math.floor(i / 10) === 2);
    freeModel(frozen);
  });

  it('refuse writes once they are frozen', () => {
    const model = createModel(engine, buildNetwork('mlp', { hidden: [9] }, [5], 10));
    const masks = thin(model);
    const weights = [...model.params.values()];
    const frozen = freezeSparsity(model);
    const says = 'expected a tensor that may change, got one of a frozen model';
    for (const tensor of weights) {
      expect(() => tensor.write(tensor.read())).toThrow(says);
      expect(() => assign(tensor, tensor)).toThrow(says);
    }
    for (const weight of frozen.params.values())
      expect(() => (isSparse(weight) ? weight.values : weight).write([])).toThrow(says);
    for (const mask of masks.values()) mask.free();
    freeModel(frozen);
  });
});
