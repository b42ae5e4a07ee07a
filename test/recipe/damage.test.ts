/** Wrong input and damaged files: a sentence that names the file, and nothing lost or overwritten. */
import { mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { Interrupted, type RunEvent } from '../../src/events';
import { lineOf, readJournal } from '../../src/io/journal';
import { strategies } from '../../src/prune/strategies/registry';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from './temporary';
import { compressIn, expectTidy, resultOf, tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

describe('bad input', () => {
  it('is found before the training: a sparsity out of reach, a held-out part of everything', async () => {
    await inTemporaryFolder(async (file) => {
      for (const strategy of Object.keys(strategies)) {
        const config = tinyConfig({ prune: { strategy, sparsity: 0.9999 } });
        await expect(compressIn(engine, file(strategy), config)).rejects.toThrow(/prune\.sparsity/);
        await expect(readdir(file(strategy)), 'nothing was computed').rejects.toThrow('ENOENT');
      }
      const config = tinyConfig({ data: { name: 'toy', heldOut: 240 } });
      await expect(compressIn(engine, file('held'), config)).rejects.toThrow(
        /held-out samples: expected an integer in \[0, 240\), got 240/,
      );
    });
  });

  it('leaves a directory of another run as it was', async () => {
    await inTemporaryFolder(async (file) => {
      await compressIn(engine, file('run'), tinyConfig());
      const before = await Promise.all(
        (await readdir(file('run'))).map((name) => readFile(file(`run/${name}`))),
      );
      await expect(compressIn(engine, file('run'), tinyConfig({ seed: 2 }))).rejects.toThrow(
        /another run.*seed: 1, 2/,
      );
      const after = await Promise.all(
        (await readdir(file('run'))).map((name) => readFile(file(`run/${name}`))),
      );
      expect(after).toEqual(before);
      await mkdir(file('other'));
      await writeFile(file('other/thesis.tex'), 'years of work');
      await expect(compressIn(engine, file('other'), tinyConfig())).rejects.toThrow(/thesis\.tex/);
    });
  });
});

describe('files that are damaged or of another run', () => {
  const config = tinyConfig();

  /** A run stopped in fine-tuning. */
  async function half(dir: string, other = config): Promise<void> {
    const controller = new AbortController();
    const onEvent = (event: RunEvent): void => {
      if (event.type === 'phase' && event.phase === 'finetune') controller.abort();
    };
    await expect(
      compressIn(engine, dir, other, { signal: controller.signal, onEvent }),
    ).rejects.toThrow(Interrupted);
  }

  it('a checkpoint cut short or changed is an error that names it', async () => {
    await inTemporaryFolder(async (file) => {
      await half(file('run'));
      const path = file('run/checkpoint.safetensors');
      const good = await readFile(path);
      const spoiled = {
        'an empty file': Buffer.alloc(0),
        'half of it': good.subarray(0, good.length >> 1),
        'a byte less': good.subarray(0, -1),
        'a byte more': Buffer.concat([good, Buffer.alloc(1)]),
        zeros: Buffer.alloc(good.length),
        'another state': Buffer.from(good.toString('latin1').replace('stage', 'stagE'), 'latin1'),
        'a phase that is none': Buffer.from(
          good.toString('latin1').replace('stage\\":1', 'stage\\":9'),
          'latin1',
        ),
        'another kind': Buffer.from(good.toString('latin1').replace('plain', 'plaim'), 'latin1'),
        'another version': Buffer.from(
          good.toString('latin1').replace(/"version":"\d+"/, '"version":"1"'),
          'latin1',
        ),
        'no best': Buffer.from(good.toString('latin1').replaceAll('best/', 'bust/'), 'latin1'),
        'no moments': Buffer.from(
          good.toString('latin1').replaceAll('moment/', 'momemt/'),
          'latin1',
        ),
      };
      for (const [what, bytes] of Object.entries(spoiled)) {
        await writeFile(path, bytes);
        const error = await compressIn(engine, file('run'), config).catch((e: unknown) => e);
        expect(error, what).toBeInstanceOf(EspalierError);
        expect((error as Error).message, what).toMatch(/checkpoint\.safetensors/);
        expect(Buffer.compare(await readFile(path), bytes)).toBe(0);
      }
      await writeFile(path, good);
      await compressIn(engine, file('run'), config);
      await compressIn(engine, file('whole'), config);
      expect(await resultOf(file('run'))).toEqual(await resultOf(file('whole')));
    });
  });

  it('a checkpoint of another config or network is refused, and not overwritten', async () => {
    await inTemporaryFolder(async (file) => {
      const other = tinyConfig({ network: { name: 'mlp', hidden: [5] } });
      await half(file('run'));
      await half(file('other'), other);
      const foreign = await readFile(file('other/checkpoint.safetensors'));
      await writeFile(file('run/checkpoint.safetensors'), foreign);
      await expect(compressIn(engine, file('run'), config)).rejects.toThrow(
        /checkpoint\.safetensors: expected the checkpoint of this run, got one of another config/,
      );
      expect(await readFile(file('run/checkpoint.safetensors'))).toEqual(foreign);
    });
  });

  it('a missing or damaged model is an error at the end, and the training is kept', async () => {
    await inTemporaryFolder(async (file) => {
      await half(file('run'));
      await rm(file('run/dense.safetensors'));
      await expect(compressIn(engine, file('run'), config)).rejects.toThrow(
        /dense\.safetensors: expected a readable file/,
      );
      expect(await readJournal(file('run/journal.jsonl'))).toHaveLength(6);
    });
  });

  it('a torn last line of the journal is dropped; a record too many too', async () => {
    await inTemporaryFolder(async (file) => {
      await half(file('run'));
      const journal = file('run/journal.jsonl');
      // As a kill between the journal and the checkpoint leaves it.
      const records = await readJournal(journal);
      const next = { ...records.at(-1)!, overall: records.length + 1 };
      await writeFile(journal, `${await readFile(journal, 'utf8')}${lineOf(next)}{"event": "epo`);
      await compressIn(engine, file('run'), config);
      await compressIn(engine, file('whole'), config);
      expect(await resultOf(file('run'))).toEqual(await resultOf(file('whole')));
    });
  });

  it('a journal that cannot be opened is an error that names it', async () => {
    await inTemporaryFolder(async (file) => {
      await half(file('run'));
      await rm(file('run/journal.jsonl'));
      await mkdir(file('run/journal.jsonl'));
      await expect(compressIn(engine, file('run'), config)).rejects.toThrow(
        /journal\.jsonl: expected to open the journal/,
      );
    });
  });

  it('leftovers of a killed write are swept away', async () => {
    await inTemporaryFolder(async (file) => {
      await half(file('run'));
      const handle = await open(file('run/.checkpoint.safetensors.0123456789ab.tmp'), 'w');
      await handle.write('half a checkpoint');
      await handle.close();
      await compressIn(engine, file('run'), config);
      await expectTidy(file('run'));
    });
  });
});
