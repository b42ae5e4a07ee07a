/** The measured plans of a model: every layer of both, equal results, no memory kept. */
import { expect, it } from 'vitest';
import { viewPlans } from '../../src/measure/plan-view';
import { sequential } from '../../src/nn/graph';
import { createModel, freeModel } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { SHIPPED } from '../../src/runtime/costs';
import { load } from '../../src/runtime/engine';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });

it.each([1, 20])('shows every layer of both plans, batch %i', (batch) => {
  const used = engine.memory.usedBytes;
  const model = createModel(engine, buildNetwork('cnn-small', {}, [1, 28, 28], 10), { seed: 1 });
  const drawn = sampler(2);
  for (const [name, t] of model.params) {
    if (!name.endsWith('.weight')) continue;
    const chosen = drawn.array([t.size], 0, 1).data;
    t.write(t.read().map((v, i) => (chosen[i]! < 0.9 ? 0 : v)));
  }
  const view = viewPlans(model, { batch, seconds: 0 });
  expect(view).toMatchObject({ batch, threads: 1 });
  expect(view.runs).toBeGreaterThanOrEqual(4);
  expect(view.difference).toBeLessThan(1e-5);
  expect(view.layers.map(({ name }) => name)).toEqual(['conv2d1', 'conv2d2', 'dense1', 'dense2']);
  for (const { macs, macsNonzero, form, dense, sparse } of view.layers) {
    expect(macsNonzero / macs).toBeGreaterThan(0.05);
    expect(macsNonzero / macs).toBeLessThan(0.15);
    expect(sparse.form).toBe('csr');
    expect(dense.form).not.toBe('csr');
    expect(form).toBe(view.chosen === 'sparse' ? sparse.form : dense.form);
    expect(Math.min(dense.microseconds, sparse.microseconds)).toBeGreaterThan(0);
  }
  for (const side of ['dense', 'sparse'] as const) {
    const parts = view.layers.reduce((sum, layer) => sum + layer[side].microseconds, 0);
    expect(view[side].microseconds).toBeCloseTo(parts + view[side].copies, 6);
    expect(view[side].bytes).toBeGreaterThan(0);
  }
  const least = Math.min(view.dense.microseconds, view.sparse.microseconds);
  expect(view[view.faster].microseconds).toBe(least);
  freeModel(model);
  engine.arena.trim();
  expect(engine.memory.usedBytes).toBe(used);
});

it('goes by the costs it is given, whatever is faster', () => {
  const model = createModel(engine, sequential('one', [64], [['dense', { units: 64 }]]));
  const free = { product: 0, row: 0 };
  for (const [chosen, costs] of [
    ['dense', { ...SHIPPED, gemm: free }],
    ['sparse', { ...SHIPPED, csr: free }],
  ] as const)
    expect(viewPlans(model, { batch: 16, seconds: 0, costs }).chosen).toBe(chosen);
  freeModel(model);
});

it('refuses to compare plans of a model that has no numbers', () => {
  const model = createModel(engine, sequential('one', [4], [['dense', { units: 3 }]]));
  model.params.get('dense1.weight')!.write(new Float32Array(12).fill(Number.NaN));
  expect(() => viewPlans(model, { batch: 2, seconds: 0 })).toThrow(
    /inspect --plan: expected plans that differ by at most 0\.0001, got NaN/,
  );
  freeModel(model);
});
