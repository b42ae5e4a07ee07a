/** Run directories: made, resumed, locked; nothing of others is ever touched. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/recipe/config';
import { openRun, readRunConfig } from '../../src/recipe/run-dir';
import { inTemporaryFolder } from './temporary';

const config = defaultConfig();
const other = { ...config, seed: 77 };
const lockOf = (pid: number, host = hostname(), started = '') =>
  JSON.stringify({ pid, host, started, token: 'someone' });

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
      await first.release();
      await first.release();
      expect(await readdir(file('a/b'))).toEqual(['config.json']);
      const second = await openRun(file('a/b'), config);
      expect(second.resumed).toBe(true);
      expect(second.hash).toBe(first.hash);
      await second.release();
    });
  });

  it('refuses a directory of another run, naming the difference', async () => {
    await inTemporaryFolder(async (file) => {
      await (await openRun(file('a'), config)).release();
      const before = await readFile(file('a/config.json'));
      await expect(openRun(file('a'), other)).rejects.toThrow(/another run.*seed: 1, 77.*--out/);
      expect(await readFile(file('a/config.json'))).toEqual(before);
      expect(await readdir(file('a'))).toEqual(['config.json']);
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
      expect((await readdir(file('a'))).sort()).toEqual(['config.json', 'lock']);
      await run.release();
    });
  });
});

describe('the lock', () => {
  it('keeps a second one out, in this process and in another', async () => {
    await inTemporaryFolder(async (file) => {
      const run = await openRun(file('a'), config);
      await expect(openRun(file('a'), config)).rejects.toThrow(/lock: expected no other process/);
      await run.release();
      await writeFile(file('a/lock'), lockOf(process.ppid));
      await expect(openRun(file('a'), config)).rejects.toThrow(`process ${process.ppid}`);
      await writeFile(file('a/lock'), lockOf(1, 'another-machine'));
      await expect(openRun(file('a'), config)).rejects.toThrow(/another-machine.*delete the lock/);
    });
  });

  it('is taken over from a dead process, one of another time, or a torn file', async () => {
    await inTemporaryFolder(async (file) => {
      await (await openRun(file('a'), config)).release();
      const void_ = [lockOf(await deadPid()), '', '{"pid": 1', '{}', lockOf(process.pid)];
      if (process.platform === 'linux') void_.push(lockOf(process.ppid, hostname(), 'boot:1'));
      for (const text of void_) {
        await writeFile(file('a/lock'), text);
        const run = await openRun(file('a'), config);
        expect(JSON.parse(await readFile(file('a/lock'), 'utf8')).pid).toBe(process.pid);
        await run.release();
      }
      expect(await readdir(file('a'))).toEqual(['config.json']);
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

  it('goes to one of several that find it void at the same time', async () => {
    await inTemporaryFolder(async (file) => {
      await (await openRun(file('a'), config)).release();
      await writeFile(file('a/lock'), lockOf(await deadPid()));
      // As after a kill in the middle of taking over.
      await writeFile(file('a/lock.guard'), '');
      await utimes(file('a/lock.guard'), 0, 0);
      const tries = await Promise.allSettled([1, 2, 3, 4].map(() => openRun(file('a'), config)));
      const won = tries.filter((result) => result.status === 'fulfilled');
      expect(won).toHaveLength(1);
      await won[0]!.value.release();
      expect(await readdir(file('a'))).toEqual(['config.json']);
    });
  });
});
