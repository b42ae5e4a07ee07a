/**
 * Commands under stress, in processes of their own: signals, kill -9 at random moments, two at once on
 * one output, a disk that is full. `STRESS_KILLS` says how many kills (default: 300).
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCli, type Cli, type Finished } from '../cli/child';
import { LONG, makeModel, OUTPUTS } from '../cli/long';
import { inTemporaryFolder } from '../recipe/temporary';

let cli: Cli;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.close());

/** Seconds within which a signal must be answered, on a machine that does other things too. */
const BOUND = 10;
const KILLS = Number(process.env.STRESS_KILLS ?? 300);
const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** How a command ends by a signal at a random moment, and how soon. */
async function signalled(argv: readonly string[], signal: keyof typeof CODES) {
  for (let least = 1000; ; least *= 2) {
    const child = cli.start(argv);
    let sent = 0;
    const send = (): void => {
      sent = performance.now();
      child.process.kill(signal);
    };
    const timer = setTimeout(send, least + 3000 * Math.random());
    const { code, stderr } = await child.finished;
    clearTimeout(timer);
    // On a busy machine Node itself may not have begun: then the signal ended it, as it does anything.
    if (code === null && stderr === '') continue;
    return { code, stderr, seconds: (performance.now() - sent) / 1000 };
  }
}

describe('signals', () => {
  it('end every command that computes, whatever it is at', () =>
    inTemporaryFolder(async (file) => {
      const model = await makeModel(cli, file, [1024, 1024, 1024]);
      for (const [name, line] of Object.entries(LONG))
        for (const signal of Object.keys(CODES) as (keyof typeof CODES)[]) {
          await rm(file('e'), { recursive: true, force: true });
          const { code, stderr, seconds } = await signalled(line(model, file), signal);
          expect(code, `${name}: ${stderr}`).toBe(CODES[signal]);
          expect(stderr, name).toMatch(/interrupted\. .*\nTo go on: espalier /);
          expect(seconds, `${name} after ${signal}`).toBeLessThan(BOUND);
          console.log(`${name}: ${signal} answered within ${seconds.toFixed(1)} s`);
        }
    }));
});

/** Everything below a folder but for what the clock decides, and what is left of a kill. */
async function contentOf(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of names) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(folder.length + 1);
    if (entry.isDirectory() || /\.tmp$|\.lock|^made|report\.html$|radii\.html$/.test(name))
      continue;
    const bytes = await readFile(path);
    // Processes share blocks as they come, and a checkpoint says how long it took.
    if (/certify-[0-9a-f]+-\d+\.jsonl$|checkpoint\.safetensors$/.test(name)) continue;
    found[name] = /\.jsonl?$/.test(name) ? timeless(bytes.toString()) : bytes.toString('base64');
  }
  return found;
}

const CLOCK = /"(seconds|imagesPerSecond|images_per_second|startedAt|finishedAt|pruned|dense)":/;
const timeless = (text: string): string =>
  text
    .split('\n')
    // Checksums are of the seconds too.
    .map((line) => line.replace(/"(seconds|imagesPerSecond|crc32)":[^,}]+/g, '"$1":0'))
    .filter((line) => !/^\s/.test(line) || !CLOCK.test(line))
    .join('\n');

interface Place {
  readonly model: string;
  file(name: string): string;
  /** An empty folder, and the same with nothing of a run before. */
  fresh(): Promise<(name: string) => string>;
}

async function inPlace(work: (place: Place) => Promise<void>): Promise<void> {
  await inTemporaryFolder(async (file) => {
    const model = await makeModel(cli, file);
    let count = 0;
    await work({
      model,
      file,
      async fresh() {
        const folder = file(`${++count}`);
        await mkdir(folder);
        await cp(file('q.vnnlib'), join(folder, 'q.vnnlib'));
        return (name) => join(folder, name);
      },
    });
  });
}

/** What a run from start to end leaves, in a folder of its own. */
async function whole(name: string, { model, fresh }: Place) {
  const file = await fresh();
  const started = performance.now();
  const done = await cli.run(OUTPUTS[name]!(model, file));
  expect([0, 1], `${name}: ${done.stderr}`).toContain(done.code);
  return { ms: performance.now() - started, code: done.code, content: await contentOf(file('.')) };
}

describe('kill -9 at random moments', () => {
  const names = Object.keys(OUTPUTS);
  it.each(names)('of %s: the same command ends with the same bits', (name) =>
    inPlace(async (place) => {
      const { ms, code, content } = await whole(name, place);
      const kills = Math.ceil(KILLS / names.length);
      let done = 0;
      for (let round = 0; done < kills; round++) {
        expect(round, 'rounds in which no kill came in time').toBeLessThan(4 * kills + 20);
        const file = await place.fresh();
        const argv = OUTPUTS[name]!(place.model, file);
        let last: Finished;
        for (let tries = 0; ; tries++) {
          const child = cli.start(argv);
          const timer = setTimeout(
            () => child.process.kill('SIGKILL'),
            tries < 4 ? 50 + Math.random() * ms : 1e9,
          );
          last = await child.finished;
          clearTimeout(timer);
          if (last.code !== null) break;
          done++;
          // What a kill left is whole, or not there: what is there is what is wanted.
          const left = await contentOf(file('.'));
          if (!/compress|evaluate|smooth/.test(name))
            for (const [path, bytes] of Object.entries(left)) expect(bytes).toBe(content[path]);
        }
        // A file that was complete when the kill came is not replaced.
        const complete = last.code === 2 && /expected no such file yet/.test(last.stderr);
        if (!complete) expect(last.code, last.stderr).toBe(code);
        expect(await contentOf(file('.'))).toEqual(content);
      }
      console.log(`${name}: ${done} kills`);
    }),
  );
});

describe('two processes at once', () => {
  it.each(Object.keys(OUTPUTS))('of %s: one works or both one after the other', (name) =>
    inPlace(async (place) => {
      const { code, content } = await whole(name, place);
      for (let round = 0; round < 5; round++) {
        const file = await place.fresh();
        const argv = OUTPUTS[name]!(place.model, file);
        const first = cli.start(argv);
        await new Promise((resolve) => setTimeout(resolve, 150 * round));
        const both = await Promise.all([first.finished, cli.start(argv).finished]);
        expect(both.map((one) => one.code)).toContain(code);
        for (const { code: other, stderr } of both) {
          if (other === code) continue;
          expect(stderr).toMatch(/no other process|no such file yet/);
          expect(other).toBe(2);
        }
        const left = await contentOf(file('.'));
        // A result that came second is kept beside the first.
        for (const [path, bytes] of Object.entries(left))
          expect(bytes, path).toBe(content[path.replace(/-1(\.\w+)$/, '$1')]);
        expect(Object.keys(left)).toEqual(expect.arrayContaining(Object.keys(content)));
      }
    }),
  );
});

describe.runIf(process.platform !== 'win32')('a file that can grow no more', () => {
  it('is told in a sentence, and the same command goes on when there is room', () =>
    inPlace(async (place) => {
      for (const name of Object.keys(OUTPUTS)) {
        const { code, content } = await whole(name, place);
        const file = await place.fresh();
        const argv = OUTPUTS[name]!(place.model, file);
        // In blocks of 512 or 1024 bytes: the system's way to say EFBIG early.
        const script = 'ulimit -f "$1"; shift; exec "$@"';
        const words = [script, 'sh', '4', process.execPath, cli.program, ...argv];
        const child = spawn('sh', ['-c', ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
        let stderr = '';
        child.stderr.on('data', (chunk) => {
          stderr += chunk;
        });
        const limited = await new Promise((resolve) => child.once('close', resolve));
        if (limited !== code) {
          expect(stderr, name).toMatch(/error: .*expected to write/);
          expect(limited, `${name}: ${stderr}`).toBe(74);
        }
        expect(stderr).not.toMatch(/\n\s+at |bug in espalier/);
        const last = await cli.run(argv);
        if (limited !== code) expect(last.code, `${name}: ${last.stderr}`).toBe(code);
        expect(await contentOf(file('.')), name).toEqual(content);
      }
    }));
});
