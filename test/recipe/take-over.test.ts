/** Runs that begin with phases of others: the same bits as whole ones, and refusals. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compress, pretrain } from '../../src/recipe/compress';
import type { Config } from '../../src/recipe/config';
import { openRun } from '../../src/recipe/run-dir';
import { sharedPhases } from '../../src/recipe/take-over';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from './temporary';
import { compressIn, resultOf, tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

type Changes = Parameters<typeof tinyConfig>[0];

async function runFrom(dir: string, config: Config, from: string) {
  const opened = await openRun(dir, config);
  const phases: string[] = [];
  const onEvent = (event: { type: string; title?: string; total?: number; done?: number }) => {
    if (event.type === 'phase' && event.done! < event.total!) phases.push(event.title!);
  };
  try {
    await compress(config, { engine, dir: opened, from, onEvent });
    return phases;
  } finally {
    await opened.release();
  }
}

async function pretrainIn(dir: string, config: Config) {
  const opened = await openRun(dir, config);
  try {
    await pretrain(config, { engine, dir: opened });
  } finally {
    await opened.release();
  }
}

it.each<[string, Changes]>([
  ['one shot', { prune: { sparsity: 0.8 } }],
  ['rounds', { prune: { rounds: 2 } }],
  ['rewinding', { finetune: { epochs: 2, batch: 16, start: 2 } }],
])('pre-training of another run, %s', async (_, changes) => {
  await inTemporaryFolder(async (file) => {
    const config = tinyConfig(changes);
    const start = config.finetune.start;
    await pretrainIn(file('dense'), tinyConfig({ finetune: { start } }));
    await compressIn(engine, file('whole'), config);
    const phases = await runFrom(file('part'), config, file('dense'));
    expect(phases).not.toContain('pre-train');
    expect(await resultOf(file('part'))).toEqual(await resultOf(file('whole')));
  });
});

it('a control goes on from the pruned run', async () => {
  await inTemporaryFolder(async (file) => {
    const own = tinyConfig({ prune: { sparsity: 0.8 } });
    const control = tinyConfig({ prune: { sparsity: 0.8, control: 'random-mask' } });
    expect(sharedPhases(control, own)).toBe(2);
    await compressIn(engine, file('own'), own);
    await compressIn(engine, file('whole'), control);
    const phases = await runFrom(file('part'), control, file('own'));
    expect(phases.filter((title) => /train|tune/.test(title))).toEqual(['train the control']);
    expect(await resultOf(file('part'))).toEqual(await resultOf(file('whole')));
  });
});

it.each<[string, Changes, number]>([
  ['another name', { name: 'other' }, 2],
  ['another seed', { seed: 7 }, 0],
  ['another network', { network: 'cnn-small' }, 0],
  ['another objective', { objective: 'benign' }, 0],
  ['other pre-training', { pretrain: { epochs: 3 } }, 0],
  ['other data', { data: { name: 'toy', heldOut: 21 } }, 0],
  ['another sparsity', { prune: { sparsity: 0.5 } }, 1],
  ['another strategy', { prune: { strategy: 'random' } }, 1],
  ['another evaluation', { evaluate: { eps: 0.2 } }, 2],
])('%s', (_, changes, count) => {
  expect(sharedPhases(tinyConfig(), tinyConfig(changes))).toBe(count);
});

it('refuses runs that are none of its own', async () => {
  await inTemporaryFolder(async (file) => {
    await compressIn(engine, file('own'), tinyConfig());
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    const from = (changes: Changes) => runFrom(file('new'), tinyConfig(changes), file('own'));
    await expect(from({ seed: 7 })).rejects.toThrow(/expected a run with the same pre-training/);
    await expect(from({ prune: { sparsity: 0.5 } })).rejects.toThrow(
      /expected a run that stands at the end of a phase of this one, got finetune/,
    );
    await expect(runFrom(file('new'), tinyConfig(), file('nowhere'))).rejects.toThrow(/nowhere/);
    await pretrainIn(file('dense'), tinyConfig());
    const rewound = tinyConfig({ finetune: { epochs: 2, batch: 16, start: 2 } });
    await expect(runFrom(file('new'), rewound, file('dense'))).rejects.toThrow(/epoch-2/);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });
});
