/** Runs the command line on a hostile file in a process of its own, and says what is wrong. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Hostile } from './file';

export const LIMITS = { seconds: 5, bytes: 2 ** 30, lines: 100, characters: 500_000 };

/** Says on leaving what the process took, as far as it is let to. */
const METER = `if (require('node:worker_threads').isMainThread) process.on('exit', () => {
  const fs = require('node:fs');
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  // maxRSS counts the process before exec, too: where there is /proc, its own mark is read.
  const file = '/proc/self/status';
  const own = fs.existsSync(file) && /VmHWM:\\s+(\\d+) kB/.exec(fs.readFileSync(file, 'utf8'));
  const kilobytes = own ? Number(own[1]) : maxRSS;
  fs.writeSync(3, JSON.stringify({ seconds: (userCPUTime + systemCPUTime) / 1e6, bytes: kilobytes * 1024 }));
});`;

export interface Outcome {
  readonly code: number | null;
  readonly output: string;
  /** Of the processor; NaN where the process had to be ended. */
  readonly seconds: number;
  readonly bytes: number;
}

/** The command line of `file` in a folder with its files; ended after three times the limit. */
export async function runHostile(cli: string, file: Hostile): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-hostile-'));
  try {
    for (const [name, content] of Object.entries(file.files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    writeFileSync(join(folder, '.meter.cjs'), METER);
    const node = [process.execPath, '--require', join(folder, '.meter.cjs'), cli];
    // Processor seconds, not the clock's: other work on the machine does not count.
    const limited = ['-c', `ulimit -t ${3 * LIMITS.seconds}; exec "$@"`, 'sh', ...node];
    const child = spawn('/bin/sh', [...limited, ...file.argv], {
      cwd: folder,
      env: { ...process.env, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    let output = '';
    let meter = '';
    const add = (chunk: Buffer): void => {
      if (output.length < 2 * LIMITS.characters) output += chunk.toString('utf8');
    };
    child.stdout!.on('data', add);
    child.stderr!.on('data', add);
    child.stdio[3]!.on('data', (chunk: Buffer) => {
      meter += chunk;
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const { seconds = Number.NaN, bytes = Number.NaN } = meter === '' ? {} : JSON.parse(meter);
    return { code, output, seconds, bytes };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Bytes a terminal would act on, beside newlines and tabs. */
const ACTS = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u;

/** Every rule that an outcome breaks, in words. */
export function faults({ code, output, seconds, bytes }: Outcome): string[] {
  const found: string[] = [];
  if (code === null || Number.isNaN(seconds)) found.push('did not end by itself');
  else if (code > 2) found.push(`exit code ${code}`);
  if (/^\s+at .+:\d+(:\d+)?\)?$/m.test(output)) found.push('a raw stack');
  if (seconds > LIMITS.seconds) found.push(`${seconds.toFixed(1)} s of processor`);
  if (bytes > LIMITS.bytes) found.push(`${(bytes / 2 ** 20).toFixed(0)} MiB resident`);
  const lines = output.split('\n').length;
  if (lines > LIMITS.lines) found.push(`${lines} lines`);
  if (output.length > LIMITS.characters) found.push(`${output.length} characters`);
  if (ACTS.test(output.replace(/[\n\t]/g, ''))) found.push('bytes that act on a terminal');
  return found;
}

/** What is wrong with each file, two at a time; empty where all is right. */
export async function runAll(cli: string, files: readonly Hostile[]): Promise<string[]> {
  const wrong: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < files.length) {
      const file = files[next++]!;
      const outcome = await runHostile(cli, file);
      const found = faults(outcome);
      if (found.length > 0)
        wrong.push(
          `${file.name} (${file.argv.join(' ').slice(0, 80)}): ${found.join(', ')}\n  ${outcome.output.slice(-300)}`,
        );
    }
  };
  await Promise.all([worker(), worker()]);
  return wrong;
}
