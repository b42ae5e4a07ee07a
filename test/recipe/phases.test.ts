/** Single phases on models: pruning, fine-tuning, bounds; nothing of the caller's is freed or lost. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outputBounds } from '../../src/evaluate/bounds';
import { Interrupted } from '../../src/events';
import { createModel, freeModel, type Model, prunableNames } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { countNonzero } from '../../src/prune/mask';
import { pruneModel, trainModel } from '../../src/recipe/phases';
import { type Engine, load } from '../../src/runtime/engine';
import { toySet } from '../train/toy';
import { tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const network = buildNetwork('mlp', { hidden: [12, 8] }, [1, 4, 4], 4);
const fresh = (): Model => createModel(engine, network, { seed: 1 });
const used = (): number => {
  engine.arena.trim();
  return engine.memory.usedBytes;
};
const nonzeros = ({ graph, params }: Model): number =>
  prunableNames(graph).reduce((n, name) => n + countNonzero(params.get(name)!), 0);

describe('pruneModel', () => {
  it.each(['magnitude', 'random', 'filter'])(
    '%s leaves one model a caller has to free',
    async (name) => {
      const before = used();
      const model = fresh();
      const total = nonzeros(model);
      const pruned = await pruneModel(model, { strategy: { name }, sparsity: 0.75, seed: 1 });
      expect(nonzeros(pruned)).toBeLessThanOrEqual(total - Math.round(0.75 * total));
      if (pruned !== model) freeModel(pruned);
      freeModel(model);
      expect(used()).toBe(before);
    },
  );

  it('refuses sparsities outside [0, 1), and strategies that have to train', async () => {
    const model = fresh();
    const pruned = (name: string, sparsity: number) =>
      pruneModel(model, { strategy: { name }, sparsity, seed: 1 });
    for (const sparsity of [1, -0.1, Number.NaN])
      await expect(pruned('magnitude', sparsity)).rejects.toThrow(/prune\.sparsity.*\[0, 1\)/);
    await expect(pruned('hydra', 0.5)).rejects.toThrow(
      /prune\.strategy: .* trains scores.*compress/,
    );
    freeModel(model);
  });
});

describe('trainModel', () => {
  it('moves what is not zero, keeps zeros zero, and frees what it took', async () => {
    const before = used();
    const model = fresh();
    pruneModel(model, { strategy: { name: 'magnitude' }, sparsity: 0.75, seed: 1 });
    const weights = prunableNames(model.graph).map((name) => model.params.get(name)!);
    const old = weights.map((t) => t.read());
    await trainModel(model, tinyConfig(), {});
    weights.forEach((t, at) => {
      const now = t.read();
      expect(now).not.toEqual(old[at]);
      now.forEach((value, i) => {
        if (old[at]![i] === 0) expect(Object.is(value, 0)).toBe(true);
      });
    });
    freeModel(model);
    expect(used()).toBe(before);
  });

  it('changes nothing where every epoch is worse than the start, and has a better one where there is', async () => {
    const model = fresh();
    await trainModel(
      model,
      tinyConfig({ finetune: { epochs: 4, batch: 16, learningRate: 0.01 } }),
      {},
    );
    const trained = new Map(Array.from(model.params, ([name, t]) => [name, t.read()]));
    // Too large a step to gain anything by.
    const wild = { epochs: 1, batch: 16, learningRate: 3, optimizer: 'sgd', gradientClip: null };
    await trainModel(model, tinyConfig({ finetune: wild }), {});
    for (const [name, t] of model.params) expect(t.read()).toEqual(trained.get(name));
    freeModel(model);
  });

  it('frees what it took when interrupted, diverging, or given other data', async () => {
    const before = used();
    const model = fresh();
    const signal = AbortSignal.abort();
    await expect(trainModel(model, tinyConfig(), { signal })).rejects.toThrow(Interrupted);
    const wild = tinyConfig({ finetune: { epochs: 9, learningRate: 1e30, optimizer: 'sgd' } });
    await expect(trainModel(model, wild, {})).rejects.toThrow(/expected (a )?finite/);
    const digits = tinyConfig({ data: 'digits' });
    await expect(trainModel(model, digits, {})).rejects.toThrow(/expected images \[1,4,4\]/);
    freeModel(model);
    expect(used()).toBe(before);
  });
});

describe('outputBounds', () => {
  const options = (given: object) => ({
    indices: [0, 59, 7],
    eps: 0.03,
    method: { name: 'interval' },
    ...given,
  });

  it('contain the outputs, and certify by their margins', async () => {
    const before = used();
    const model = fresh();
    const set = await toySet();
    const found = outputBounds(model, set, options({}));
    expect(found.map(({ index }) => index)).toEqual([0, 59, 7]);
    for (const { label, logits, lo, hi, margins, certified, predicted } of found) {
      logits.forEach((z, j) => {
        expect(z).toBeGreaterThanOrEqual(lo[j]!);
        expect(z).toBeLessThanOrEqual(hi[j]!);
        if (j !== label) expect(logits[label]! - z).toBeGreaterThanOrEqual(margins[j]!);
      });
      expect(margins[label]).toBeNull();
      expect(certified).toBe(margins.every((m) => m === null || m > 0));
      expect(predicted).toBe(logits.indexOf(Math.max(...logits)));
    }
    const unsound = outputBounds(
      model,
      set,
      options({ method: { name: 'interval', sound: false } }),
    );
    expect(unsound.some(({ certified }) => certified)).toBe(false);
    freeModel(model);
    expect(used()).toBe(before);
  });

  it('refuse positions that are not there, and free what they took', async () => {
    const model = fresh();
    const set = await toySet();
    const before = used();
    for (const index of [60, -1, 0.5])
      expect(() => outputBounds(model, set, options({ indices: [0, index] }))).toThrow(
        /--index: expected positions in \[0, 60\)/,
      );
    expect(used()).toBe(before);
    freeModel(model);
  });
});
