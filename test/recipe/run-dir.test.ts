/** Run directories: made, resumed, locked; nothing of others is ever touched. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { takeLock } from '../../src/io/lock';
import { defaultConfig } from '../../src/recipe/config';
import { openRun, type RunDir, readRunConfig } from '../../src/recipe/run-dir';
import { inTemporaryFolder } from './temporary';

const config = defaultConfig();
const other = { ...config, seed: 77 };
const lockOf = (pid: number, host = hostname(), started = '') =>
  JSON.stringify({ pid, host, started, token: 'someone' });

/** Gives a run back after something was computed in it. */
async function leave(run: RunDir): Promise<void> {
  await writeFile(run.paths.journal, '{"event":"epoch"}\n');
  await run.release();
}

/** The id of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await new Promise((resolve) => child.once('exit', resolve));
  return child.pid!;
}

describe('openRun', () => {
  it('makes a directory with its config, and resumes it', async () => {
    await inTemporaryFolder(async (file) => {
      const first = await openRun(file('a/b'), config);
      expect(first.resumed).toBe(false);
      expect(first.paths.journal).toBe(join(file('a/b'), 'journal.jsonl'));
      expect((await readdir(file('a/b'))).sort()).toEqual(['config.json', 'lock']);
      expect(await readRunConfig(file('a/b'))).toEqual(config);
      await leave(first);
      await first.release();
      expect(await readdir(file('a/b'))).toEqual(['config.json', 'journal.jsonl']);
      const second = await openRun(file('a/b'), config);
      expect(second.resumed).toBe(true);
      expect(second.hash).toBe(first.hash);
      await second.release();
    });
  });

  it('refuses a directory of another run, naming the difference', async () => {
    await inTemporaryFolder(async (file) => {
      await leave(await openRun(file('a'), config));
      const before = await readFile(file('a/config.json'));
      await expect(openRun(file('a'), other)).rejects.toThrow(/another run.*seed: 1, 77.*--out/);
      expect(await readFile(file('a/config.json'))).toEqual(before);
      expect(await readdir(file('a'))).toEqual(['config.json', 'journal.jsonl']);
    });
  });

  it('refuses foreign files, a file, and a damaged config', async () => {
    await inTemporaryFolder(async (file, write) => {
      await mkdir(file('foreign'));
      await write('foreign/thesis.tex', 'x');
      await expect(openRun(file('foreign'), config)).rejects.toThrow(/thesis\.tex.*--out/);
      expect(await readdir(file('foreign'))).toEqual(['thesis.tex']);
      await write('file', 'x');
      await expect(openRun(file('file'), config)).rejects.toThrow(/expected a run directory/);
      await mkdir(file('damaged'));
      await write('damaged/config.json', '{');
      await expect(openRun(file('damaged'), config)).rejects.toThrow(
        /config\.json: expected the JSON/,
      );
    });
  });

  it('starts afresh where a process was killed before it wrote the config', async () => {
    await inTemporaryFolder(async (file, write) => {
      await mkdir(file('a'));
      await write('a/lock', lockOf(await deadPid()));
      await write('a/.config.json.0123456789ab.tmp', '{"na');
      const run = await openRun(file('a'), config);
      expect(run.resumed).toBe(false);
      expect((await readdir(file('a'))).sort()).toEqual(['config.json', 'lock.1']);
      await run.release();
    });
  });
});

describe('the lock', () => {
  it('keeps a second one out, in this process and in another', async () => {
    await inTemporaryFolder(async (file) => {
      const run = await openRun(file('a'), config);
      await expect(openRun(file('a'), config)).rejects.toThrow(/lock: expected no other process/);
      await leave(run);
      await writeFile(file('a/lock'), lockOf(process.ppid));
      await expect(openRun(file('a'), config)).rejects.toThrow(`process ${process.ppid}`);
      await writeFile(file('a/lock'), lockOf(1, 'another-machine'));
      await expect(openRun(file('a'), config)).rejects.toThrow(/another-machine.*delete the lock/);
    });
  });

  it('is taken over from a dead process, one of another time, or a torn file', async () => {
    await inTemporaryFolder(async (file) => {
      await leave(await openRun(file('a'), config));
      const void_ = [lockOf(await deadPid()), '', '{"pid": 1', '{"pid":1}', lockOf(process.pid)];
      if (process.platform === 'linux') void_.push(lockOf(process.ppid, hostname(), 'boot:1'));
      for (const text of void_) {
        await writeFile(file('a/lock'), text);
        const run = await openRun(file('a'), config);
        expect(JSON.parse(await readFile(file('a/lock.1'), 'utf8')).pid).toBe(process.pid);
        await expect(openRun(file('a'), config)).rejects.toThrow(/no other process in this run/);
        await run.release();
      }
      expect(await readdir(file('a'))).toEqual(['config.json', 'journal.jsonl']);
    });
  });

  it.runIf(process.platform === 'linux')('is taken over from a zombie', async () => {
    // The shell becomes a sleep, which never asks for its child.
    const parent = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 60']);
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    const stat = () => readFile(`/proc/${pid}/stat`, 'utf8');
    while (!(await stat()).includes(') Z ')) await new Promise((r) => setTimeout(r, 5));
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const started = `${boot}:${(await stat()).split(') Z ')[1]?.split(' ')[18]}`;
    try {
      await inTemporaryFolder(async (file) => {
        await mkdir(file('a'));
        await writeFile(file('a/lock'), lockOf(pid, hostname(), started));
        await (await openRun(file('a'), config)).release();
      });
    } finally {
      parent.kill();
    }
  });

  it.each([0, 1, 9])(
    'goes to one of several that find it void at the same time, %i times before',
    async (times) => {
      await inTemporaryFolder(async (file) => {
        await leave(await openRun(file('a'), config));
        const dead = lockOf(await deadPid());
        await writeFile(file('a/lock'), dead);
        // As after kills while it was taken over, by a clock that is ahead.
        for (let i = 1; i <= times; i++) {
          await writeFile(file(`a/lock.${i}`), i % 2 ? dead : '');
          await utimes(file(`a/lock.${i}`), 4e9, 4e9);
        }
        const tries = await Promise.allSettled([1, 2, 3, 4].map(() => openRun(file('a'), config)));
        const won = tries.filter((result) => result.status === 'fulfilled');
        expect(won).toHaveLength(1);
        await won[0]!.value.release();
        expect(await readdir(file('a'))).toEqual(['config.json', 'journal.jsonl']);
      });
    },
  );

  it('is no file of others', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('x.lock', 'the lock of my door');
      const taken = takeLock(file('x.lock'), { where: 'here', instead: 'go elsewhere' });
      await expect(taken).rejects.toThrow(
        /x\.lock: expected a lock file or none, got another file/,
      );
      expect(await readdir(file('.'))).toEqual(['x.lock']);
    });
  });

  it('is never held by two of many processes in any order of events', async () => {
    await inTemporaryFolder(async (file) => {
      let [inside, most, turns] = [0, 0, 0];
      const words = { where: 'here', instead: 'wait' };
      const one = async (): Promise<void> => {
        for (let turn = 0; turn < 40; turn++) {
          const release = await takeLock(file('lock'), words).catch(() => undefined);
          if (!release) continue;
          most = Math.max(most, ++inside);
          turns++;
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
          inside--;
          await release();
        }
      };
      await Promise.all([1, 2, 3, 4, 5].map(one));
      expect(most).toBe(1);
      expect(turns).toBeGreaterThan(0);
      expect(await readdir(file('.'))).toEqual([]);
    });
  });
});

describe('a run in which nothing was computed', () => {
  it('leaves nothing behind, and what was there before stays', async () => {
    await inTemporaryFolder(async (file) => {
      const run = await openRun(file('a/b/c'), config);
      await writeFile(run.paths.journal, '');
      await run.release();
      expect(await readdir(file('.'))).toEqual([]);
      await mkdir(file('kept'));
      await writeFile(file('kept/config.json'), JSON.stringify(config));
      await (await openRun(file('kept'), config)).release();
      expect(await readdir(file('kept'))).toEqual(['config.json']);
    });
  });
});
