/** Stopped anywhere, by anything, a run goes on and ends bit for bit as if nothing had been. */
import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import type { Listener } from '../../src/events';
import { Interrupted, type RunEvent } from '../../src/events';
import { readJournal } from '../../src/io/journal';
import { type Engine, load } from '../../src/runtime/engine';
import { buildCli, type Cli } from '../cli/child';
import { inTemporaryFolder } from './temporary';
import { compressIn, expectTidy, resultOf, tinyConfig } from './tiny-run';

let engine: Engine;
let cli: Cli;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  cli = await buildCli();
});
afterAll(async () => {
  engine.close();
  await cli.close();
});

describe('interrupted in the process', () => {
  const config = tinyConfig({
    network: { name: 'wrn', depth: 10, width: 1 },
    objective: { name: 'adversarial', eps: 0.1, steps: 1 },
    data: { name: 'toy', heldOut: 20, augment: { crop: 1, flip: true } },
    pretrain: { epochs: 2, batch: 110 },
    finetune: { epochs: 1, batch: 110 },
    prune: { rounds: 2 },
  });
  const stops: [what: string, when: (event: RunEvent, count: number) => boolean][] = [
    ['after every batch or two', (event, count) => event.type === 'progress' && count > 1],
    ['at the beginning of every phase', (event, count) => event.type === 'phase' && count > 1],
  ];

  it.each(stops)('%s', async (_, when) => {
    await inTemporaryFolder(async (file) => {
      await compressIn(engine, file('whole'), config);
      engine.arena.trim();
      const used = engine.memory.usedBytes;
      let stopped = 0;
      for (let done = false; !done; ) {
        const controller = new AbortController();
        let count = 0;
        try {
          await compressIn(engine, file('parts'), config, {
            signal: controller.signal,
            // Evaluation begins anew each time, so it must be let through in the end.
            onEvent: (event) => {
              if (event.type === 'phase' || event.type === 'progress') count++;
              if (stopped < 9 && when(event, count)) controller.abort();
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
      await expectTidy(file('parts'));
    });
  });
});

const ARGS = [
  ...['--set', 'network={"name":"mlp","hidden":[16]}', '--set', 'evaluate.attack.steps=10'],
  ...['--set', 'pretrain.epochs=4', '--set', 'finetune.epochs=3', '--set', 'prune.rounds=2'],
];

describe('killed from outside', () => {
  it.each(['SIGKILL', 'SIGINT'] as const)('%s in every phase', async (signal) => {
    await inTemporaryFolder(async (file) => {
      const argv = (dir: string) => ['compress', '--out', file(dir), '--threads', '1', ...ARGS];
      const whole = await cli.run(argv('whole'));
      expect(whole.code, whole.stderr).toBe(0);
      for (const phase of ['pretrain', 'finetune', 'finetune', 'evaluate']) {
        let sent = false;
        const child = cli.start(argv('parts'), (event) => {
          if (sent || event.type !== 'phase' || event.phase !== phase) return;
          // Once, as a second SIGINT ends the process at once.
          sent = true;
          // A little into the phase: at a place that differs from run to run.
          setTimeout(() => child.process.kill(signal), 120 * Math.random());
        });
        const { code, stderr } = await child.finished;
        if (signal === 'SIGINT' && code === 130)
          expect(stderr).toMatch(/To go on: espalier compress/);
        else expect([null, 0], stderr).toContain(code);
      }
      const last = await cli.run(argv('parts'));
      expect(last.code, last.stderr).toBe(0);
      expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
      await expectTidy(file('parts'));
    });
  });
});

describe('a loss that is not finite', () => {
  it('names step and tensor, and leaves the last checkpoint to go on from', async () => {
    await inTemporaryFolder(async (file) => {
      // Fine-tuning diverges at once; pre-training is done and safe.
      const config = tinyConfig({ finetune: { epochs: 2, batch: 16, learningRate: 1e20 } });
      const failure = async (): Promise<string> => {
        const error = await compressIn(engine, file('run'), config).catch((e: unknown) => e);
        expect(error).toBeInstanceOf(EspalierError);
        return (error as Error).message;
      };
      const message = await failure();
      expect(message).toMatch(
        /^training, epoch 1, step [2-9]: expected a finite \w+, got .*; first not finite: the \w+ .*\. Lower the learning rate/,
      );
      const state = () =>
        Promise.all(
          ['checkpoint.safetensors', 'dense.safetensors', 'journal.jsonl'].map((name) =>
            readFile(file(`run/${name}`)),
          ),
        );
      const before = await state();
      expect(await failure()).toBe(message);
      expect(await state()).toEqual(before);
      expect(await readJournal(file('run/journal.jsonl'))).toHaveLength(4);
      await expectTidy(file('run'));
    });
  });
});

/** A file system of `size` bytes at `path`, or why there can be none. */
function smallDisk(path: string, size: string): string | undefined {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `cannot mount a small disk here: ${(error as Error).message.split('\n').at(-2)}`;
  }
}

describe('a full disk', () => {
  it.each(['24k', '64k', '128k'])(
    'of %s: a clear error, nothing torn, and on with more room',
    async (size) => {
      await inTemporaryFolder(async (file) => {
        const config = tinyConfig({ network: { name: 'mlp', hidden: [32, 32] } });
        await compressIn(engine, file('whole'), config);
        await mkdir(file('disk'));
        const why = smallDisk(file('disk'), size);
        if (why !== undefined) {
          console.warn(`skipped: ${why}`);
          return;
        }
        try {
          const told: string[] = [];
          const onEvent: Listener = (event) => {
            if (event.type === 'fault') told.push(event.text);
          };
          const done = compressIn(engine, file('disk/run'), config, { onEvent });
          const error = await done.then(
            () => undefined,
            (e: unknown) => e,
          );
          // With room for all but the report the run is finished, and that is told.
          if (error === undefined)
            expect(await readdir(file('disk/run'))).toContain('summary.json');
          else expect(error).toBeInstanceOf(EspalierError);
          expect(error instanceof Error ? error.message : told.join()).toMatch(/ENOSPC/);
          await expectTidy(file('disk/run'));
          // Every file there is whole: copied to a larger disk, the run goes on.
          await mkdir(file('more'));
          for (const name of await readdir(file('disk/run')))
            await copyFile(file(`disk/run/${name}`), file(`more/${name}`));
          await compressIn(engine, file('more'), config);
          expect(await readdir(file('more'))).toContain('report.html');
          expect(await resultOf(file('more'))).toEqual(await resultOf(file('whole')));
        } finally {
          execFileSync('umount', [file('disk')]);
        }
      });
    },
  );
});
