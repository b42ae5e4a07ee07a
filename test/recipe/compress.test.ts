/** The whole recipe: every objective with every strategy, and what a run leaves behind. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { parse } from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import type { RunEvent } from '../../src/events';
import { readJournal } from '../../src/io/journal';
import { loadModel, readMetadata } from '../../src/io/model';
import { prunableNames } from '../../src/nn/model';
import { strategies } from '../../src/prune/strategies/registry';
import { compress, pretrain } from '../../src/recipe/compress';
import { openRun } from '../../src/recipe/run-dir';
import { phasesOfRun } from '../../src/recipe/run-phases';
import { earlyEpochs } from '../../src/recipe/take-over';
import type { Accuracies, EpochRecord, Proportion } from '../../src/report/types';
import { type Engine, load } from '../../src/runtime/engine';
import { clopperPearson } from '../../src/statistics';
import { objectives } from '../../src/train/objectives/registry';
import { toySet } from '../train/toy';
import { SUMMARY } from './summary-schema';
import { inTemporaryFolder } from './temporary';
import { compressIn, register, sparsityFor, timeless, tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const used = (): number => {
  engine.arena.trim();
  return engine.memory.usedBytes;
};

function checkAccuracies({ benign, era, vra }: Accuracies): void {
  for (const p of [benign, era, vra] satisfies Proportion[]) {
    expect(p.total).toBe(60);
    expect(p.value).toBe(p.correct / p.total);
    expect({ lo: p.lo, hi: p.hi }).toEqual(clopperPearson(p.correct, p.total));
  }
  expect(era.correct).toBeLessThanOrEqual(benign.correct);
  expect(vra.correct).toBeLessThanOrEqual(era.correct);
}

/** Every objective and every strategy; all pairs of them are a slow test. */
const PAIRS = Object.keys(objectives).flatMap((objective) =>
  Object.keys(strategies)
    .filter((strategy) => ['benign', 'ibp'].includes(objective) || strategy === 'magnitude')
    .map((strategy) => [objective, strategy] as const),
);

describe('every objective and strategy', () => {
  it.each(PAIRS)('of %s with %s', async (objective, strategy) => {
    await inTemporaryFolder(async (file) => {
      const before = used();
      const sparsity = sparsityFor(strategy);
      const config = tinyConfig({
        objective,
        prune: { strategy, sparsity },
      });
      const summary = await compressIn(engine, file('run'), config);
      expect(used()).toBe(before);
      parse(SUMMARY, summary);
      checkAccuracies(summary.dense);
      checkAccuracies(summary.pruned);
      expect(JSON.parse(await readFile(file('run/summary.json'), 'utf8'))).toEqual(
        JSON.parse(JSON.stringify(summary)),
      );
      expect((await readdir(file('run'))).sort()).toEqual(
        [
          'checkpoint.safetensors',
          'config.json',
          'dense.safetensors',
          ...earlyEpochs(phasesOfRun(config)).map((epoch) => `epoch-${epoch}.safetensors`),
          'journal.jsonl',
          'outcomes.json',
          'pruned.safetensors',
          'report.html',
          'summary.json',
        ].sort(),
      );
      const dense = await loadModel(engine, file('run/dense.safetensors'));
      const pruned = await loadModel(engine, file('run/pruned.safetensors'));
      const total = prunableNames(dense.graph).reduce((n, w) => n + dense.params.get(w)!.size, 0);
      const left = prunableNames(pruned.graph).reduce(
        (n, w) =>
          n +
          pruned.params
            .get(w)!
            .read()
            .filter((value) => value !== 0).length,
        0,
      );
      const gone = Math.round(sparsity * total);
      if (strategies[strategy]!.structured) expect(left).toBeLessThanOrEqual(total - gone);
      else expect(left).toBe(total - gone);
      expect(summary.sparsity).toBe(1 - left / total);
      expect(summary.layers.reduce((n, layer) => n + layer.nonzero, 0)).toBe(left);
      for (const model of [dense, pruned]) for (const t of model.params.values()) t.free();
    });
  });
});

describe('a run', () => {
  it('over gradual rounds keeps zeros zero and ends where it should', async () => {
    for (const strategy of ['magnitude', 'filter'])
      await inTemporaryFolder(async (file) => {
        const before = used();
        const prune = { strategy, sparsity: 0.8, rounds: 3 };
        const titles: string[] = [];
        const summary = await compressIn(engine, file('run'), tinyConfig({ prune }), {
          onEvent: (event) => event.type === 'phase' && titles.push(event.title),
        });
        expect(used()).toBe(before);
        // 16 x 12 + 12 x 8 + 8 x 4 weights.
        if (strategy === 'magnitude') expect(summary.sparsity).toBe(1 - 64 / 320);
        else expect(summary.sparsity).toBeGreaterThanOrEqual(0.8);
        expect(titles.filter((title) => /^prune/.test(title))).toHaveLength(3);
        const epochs = (await readJournal(file('run/journal.jsonl'))) as readonly EpochRecord[];
        expect(epochs.map(({ phase, round, epoch }) => `${phase} ${round} ${epoch}`)).toEqual([
          ...[1, 2, 3, 4].map((epoch) => `pretrain 0 ${epoch}`),
          ...[1, 2, 3].flatMap((round) => [1, 2].map((epoch) => `finetune ${round} ${epoch}`)),
        ]);
        expect(epochs.map((record) => record.overall)).toEqual(epochs.map((_, i) => i + 1));
      });
  });

  it('tells its phases in order, with progress up to the end', async () => {
    await inTemporaryFolder(async (file) => {
      const events: RunEvent[] = [];
      await compressIn(engine, file('run'), tinyConfig(), { onEvent: (e) => events.push(e) });
      const phases = events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []));
      expect(phases).toEqual([
        ...['data', 'pretrain', 'prune', 'finetune', 'evaluate', 'evaluate', 'report'],
      ]);
      for (const event of events)
        if (event.type === 'progress') {
          expect(event.done).toBeLessThanOrEqual(event.total);
          expect(event.rate).toBeGreaterThan(0);
        }
    });
  });

  it('runs once: the second time it shows its result', async () => {
    await inTemporaryFolder(async (file) => {
      const first = await compressIn(engine, file('run'), tinyConfig());
      const notes: string[] = [];
      const again = await compressIn(engine, file('run'), tinyConfig(), {
        onEvent: (event) => event.type === 'note' && notes.push(event.text),
      });
      expect(again).toEqual(JSON.parse(JSON.stringify(first)));
      expect(notes.join()).toMatch(/finished/);
      for (const damage of ['', '{}', 'null', '{"schema": 1']) {
        await writeFile(file('run/summary.json'), damage);
        const { pruned } = await compressIn(engine, file('run'), tinyConfig());
        expect(pruned).toEqual(first.pruned);
      }
    });
  });

  it('may have no epochs at all', async () => {
    await inTemporaryFolder(async (file) => {
      const none = { epochs: 0 };
      const config = tinyConfig({ pretrain: none, finetune: none, prune: { sparsity: 0 } });
      const summary = await compressIn(engine, file('run'), config);
      expect(summary.sparsity).toBe(0);
      expect(summary.dense).toEqual(summary.pruned);
      expect(await readFile(file('run/report.html'), 'utf8')).toContain('</html>');
    });
  });

  it('takes convolutions, batch norm and dropout, augmentation and batches that do not fit', async () => {
    await inTemporaryFolder(async (file) => {
      const before = used();
      const config = tinyConfig({
        data: { name: 'toy', heldOut: 21, augment: { crop: 1, flip: false } },
        network: { name: 'vgg16', width: 1 / 64 },
        pretrain: { epochs: 1, batch: 1000, optimizer: 'sgd', gradientClip: null },
        finetune: { epochs: 1, batch: 70, weightDecay: 1e-4, schedule: 'cosine' },
        objective: 'benign',
        evaluate: { attack: { name: 'fgsm' }, attackLimit: 7, verifyLimit: 13, batch: 10 },
      });
      // Four pools of a 4 x 4 image leave nothing, which is said by the layer's path.
      await expect(compressIn(engine, file('run'), config)).rejects.toThrow(/vgg16\.max-pool3/);
      const wide = tinyConfig({ ...config, network: { name: 'wrn', depth: 10, width: 1 } });
      const { dense, pruned } = await compressIn(engine, file('wrn'), wide);
      for (const { benign, era, vra } of [dense, pruned])
        expect([benign.total, era.total, vra.total]).toEqual([60, 7, 13]);
      expect(used()).toBe(before);
    });
  });

  it('leaves the test split alone until the end, and picks by the held-out split', async () => {
    const reads: string[] = [];
    const phases: string[] = [];
    register('spied', {
      title: 'spied',
      about: 'tells who reads its test split',
      async load(): Promise<DataSet> {
        const set = await toySet();
        const test = new Proxy(set.test, {
          get(split, key) {
            if (key === 'images' || key === 'labels') reads.push(phases.at(-1) ?? 'nothing');
            return Reflect.get(split, key);
          },
        });
        return { ...set, test };
      },
    });
    await inTemporaryFolder(async (file) => {
      const config = tinyConfig({ data: { name: 'spied', heldOut: 20 }, prune: { rounds: 2 } });
      await compressIn(engine, file('run'), config, {
        onEvent: (event) => event.type === 'phase' && phases.push(event.phase),
      });
      expect(phases).toContain('finetune');
      expect(new Set(reads)).toEqual(new Set(['evaluate', 'report']));
      const epochs = (await readJournal(file('run/journal.jsonl'))) as readonly EpochRecord[];
      for (const { heldOut } of epochs) {
        expect(heldOut.robust).toBeLessThanOrEqual(heldOut.benign);
        expect(Number.isInteger(Math.round(heldOut.benign * 20 * 1e6) / 1e6)).toBe(true);
      }
    });
  });

  it('is the same at any number of threads', async () => {
    const two = await load({ threads: 2 });
    try {
      await inTemporaryFolder(async (file) => {
        for (const strategy of ['magnitude', 'filter']) {
          const config = tinyConfig({
            network: { name: 'mlp', hidden: [256, 256] },
            prune: { strategy },
            pretrain: { epochs: 2, batch: 64 },
            finetune: { epochs: 1, batch: 64 },
          });
          const [a, b] = [file(`${strategy}-1`), file(`${strategy}-2`)];
          const first = await compressIn(engine, a, config);
          const second = await compressIn(two, b, config);
          for (const name of ['dense', 'pruned'])
            expect(
              Buffer.compare(
                await readFile(`${a}/${name}.safetensors`),
                await readFile(`${b}/${name}.safetensors`),
              ),
            ).toBe(0);
          expect([second.dense, second.pruned]).toEqual([first.dense, first.pruned]);
          const [one, other] = await Promise.all(
            [a, b].map((d) => readJournal(`${d}/journal.jsonl`)),
          );
          expect(timeless(one!)).toEqual(timeless(other!));
        }
      });
      expect(two.threads).toBe(2);
    } finally {
      two.close();
    }
  });

  it('records in its models the config they come from', async () => {
    await inTemporaryFolder(async (file) => {
      const config = tinyConfig();
      await compressIn(engine, file('run'), config);
      for (const name of ['dense', 'pruned'])
        expect((await readMetadata(file(`run/${name}.safetensors`))).config).toEqual(config);
    });
  });
});

describe('pretrain', () => {
  it('is the first half of compress', async () => {
    await inTemporaryFolder(async (file) => {
      const config = tinyConfig();
      const whole = await compressIn(engine, file('whole'), config);
      const dir = await openRun(file('halves'), config);
      const before = used();
      await pretrain(config, { engine, dir });
      expect(used()).toBe(before);
      expect((await readJournal(dir.paths.journal)).length).toBe(4);
      expect(await readdir(dir.dir)).not.toContain('pruned.safetensors');
      const rest = await compress(config, { engine, dir });
      expect(rest.pruned).toEqual(whole.pruned);
      // Once fine-tuned, pre-training has nothing left to do and changes nothing.
      const files = await Promise.all(
        [dir.paths.checkpoint, dir.paths.pruned, dir.paths.journal].map((path) => readFile(path)),
      );
      await pretrain(config, { engine, dir });
      const now = await Promise.all(
        [dir.paths.checkpoint, dir.paths.pruned, dir.paths.journal].map((path) => readFile(path)),
      );
      files.forEach((bytes, i) => {
        expect(Buffer.compare(bytes, now[i]!)).toBe(0);
      });
      await dir.release();
    });
  });
});
