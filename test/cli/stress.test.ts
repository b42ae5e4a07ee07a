/** Signals, the end of a parent, and broken streams, in processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { inTemporaryFolder } from '../recipe/temporary';
import { buildCli, type Cli } from './child';
import { LONG, makeModel } from './long';

let cli: Cli;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.close());

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

describe('a signal', () => {
  it.each([
    ['SIGINT', 'smooth', 'in a step that nobody can stop'],
    ['SIGTERM', 'smooth', 'in a step that nobody can stop'],
    ['SIGHUP', 'compress', 'between two steps'],
    ['SIGTERM', 'evaluate', 'in the middle of an attack'],
    ['SIGINT', 'vnncomp', 'in the middle of a search'],
  ] as const)('%s ends %s %s, and says how to go on', async (signal, name, _where) => {
    await inTemporaryFolder(async (file) => {
      const model = name === 'compress' ? '' : await makeModel(cli, file);
      let sent = false;
      const child = cli.start([...LONG[name]!(model, file), '--json'], ({ phase }) => {
        if (sent || phase === 'data') return;
        sent = child.process.kill(signal);
      });
      const { code, stdout, stderr } = await child.finished;
      expect(code, stderr).toBe(SIGNALS[signal]);
      expect(stderr).toMatch(/interrupted\. .*\nTo go on: espalier /);
      expect(JSON.parse(stdout).error).toMatch(/^interrupted\. /);
      // By the attack's own looking, not by the end of the thread.
      if (name === 'evaluate') expect(stderr).toContain('evaluation starts again');
      if (name === 'compress') expect(existsSync(file('long/checkpoint.safetensors'))).toBe(true);
    });
  });

  it('twice ends at once', async () => {
    await inTemporaryFolder(async (file) => {
      const model = await makeModel(cli, file);
      const child = cli.start(LONG.smooth!(model, file), () => {
        child.process.kill('SIGINT');
        setTimeout(() => child.process.kill('SIGINT'), 300);
      });
      const { code, stderr } = await child.finished;
      expect(code, stderr).toBe(130);
    });
  });
});

/** Processes that a process has started. */
function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')
      .split(' ')
      .filter(Boolean)
      .map(Number),
  );
}

const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

describe.runIf(process.platform === 'linux')('processes of a job', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'end, busy as they are, after %s of the first',
    (signal) =>
      inTemporaryFolder(async (file) => {
        const model = await makeModel(cli, file);
        const parent = cli.start(LONG['evaluate --verify']!(model, file));
        const pid = parent.process.pid!;
        let children: number[] = [];
        await vi.waitFor(() => {
          children = childrenOf(pid);
          expect(children).toHaveLength(2);
        }, 30_000);
        // Until they compute.
        await vi.waitFor(
          () =>
            expect(readdirSync(file('e')).filter((name) => /jsonl$/.test(name))).toHaveLength(3),
          30_000,
        );
        parent.process.kill(signal);
        const { code } = await parent.finished;
        expect(code).toBe(signal === 'SIGKILL' ? null : 143);
        await vi.waitFor(() => expect(children.filter(isAlive)).toEqual([]), 30_000);
      }),
  );
});

const ended = (child: ChildProcess): Promise<{ code: number | null; stderr: string }> =>
  new Promise((resolve) => {
    let stderr = '';
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    child.once('close', (code) => resolve({ code, stderr }));
  });

describe.runIf(process.platform !== 'win32')('a file that can grow no more', () => {
  it('is told in a sentence, with the exit code of output that could not be written', () =>
    inTemporaryFolder(async (file) => {
      const model = await makeModel(cli, file);
      for (const argv of [
        ['convert', model, file('c.onnx')],
        ['smooth', model, '--n', '1000', '--limit', '200', '-o', file('s.jsonl')],
      ]) {
        // In blocks of 512 or 1024 bytes: the system's way to say EFBIG early.
        const words = ['ulimit -f 4; exec "$@"', 'sh', process.execPath, cli.program, ...argv];
        const child = spawn('sh', ['-c', ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
        const { code, stderr } = await ended(child);
        expect(stderr).toMatch(/error: .*expected to write \d+ bytes, got/);
        expect(code, stderr).toBe(74);
      }
    }));
});

describe('a broken standard output', () => {
  const start = (stdout: 'pipe' | number, argv: readonly string[] = ['--help']) =>
    spawn(process.execPath, [cli.program, ...argv], { stdio: ['ignore', stdout, 'pipe'] });

  it('that nobody reads has an exit code of its own, and no words', async () => {
    const child = start('pipe');
    child.stdout!.destroy();
    expect(await ended(child)).toEqual({ code: 74, stderr: '' });
  });

  it.runIf(existsSync('/dev/full'))('on a full disk is told in a sentence', async () => {
    const full = openSync('/dev/full', 'w');
    const { code, stderr } = await ended(start(full));
    closeSync(full);
    expect(code).toBe(74);
    expect(stderr).toMatch(
      /^error: standard output: expected to write the answer, got: ENOSPC.*\n$/,
    );
  });

  it('hides no worse answer', async () => {
    const child = start('pipe', ['inspect', '/nowhere', '--json']);
    child.stdout!.destroy();
    expect((await ended(child)).code).toBe(2);
  });

  it('of messages alone stops nothing', async () => {
    await inTemporaryFolder(async (file) => {
      const sets = ['--set', 'pretrain.epochs=2', '--set', 'finetune.epochs=1'];
      const argv = ['compress', '-o', file('run'), ...sets, '--json'];
      const child = spawn(process.execPath, [cli.program, ...argv], { stdio: 'pipe' });
      child.stderr.destroy();
      let stdout = '';
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
      });
      expect((await ended(child)).code).toBe(0);
      expect(JSON.parse(stdout).schema).toBe('espalier-summary/1');
    });
  });
});
