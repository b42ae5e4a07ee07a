/** All pairs of strategy and objective on the digits: an epoch of everything, and the count that was asked for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/io/model';
import { freeModel } from '../../src/nn/model';
import { sparsityOf } from '../../src/prune/mask';
import { strategies } from '../../src/prune/strategies/registry';
import { parseConfig } from '../../src/recipe/config';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { inTemporaryFolder } from '../recipe/temporary';
import { compressIn, sparsityFor } from '../recipe/tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

describe.each(Object.keys(strategies))('%s', (name) => {
  it.each(Object.keys(objectives))('with %s', async (objective) => {
    await inTemporaryFolder(async (file) => {
      const sparsity = sparsityFor(name);
      const hasRadius = 'eps' in objectives[objective]!.options.entries;
      const given = {
        ...{
          data: 'digits',
          network: 'cnn-small',
          objective: { name: objective, ...(hasRadius && { eps: 0.05 }) },
        },
        pretrain: { epochs: 1, batch: 32, learningRate: 0.002 },
        finetune: { epochs: 1, batch: 32 },
        prune: { strategy: name, sparsity },
        evaluate: { attack: { name: 'pgd', steps: 1 }, attackLimit: 20, verifyLimit: 20 },
      };
      const config = parseConfig(given, 'digits');
      const summary = await compressIn(engine, file('run'), config);
      const [dense, pruned] = await Promise.all(
        ['dense', 'pruned'].map((own) => loadModel(engine, file(`run/${own}.safetensors`))),
      );
      const { weights, nonzero, layers } = sparsityOf(pruned!, dense!.graph);
      const gone = Math.round(sparsity * weights);
      if (strategies[name]!.structured) expect(weights - nonzero).toBeGreaterThanOrEqual(gone);
      else expect(weights - nonzero).toBe(gone);
      expect(Math.min(...layers.map((layer) => layer.nonzero))).toBeGreaterThan(0);
      expect(summary.contradictions).toBe(0);
      for (const model of [dense!, pruned!]) freeModel(model);
    });
  });
});
