/** Whole runs of every strategy, by all of its ways: to an exact count, and with the same bits when stopped anywhere. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Interrupted } from '../../src/events';
import { loadModel } from '../../src/io/model';
import { freeModel } from '../../src/nn/model';
import { sparsityOf } from '../../src/prune/mask';
import { strategies } from '../../src/prune/strategies/registry';
import type { Config } from '../../src/recipe/config';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from './temporary';
import { compressIn, expectTidy, resultOf, sparsityFor, tinyConfig } from './tiny-run';

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

const configOf = (name: string, changes: object = {}) =>
  tinyConfig({
    pretrain: { epochs: 1, batch: 20, learningRate: 0.01 },
    finetune: { epochs: 1, batch: 20, learningRate: 0.005 },
    prune: { strategy: quick(name), sparsity: sparsityFor(name, 0.8) },
    evaluate: { attack: { name: 'pgd', steps: 1 }, batch: 60 },
    ...changes,
  });

/** Checks what a run has left of its network. */
async function expectPruned(
  dir: string,
  name: string,
  { sparsity = sparsityFor(name, 0.8), atLeast = false } = {},
): Promise<void> {
  const [dense, pruned] = await Promise.all(
    ['dense', 'pruned'].map((file) => loadModel(engine, `${dir}/${file}.safetensors`)),
  );
  const { weights, nonzero, layers } = sparsityOf(pruned!, dense!.graph);
  const gone = Math.round(sparsity * weights);
  if (strategies[name]!.structured || atLeast)
    expect(weights - nonzero).toBeGreaterThanOrEqual(gone);
  else expect(weights - nonzero).toBe(gone);
  expect(Math.min(...layers.map((layer) => layer.nonzero))).toBeGreaterThan(0);
  for (const model of [dense!, pruned!]) freeModel(model);
}

/** Runs it, stopped after every batch or two; returns how often it was. */
async function inParts(dir: string, config: Config): Promise<number> {
  engine.arena.trim();
  const used = engine.memory.usedBytes;
  let stopped = 0;
  for (;;) {
    const controller = new AbortController();
    let count = 0;
    try {
      await compressIn(engine, dir, config, {
        signal: controller.signal,
        // Evaluation begins anew each time, so it must be let through in the end.
        onEvent: (event) => {
          if (event.type === 'phase' || event.type === 'progress') count++;
          if (stopped < 25 && count > 1) controller.abort();
        },
      });
      return stopped;
    } catch (error) {
      expect(error).toBeInstanceOf(Interrupted);
      stopped++;
      engine.arena.trim();
      expect(engine.memory.usedBytes).toBe(used);
    }
  }
}

/** Options by which a strategy goes another way, each with a sparsity that it has. */
const WAYS: readonly [name: string, options: object][] = [
  ...['magnitude', 'random', 'snip', 'grasp', 'synflow', 'obd', 'fisher', 'lottery', 'n-m'].map(
    (name): [string, object] => [name, { gradual: { every: 2, end: 0.5 } }],
  ),
  ['magnitude', { gradual: { every: 1000 } }],
  ['magnitude', { unit: 'deviation', scope: 'global' }],
  ['magnitude', { pattern: '4x1', scope: 'erk' }],
  ['obd', { pattern: 'n:4', scope: 'layer' }],
  ['obd', { curvature: 'gauss-newton' }],
  ['random', { start: 'initial', scope: 'erk' }],
  ['lottery', { rewind: 0 }],
  ['rigl', { grow: 'random' }],
  ['hydra', { sharpness: 0.05, epochs: 2, optimizer: 'adam' }],
  ['harp', { sharpness: 0.05, scope: 'layer' }],
];

describe.each(WAYS)('%s with %j', (name, options) => {
  it('prunes exactly and ends with the same bits, stopped here and there', async () => {
    await inTemporaryFolder(async (file) => {
      const strategy = { ...quick(name), ...options };
      const config = configOf(name, { prune: { strategy, sparsity: 0.75 } });
      await compressIn(engine, file('whole'), config);
      // A weight that was drawn without regard to its gradient may stay 0.
      const atLeast = 'grow' in options;
      await expectPruned(file('whole'), name, { sparsity: 0.75, atLeast });
      expect(await inParts(file('parts'), config)).toBeGreaterThan(2);
      expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
    });
  });
});

describe('what cannot be done', () => {
  const refused: readonly [changes: object, words: RegExp][] = [
    [
      { pretrain: { epochs: 0 }, prune: { strategy: 'obd' } },
      /prune\.strategy obd: expected a trained network to judge, got pretrain\.epochs 0/,
    ],
    [
      { prune: { strategy: 'snip', sparsity: 0.9999 } },
      /prune\.sparsity: expected at most 0\.99\d*, got 0\.9999\. Each of the 3 layers/,
    ],
    [
      { prune: { strategy: 'n-m', sparsity: 0.9 } },
      /prune\.sparsity: expected one of 0\.25, 0\.5, 0\.75, got 0\.9\. Of every 4 inputs/,
    ],
    [
      { prune: { strategy: { name: 'obd', pattern: 'n:4' }, sparsity: 0.75 } },
      /prune\.strategy\.scope: expected layer for the pattern n:4, got global/,
    ],
    [
      { prune: { strategy: 'snip' }, finetune: { start: 'last' } },
      /finetune\.start with snip: expected initial, where the strategy begins, got last/,
    ],
    [
      { prune: { strategy: { name: 'lottery', rewind: 9 } } },
      /prune\.strategy lottery: start: expected at most 1, the epochs of pre-training, got 9/,
    ],
    [
      {
        prune: { strategy: { name: 'magnitude', gradual: {} } },
        finetune: { epochs: 0 },
      },
      /prune\.strategy magnitude: expected 288 weights to go while training, got 0\. Give/,
    ],
    [
      { prune: { strategy: { name: 'movement', epochs: 0 } } },
      /prune\.strategy movement: expected 288 weights to go while training, got 0\. Give/,
    ],
  ];
  it.each(refused)('%j', async (changes, words) => {
    await inTemporaryFolder(async (file) => {
      await expect(compressIn(engine, file('run'), configOf('magnitude', changes))).rejects.toThrow(
        words,
      );
    });
  });
});

describe.each(Object.keys(strategies))('%s', (name) => {
  it('ends with the same bits, stopped after every batch or two', async () => {
    await inTemporaryFolder(async (file) => {
      const config = configOf(name, {
        prune: {
          ...{ strategy: quick(name), sparsity: sparsityFor(name, 0.8), rounds: 2 },
        },
      });
      await compressIn(engine, file('whole'), config);
      await expectPruned(file('whole'), name);
      await expectTidy(file('whole'));
      expect(await inParts(file('parts'), config)).toBeGreaterThan(3);
      expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
    });
  });
});
