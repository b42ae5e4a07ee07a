/** The sensitivity scan against masked networks evaluated one by one, its table, and its page. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchOf } from '../../src/data/batches';
import { predict } from '../../src/domain/classifier';
import { Interrupted } from '../../src/events';
import { sequential } from '../../src/nn/graph';
import { createModel, freeModel, type Model, prunableNames } from '../../src/nn/model';
import { channelsOf } from '../../src/prune/channels';
import { applyMasks, countKept } from '../../src/prune/mask';
import { channelMasks } from '../../src/prune/shrink';
import { sensitivity } from '../../src/recipe/sensitivity';
import { loadTrainingData } from '../../src/recipe/training-data';
import { renderSensitivity, sensitivityTable, sensitivityText } from '../../src/report/sensitivity';
import { renderTable } from '../../src/report/table';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const network = sequential(
  'scanned',
  [1, 4, 4],
  [
    ['conv2d', { channels: 6, kernel: 3, padding: 1 }],
    ['batch-norm'],
    ['relu'],
    ['flatten'],
    ['dense', { units: 12 }],
    ['relu'],
    ['dense', { units: 4 }],
  ],
);
const fresh = (): Model => {
  const model = createModel(engine, network, { seed: 2 });
  model.params.get('batch-norm1.weight')!.write([0.5, -2, 0.1, -0.05, 1, 0.7]);
  return model;
};
const config = tinyConfig({ objective: { name: 'benign' } });

describe('sensitivity', () => {
  it('is the accuracy of the masked network, layer by layer, and frees all it took', async () => {
    const model = fresh();
    const before = new Map(Array.from(model.params, ([name, t]) => [name, t.read()]));
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    const found = await sensitivity(model, { config, score: 'l1' });
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
    for (const [name, t] of model.params) expect(t.read()).toEqual(before.get(name));

    const { set, held } = await loadTrainingData(config);
    expect(found.images).toBe(held.count);
    const { images, labels } = batchOf(set, held, 0, held.count);
    const accuracy = (): number => {
      const classes = step(engine, () =>
        predict(model, input(engine, images, [held.count, 1, 4, 4])),
      );
      return classes.filter((c, i) => c === labels[i]).length / held.count;
    };
    expect(found.whole.benign).toBe(accuracy());
    expect(found.layers.map(({ layers, filters }) => [...layers, filters])).toEqual([
      ['conv2d1', 6],
      ['dense1', 12],
    ]);
    // Tenths of 6 and of 12, to whole filters; one always stays.
    expect(found.layers.map(({ points }) => points.map((p) => p.removed))).toEqual([
      [1, 2, 3, 4, 5],
      [1, 2, 4, 5, 6, 7, 8, 10, 11],
    ]);
    const channels = channelsOf(model.graph);
    const total = prunableNames(model.graph).reduce((n, name) => n + before.get(name)!.length, 0);
    for (const { layers, points } of found.layers) {
      const at = model.graph.nodes.findIndex(({ name }) => name === layers[0]);
      const rows = channels.outputs[at]!;
      const weight = before.get(`${layers[0]}.weight`)!;
      const width = weight.length / rows.length;
      const norm = (r: number): number =>
        weight.slice(r * width, (r + 1) * width).reduce((n, w) => n + Math.abs(w), 0);
      const order = rows.map((_, r) => r).sort((a, b) => norm(a) - norm(b));
      for (const { removed, share, weights, benign } of points) {
        const gone = new Set(order.slice(0, removed).map((r) => rows[r]!));
        const masks = channelMasks(model, channels, gone);
        applyMasks(model, masks);
        expect(benign).toBe(accuracy());
        const kept = [...masks.values()].reduce((n, mask) => n + countKept(mask), 0);
        expect(weights).toBeCloseTo(1 - kept / total, 12);
        expect(share).toBe(removed / rows.length);
        for (const [name, values] of before) model.params.get(name)!.write(values);
      }
    }
    freeModel(model);
  });

  it('goes by the score: gains leave layers without batch norm alone', async () => {
    const model = fresh();
    const found = await sensitivity(model, { config, score: 'batch-norm' });
    expect(found.layers.map(({ layers }) => layers)).toEqual([['conv2d1']]);
    freeModel(model);
  });

  it('measures what the objective calls robust, and shows both', async () => {
    const model = fresh();
    const robust = tinyConfig({ objective: { name: 'ibp', eps: 0.05 } });
    const found = await sensitivity(model, { config: robust, score: 'l1' });
    const points = found.layers.flatMap((layer) => layer.points);
    for (const point of points) expect(point.robust).toBeLessThanOrEqual(point.benign);
    expect(sensitivityText(found)).toContain('benign / robust accuracy of 20 held-out images');
    const text = renderTable(sensitivityTable(found));
    expect(text).toMatch(/conv2d1 │ +6 │/);
    const page = await renderSensitivity(found, 'a<b>');
    for (const text of ['a&lt;b&gt;', 'conv2d1</figcaption>', 'dense1</figcaption>'])
      expect(page).toContain(text);
    expect(page.match(/<svg/g)).toHaveLength(2);
    expect(page).not.toMatch(/<script|NaN|undefined/);
    freeModel(model);
  });

  it('stops at a signal, and says in words what it cannot scan', async () => {
    const model = fresh();
    const job = { config, score: 'l1' } as const;
    const stopped = sensitivity(model, { ...job, signal: { aborted: true } });
    await expect(stopped).rejects.toThrow(Interrupted);
    const none = { ...config, data: { ...config.data, heldOut: 0 } };
    await expect(sensitivity(model, { ...job, config: none })).rejects.toThrow(
      'data.heldOut: expected images to measure on, got 0',
    );
    freeModel(model);
    const linear = sequential('linear', [1, 4, 4], [['flatten'], ['dense', { units: 4 }]]);
    const single = createModel(engine, linear);
    await expect(sensitivity(single, job)).rejects.toThrow(
      'linear: expected a layer that can lose filters, got none',
    );
    freeModel(single);
  });
});
