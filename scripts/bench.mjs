/**
 * Runs a bench: bundles bench/main.ts by the bundler that tsup brings, and starts it with this Node,
 * its options and the arguments.
 *
 * usage: node scripts/bench.mjs [SUBJECT ...] [options of bench/main.ts]
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SELF = fileURLToPath(import.meta.url);
const ROOT = dirname(dirname(SELF));

/** Bundles a source (relative to the root) below node_modules, where packages are found; its path. */
export async function bundle(entry, name) {
  const { build } = createRequire(createRequire(SELF).resolve('tsup'))('esbuild');
  const outfile = join(ROOT, 'node_modules/.cache/espalier-bench', `${name}.mjs`);
  await build({
    entryPoints: [join(ROOT, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // benchmark.js finds its own parts at run time; asc is large.
    packages: 'external',
    logLevel: 'error',
  });
  return outfile;
}

if (process.argv[1] === SELF) {
  process.chdir(ROOT);
  const script = await bundle('bench/main.ts', 'main');
  const argv = [...process.execArgv, script, ...process.argv.slice(2)];
  process.exitCode = spawnSync(process.execPath, argv, { stdio: 'inherit' }).status ?? 1;
}
