/** The real command line in a process of its own, from one bundle a test file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Finished {
  /** Exit code, or null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Child {
  readonly process: ChildProcess;
  readonly finished: Promise<Finished>;
}

export interface Cli {
  /** The script that Node runs. */
  readonly bundle: string;
  /** Starts a command line; `seen` gets every JSON line of standard error. */
  start(argv: readonly string[], seen?: (event: Readonly<Record<string, unknown>>) => void): Child;
  run(argv: readonly string[]): Promise<Finished>;
  close(): Promise<void>;
}

const ENTRY = fileURLToPath(new URL('../../src/cli/bin.ts', import.meta.url));
const BANNER =
  "import { createRequire as __r } from 'node:module';\nconst require = __r(import.meta.url);";

/** Bundles `src/cli/bin.ts` into a temporary folder, by the bundler that tsup brings. */
export async function buildCli(): Promise<Cli> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-cli-'));
  const bundle = join(folder, 'cli.mjs');
  const tsup = createRequire(createRequire(import.meta.url).resolve('tsup'));
  const { build } = tsup('esbuild') as {
    build(options: Readonly<Record<string, unknown>>): Promise<unknown>;
  };
  await build({
    entryPoints: { cli: ENTRY },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: { js: BANNER },
    logLevel: 'error',
    absWorkingDir: dirname(ENTRY),
  });
  const children = new Set<ChildProcess>();
  const start: Cli['start'] = (argv, seen) => {
    const child = spawn(process.execPath, [bundle, ...argv], { cwd: folder });
    children.add(child);
    let [stdout, stderr, rest] = ['', '', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (seen && line.startsWith('{')) seen(JSON.parse(line));
    });
    const finished = new Promise<Finished>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        children.delete(child);
        resolve({ code, stdout, stderr });
      });
    });
    return { process: child, finished };
  };
  return {
    bundle,
    start,
    run: (argv) => start(argv).finished,
    async close() {
      for (const child of children) child.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
