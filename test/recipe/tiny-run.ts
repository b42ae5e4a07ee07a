/** Whole runs on the toy problem, in well under a second. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { datasets } from '../../src/data/registry';
import type { DataSource } from '../../src/data/types';
import type { Listener } from '../../src/events';
import { readJournal } from '../../src/io/journal';
import { compress } from '../../src/recipe/compress';
import { type Config, parseConfig } from '../../src/recipe/config';
import { openRun } from '../../src/recipe/run-dir';
import type { Summary } from '../../src/report/types';
import type { Engine } from '../../src/runtime/engine';
import { toySource } from '../train/toy';

/** Adds a data set for this test file; before a config names it. */
export function register(name: string, source: DataSource): void {
  (datasets as Record<string, DataSource>)[name] = source;
}
register('toy', toySource);

type Json = Readonly<Record<string, unknown>>;

/** A sparsity that the strategy can reach: n:m has those of 1 - n / m alone. */
export const sparsityFor = (strategy: string, wanted = 0.9): number =>
  strategy === 'n-m' ? 0.75 : wanted;

/** A run of about 100 steps; `changes` replace whole sections. */
export const tinyConfig = (changes: Json = {}): Config =>
  parseConfig(
    {
      name: 'tiny',
      data: { name: 'toy', heldOut: 20 },
      network: { name: 'mlp', hidden: [12, 8] },
      objective: { name: 'ibp', eps: 0.05 },
      pretrain: { epochs: 4, batch: 16, learningRate: 0.01 },
      finetune: { epochs: 2, batch: 16, learningRate: 0.005 },
      evaluate: { attack: { name: 'pgd', steps: 4 }, batch: 25 },
      ...changes,
    },
    'tiny',
  );

export interface RunHooks {
  readonly onEvent?: Listener;
  readonly signal?: AbortSignal;
}

/** `compress` in the directory `dir`, opened and released. */
export async function compressIn(
  engine: Engine,
  dir: string,
  config: Config,
  hooks: RunHooks = {},
): Promise<Summary> {
  const opened = await openRun(dir, config);
  try {
    return await compress(config, { engine, dir: opened, ...hooks });
  } finally {
    await opened.release();
  }
}

/** Records without what the clock decides. */
export const timeless = (records: readonly object[]): object[] =>
  records.map((record) => ({ ...record, seconds: 0, imagesPerSecond: 0 }));

const MODELS = ['dense.safetensors', 'pruned.safetensors'];

/** Models byte for byte, and journal and accuracies without the clock. */
export async function resultOf(dir: string) {
  const models = await Promise.all(MODELS.map(async (name) => readFile(join(dir, name), 'base64')));
  const summary = JSON.parse(await readFile(join(dir, 'summary.json'), 'utf8'));
  const { dense, pruned, retained, sparsity, contradictions, layers } = summary;
  return {
    models,
    epochs: timeless(await readJournal(join(dir, 'journal.jsonl'))),
    summary: { dense, pruned, retained, sparsity, contradictions, layers },
  };
}

/** Nothing but whole files under their own names. */
export async function expectTidy(dir: string): Promise<void> {
  const names = await readdir(dir);
  expect(names.filter((name) => /\.tmp$|^lock/.test(name))).toEqual([]);
}
