/** Whole runs of every strategy: with every objective, to an exact count; and stopped anywhere, with the same bits. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Interrupted } from '../../src/events';
import { loadModel } from '../../src/io/model';
import { freeModel } from '../../src/nn/model';
import { sparsityOf } from '../../src/prune/mask';
import { strategies } from '../../src/prune/strategies/registry';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { inTemporaryFolder } from './temporary';
import { compressIn, expectTidy, resultOf, tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

/** Small numbers for the options that make a strategy slow, and changes every few of a run's 12 batches. */
const QUICK: Readonly<Record<string, unknown>> = {
  ...{ batches: 1, samples: 8, rounds: 4, every: 2, curvature: 'fisher' },
};
const quick = (name: string): object => {
  const known = Object.keys(strategies[name]!.options.entries);
  const own = Object.entries(QUICK).filter(([option]) => known.includes(option));
  return { name, ...Object.fromEntries(own) };
};
/** n:m has the sparsities 1 - n / m alone. */
const sparsityFor = (name: string): number => (name === 'n-m' ? 0.75 : 0.8);

const configOf = (name: string, changes: object = {}) =>
  tinyConfig({
    pretrain: { epochs: 1, batch: 20, learningRate: 0.01 },
    finetune: { epochs: 1, batch: 20, learningRate: 0.005 },
    prune: { strategy: quick(name), sparsity: sparsityFor(name) },
    evaluate: { attack: { name: 'pgd', steps: 1 }, batch: 60 },
    ...changes,
  });

/** Checks what a run has left of its network. */
async function expectPruned(dir: string, name: string): Promise<void> {
  const [dense, pruned] = await Promise.all(
    ['dense', 'pruned'].map((file) => loadModel(engine, `${dir}/${file}.safetensors`)),
  );
  const { weights, nonzero, layers } = sparsityOf(pruned!, dense!.graph);
  const gone = Math.round(sparsityFor(name) * weights);
  if (strategies[name]!.structured) expect(weights - nonzero).toBeGreaterThanOrEqual(gone);
  else expect(weights - nonzero).toBe(gone);
  expect(Math.min(...layers.map((layer) => layer.nonzero))).toBeGreaterThan(0);
  for (const model of [dense!, pruned!]) freeModel(model);
}

describe.each(Object.keys(strategies))('%s', (name) => {
  it.each(Object.keys(objectives))('prunes exactly in a run with %s', async (objective) => {
    await inTemporaryFolder(async (file) => {
      await compressIn(engine, file('run'), configOf(name, { objective }));
      await expectPruned(file('run'), name);
      await expectTidy(file('run'));
    });
  });

  it('ends with the same bits, stopped after every batch or two', async () => {
    await inTemporaryFolder(async (file) => {
      const config = configOf(name, {
        prune: {
          ...{ strategy: quick(name), sparsity: sparsityFor(name), rounds: 2 },
        },
      });
      await compressIn(engine, file('whole'), config);
      await expectPruned(file('whole'), name);
      engine.arena.trim();
      const used = engine.memory.usedBytes;
      let stopped = 0;
      for (let done = false; !done; ) {
        const controller = new AbortController();
        let count = 0;
        try {
          await compressIn(engine, file('parts'), config, {
            signal: controller.signal,
            onEvent: (event) => {
              if (event.type === 'phase' || event.type === 'progress') count++;
              if (stopped < 25 && count > 1) controller.abort();
            },
          });
          done = true;
        } catch (error) {
          expect(error).toBeInstanceOf(Interrupted);
          stopped++;
          engine.arena.trim();
          expect(engine.memory.usedBytes).toBe(used);
        }
      }
      expect(stopped).toBeGreaterThan(3);
      expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
    });
  });
});
