/** Every way of training as a whole run: stopped after every batch, on two threads, pruned, always the same bits. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Interrupted, type RunEvent } from '../../src/events';
import { readJournal } from '../../src/io/journal';
import { loadModel } from '../../src/io/model';
import { freeModel } from '../../src/nn/model';
import { sparsityOf } from '../../src/prune/mask';
import type { Config } from '../../src/recipe/config';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { OPTIMIZERS } from '../../src/train/optimizers';
import { SCHEDULES } from '../../src/train/schedules';
import { inTemporaryFolder } from './temporary';
import { compressIn, resultOf, tinyConfig } from './tiny-run';

let engine: Engine;
let two: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  two = await load({ threads: 2 });
});
afterAll(() => {
  engine.close();
  two.close();
});

type Json = Record<string, unknown>;

/** Two phases of three epochs with three batches each, both trained in the given way. */
const configOf = (training: Json, changes: Json = {}): Config =>
  tinyConfig({
    objective: 'benign',
    network: { name: 'mlp', hidden: [12] },
    pretrain: { epochs: 3, batch: 70, learningRate: 0.01, ...training },
    finetune: { epochs: 3, batch: 70, learningRate: 0.005, ...training },
    prune: { strategy: 'magnitude', sparsity: 0.8 },
    evaluate: { attack: { name: 'pgd', steps: 1 }, batch: 60 },
    ...changes,
  });

/** Runs it, stopped after every batch or two; returns how often it was. */
async function inParts(dir: string, config: Config): Promise<number> {
  let stopped = 0;
  for (;;) {
    const controller = new AbortController();
    let count = 0;
    const onEvent = (event: RunEvent): void => {
      if (event.type === 'phase' || event.type === 'progress') count++;
      if (stopped < 12 && count > 1) controller.abort();
    };
    try {
      await compressIn(engine, dir, config, { signal: controller.signal, onEvent });
      return stopped;
    } catch (error) {
      expect(error).toBeInstanceOf(Interrupted);
      stopped++;
    }
  }
}

async function expectSameBits(config: Config): Promise<void> {
  await inTemporaryFolder(async (file) => {
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    await compressIn(engine, file('whole'), config);
    expect(await inParts(file('parts'), config)).toBeGreaterThan(3);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
    await compressIn(two, file('threads'), config);
    const whole = await resultOf(file('whole'));
    expect(await resultOf(file('parts'))).toEqual(whole);
    expect(await resultOf(file('threads'))).toEqual(whole);
    const [dense, pruned] = await Promise.all(
      ['dense', 'pruned'].map((name) => loadModel(engine, file(`whole/${name}.safetensors`))),
    );
    const { weights, nonzero } = sparsityOf(pruned!, dense!.graph);
    expect(weights - nonzero).toBe(Math.round(0.8 * weights));
    for (const model of [dense!, pruned!]) freeModel(model);
  });
}

const WAYS: readonly [string, Json, Json?][] = [
  ...OPTIMIZERS.map((optimizer): [string, Json] => [optimizer, { optimizer, weightDecay: 0.01 }]),
  ...SCHEDULES.map((name): [string, Json] => [name, { schedule: { name, patience: 1 } }]),
  ['averages that move', { average: 'ema' }],
  ['averages of epochs', { average: { name: 'swa', start: 0.4 } }],
  ['smoothed labels', { labelSmoothing: 0.1 }],
  ['an early stop', { epochs: 5, earlyStop: 1, learningRate: 1 }],
  ['sharpness', { sharpness: 0.01 }],
  [
    'cutout',
    {},
    { data: { name: 'toy', heldOut: 20, augment: { crop: 1, flip: true, cutout: 2 } } },
  ],
  [
    'averages while masks change',
    { average: 'ema' },
    { prune: { strategy: { name: 'rigl', every: 2, scope: 'global' }, sparsity: 0.8 } },
  ],
  ['averages of scores', { average: 'ema' }, { prune: { strategy: 'hydra', sparsity: 0.8 } }],
  ...Object.keys(objectives)
    .filter((name) => !['benign', 'ibp', 'crown-ibp'].includes(name))
    .map((name): [string, Json, Json] => [name, {}, { objective: { name, ...QUICK(name) } }]),
];

/** Fewer steps and replays, where an objective has them. */
function QUICK(name: string): Json {
  const known = Object.keys(objectives[name]!.options.entries);
  const few = Object.entries({ steps: 1, replays: 2, votes: 4 });
  return Object.fromEntries(few.filter(([option]) => known.includes(option)));
}

it.each(WAYS)('%s', (_, training, changes) => expectSameBits(configOf(training, changes)));

describe('networks beside the trained one', () => {
  it('are a teacher and static adversaries, by files', async () => {
    await inTemporaryFolder(async (file) => {
      await compressIn(engine, file('first'), configOf({}));
      const dense = file('first/dense.safetensors');
      const objective = { name: 'ensemble', files: [dense] };
      const teacher = { file: dense, weight: 0.7, temperature: 2 };
      await expectSameBits(configOf({ teacher }, { objective }));
    });
  });

  it('are refused where there is none, where they do not fit, and where a loss is of bounds', async () => {
    await inTemporaryFolder(async (file) => {
      const run = (config: Config) => compressIn(engine, file('run'), config);
      const missing = { name: 'ensemble', files: [file('none.safetensors')] };
      await expect(run(configOf({}, { objective: missing }))).rejects.toThrow(/none\.safetensors/);
      for (const training of [{ labelSmoothing: 0.1 }, { teacher: { file: 'any' } }])
        await expect(run(configOf(training, { objective: 'ibp' }))).rejects.toThrow(
          /objective ibp: expected hard labels/,
        );
    });
  });
});

describe('early stop', () => {
  it('ends a phase after so many epochs that bring nothing better', async () => {
    await inTemporaryFolder(async (file) => {
      const training = { epochs: 9, earlyStop: 2 };
      // Later epochs win ties, so it takes worse ones: steps that are far too long.
      await compressIn(engine, file('run'), configOf({ ...training, learningRate: 3 }));
      const epochs = (await readJournal(file('run/journal.jsonl'))).filter(
        ({ event }) => event === 'epoch',
      );
      expect(epochs.length).toBeLessThan(18);
    });
  });
});

describe('one-step training that collapses', () => {
  it('goes back to its best weights, and says so', async () => {
    await inTemporaryFolder(async (file) => {
      const notes: string[] = [];
      const objective = { name: 'adversarial', steps: 1, rampShare: 0, collapse: 0.02 };
      const training = { epochs: 8, learningRate: 1 };
      await compressIn(engine, file('run'), configOf(training, { objective }), {
        onEvent: (event) => {
          if (event.type === 'note') notes.push(event.text);
        },
      });
      const records = await readJournal(file('run/journal.jsonl'));
      const collapsed = records.filter(
        (record) => (record as { metrics?: Record<string, number> }).metrics?.collapsed === 1,
      );
      const told = notes.filter((text) => /^Training collapsed in epoch \d+: robust/.test(text));
      expect(collapsed.length).toBeGreaterThan(0);
      expect(told).toHaveLength(collapsed.length);
    });
  });
});
